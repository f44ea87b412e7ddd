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
from library.ancestors import taken_over
from library.config import RunConfig, resolve
from library.datasets.listing import listing
from library.datasets.records import read_record
from library.datasets.roots import within_roots
from library.errors import InvalidValue, NotFound
from library.presets import PRESETS, RECOMMENDED
from library.private import check_alone
from library.requests import check_model_name
from library.settings import Settings
from library.store.shared import open_store
from library.versions import ModelLibrary
from library.webhooks import check_webhook


@dataclass(frozen=True)
class Dataset:
    """What a job is to train on, as far as it is known before it runs.

    labels: images of each class (None: a table beside the images says); path: of a folder in
    place; identity and fingerprint: of a dataset that was named by its id; fit: chosen for it;
    held_out: images that a report can be made with.
    """

    name: str
    images: int
    labels: Mapping[str, int] | None
    path: Path | None = None
    identity: str | None = None
    fingerprint: str | None = None
    fit: str | None = None
    held_out: int = 0


@dataclass(frozen=True)
class Checked:
    """What a request asks for, once nothing is wrong with it."""

    preset: str
    config: RunConfig
    dataset: Dataset


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

    dataset = tried(_dataset, body.get("dataset"), settings)
    preset, overrides = body.get("preset"), body.get("config", {})
    if preset is None:
        preset = RECOMMENDED
    if dataset is not None and dataset.fit and isinstance(overrides, Mapping):
        overrides = {"fit": dataset.fit, **overrides}
    if _plain(preset, overrides) and overrides.get("fine_tune"):
        library = ModelLibrary(settings.data_dir / "models")
        overrides = tried(taken_over, PRESETS.get(preset, {}), overrides, library)
    config = None if overrides is None else tried(resolve, preset, overrides)
    if config is not None:
        tried(check_alone, config, settings.train_processes)
    if "model" in body:
        tried(check_model_name, body["model"])
    if isinstance(body.get("webhook"), str):
        tried(check_webhook, body["webhook"], settings.webhook_hosts, settings.webhook_secret)
    if dataset is not None and body.get("publish_if") == "not_red":
        wrong += _gate(dataset, body.get("report", True))
    if dataset is not None and overrides is not None:
        given = {**PRESETS.get(preset, {}), **overrides} if _plain(preset, overrides) else {}
        wrong += _against(dataset, given, settings.train_processes)
    if wrong or config is None or dataset is None:
        return wrong, None
    return [], Checked(preset, config, dataset)


def _dataset(given: Any, settings: Settings) -> Dataset | None:
    """What a body names; None for what pydantic refuses.  Raises InvalidValue."""
    if isinstance(given, str):
        return _of_id(given, settings)
    if not isinstance(given, Mapping) or not isinstance(given.get("path"), str):
        return None
    path = within_roots(given["path"], settings.roots)
    found = listing(path)
    return Dataset(path.name, found.images, None if found.table else found.labels, path)


def _of_id(identity: str, settings: Settings) -> Dataset:
    store = open_store(settings)
    if store is not None:
        store.know_dataset(identity)
    try:
        record = read_record(settings.data_dir, identity)
    except NotFound as error:
        raise InvalidValue(
            error.detail,
            field="dataset",
            value=identity,
            remedy="GET /datasets lists them; POST /datasets makes one.",
        ) from None
    if record["status"] != "ready":
        raise InvalidValue(
            f"The dataset {identity!r} is {record['status']}.",
            field="dataset",
            value=identity,
            remedy="Wait until it is ready."
            if record["status"] == "validating"
            else f"GET /datasets/{identity} says what is wrong with it.",
        )
    train = record["splits"].get("train", {"images": 0, "labels": {}})
    path = None
    if record["path"] is not None:
        path = within_roots(record["path"], settings.roots, "dataset")
    return Dataset(
        record["name"],
        train["images"],
        train["labels"],
        path,
        identity,
        record["fingerprint"],
        record["choices"]["fit"],
        record["splits"].get("held_out", {}).get("images", 0),
    )


def _gate(dataset: Dataset, report: Any) -> list[InvalidValue]:
    """What a version that waits for its report needs."""
    if dataset.held_out and report is True:
        return []
    why = "report is false" if dataset.held_out else f"{dataset.name!r} has no held-out images"
    return [
        InvalidValue(
            f"publish_if is 'not_red', and {why}: no report would ever release the version.",
            field="publish_if",
            value="not_red",
            remedy="Train on a dataset with a split, by its id, with report true; or leave "
            "publish_if out.",
        )
    ]


def _plain(preset: Any, overrides: Any) -> bool:
    return isinstance(preset, str) and isinstance(overrides, Mapping)


def _against(dataset: Dataset, values: Mapping[str, Any], processes: int) -> list[InvalidValue]:
    """What the dataset, and the number of processes that share a batch, do not allow."""
    wrong = []
    labels, batch = dataset.labels, values.get("batch_size", RunConfig.batch_size)
    if values.get("conditional") is True and labels is not None and len(labels) < 2:
        wrong.append(
            InvalidValue(
                f"config.conditional is true, but {dataset.name!r} has one class "
                f"({', '.join(map(repr, labels))}).",
                field="config.conditional",
                value=True,
                remedy="Give a folder with a sub-folder for each of two or more classes, "
                "or set config.conditional to false.",
            )
        )
    if type(batch) is int and batch > dataset.images:
        wrong.append(
            InvalidValue(
                f"config.batch_size is {batch}, but {dataset.name!r} holds {dataset.images} "
                "images to train on.",
                field="config.batch_size",
                value=batch,
                remedy=f"Use a batch size of at most {dataset.images}.",
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
