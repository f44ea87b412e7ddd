"""Everything that is wrong with a train job's request, told at once.

What pydantic finds in the body's form, what the configuration, the name and the webhook hold, and
whether the dataset is there and large enough.  What depends on something wrong is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from app.errors import invalid_fields
from library.config import RunConfig, resolve
from library.datasets import Folder, scan, within_roots
from library.errors import InvalidValue
from library.presets import PRESETS
from library.requests import check_model_name
from library.settings import Settings
from library.webhooks import check_webhook


@dataclass(frozen=True)
class Checked:
    """What a request asks for, once nothing is wrong with it."""

    config: RunConfig
    path: Path
    folder: Folder


class TellsAll(APIRoute):
    """A route whose body is checked to its end, also when its form is wrong already."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                wrong = invalid_fields(error)
                if isinstance(error.body, dict):
                    named = {each.field for each in wrong}
                    found, _ = problems(error.body, request.app.state.synthorax.settings)
                    wrong += [each for each in found if each.field not in named]
                raise InvalidValue.of(wrong) from None

        return checked


def check(body: Mapping[str, Any], settings: Settings) -> Checked:
    """Raises InvalidValue that names every wrong field."""
    wrong, checked = problems(body, settings)
    if checked is None:
        raise InvalidValue.of(wrong)
    return checked


def problems(
    body: Mapping[str, Any], settings: Settings
) -> tuple[list[InvalidValue], Checked | None]:
    """What is wrong with a body, whatever it holds; what it asks for when nothing is."""
    wrong: list[InvalidValue] = []

    def tried(function: Callable[..., Any], *given: Any) -> Any:
        try:
            return function(*given)
        except InvalidValue as error:
            wrong.extend(error.parts or (error,))
            return None

    preset, overrides = body.get("preset", "quick"), body.get("config", {})
    config = tried(resolve, preset, overrides)
    if "model" in body:
        tried(check_model_name, body["model"])
    if isinstance(body.get("webhook"), str):
        tried(check_webhook, body["webhook"], settings.webhook_hosts, settings.webhook_secret)
    dataset = body.get("dataset")
    path = folder = None
    if isinstance(dataset, Mapping) and isinstance(dataset.get("path"), str):
        path = tried(within_roots, dataset["path"], settings.roots)
        folder = tried(scan, path) if path else None
    if folder is not None:
        given = {**PRESETS.get(preset, {}), **overrides} if _plain(preset, overrides) else {}
        wrong += _against(folder, given, settings.train_processes)
    if wrong or config is None or path is None or folder is None:
        return wrong, None
    return [], Checked(config, path, folder)


def _plain(preset: Any, overrides: Any) -> bool:
    return isinstance(preset, str) and isinstance(overrides, Mapping)


def _against(folder: Folder, values: Mapping[str, Any], processes: int) -> list[InvalidValue]:
    """What the dataset, and the number of processes that share a batch, do not allow."""
    wrong = []
    labels, batch = folder.labels, values.get("batch_size", RunConfig.batch_size)
    if values.get("conditional") is True and len(labels) < 2:
        wrong.append(
            InvalidValue(
                f"config.conditional is true, but {folder.root.name!r} has one class "
                f"({labels[0]!r}).",
                field="config.conditional",
                value=True,
                remedy="Give a folder with a sub-folder for each of two or more classes, "
                "or set config.conditional to false.",
            )
        )
    if type(batch) is int and batch > len(folder.files):
        wrong.append(
            InvalidValue(
                f"config.batch_size is {batch}, but {folder.root.name!r} holds "
                f"{len(folder.files)} images.",
                field="config.batch_size",
                value=batch,
                remedy=f"Use a batch size of at most {len(folder.files)}.",
            )
        )
    elif type(batch) is int and batch > 0 and batch % processes:
        wrong.append(
            InvalidValue(
                f"config.batch_size is {batch}, and {processes} processes share each batch.",
                field="config.batch_size",
                value=batch,
                remedy=f"Use a multiple of {processes}.",
            )
        )
    return wrong
