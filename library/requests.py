"""The request of a run: what `python -m training run` reads, its configuration resolved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from library.ancestors import taken_over
from library.atomic import read_json, write_json
from library.config import GROUPS, RunConfig, resolve
from library.errors import InvalidValue
from library.presets import PRESETS
from library.runs import RunFolder, run_folder
from library.versions import ModelLibrary

DATASET_ID = re.compile(r"ds-[0-9a-f]{12}")
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}[a-z0-9]|[a-z0-9]")

# The request's fields beside `dataset`; each may be null, which is the same as left out.
_KINDS: dict[str, tuple[type, str]] = {
    "run": (str, "a path"),
    "model": (str, "a name"),
    "preset": (str, "a name"),
    "config": (dict, "an object"),
    "data_dir": (str, "a path"),
    "job": (str, "an id"),
    "private": (bool, "true or false"),
    "metadata": (dict, "an object"),
    "publish_if": (str, "any or not_red"),
    "hand_over": (bool, "true or false"),
}
_ANEW = "Leave it as it was (epochs alone may change), or begin anew: give another folder as `run`."
_UNDER_ANOTHER_NAME = (
    "Leave it as it was; `python -m training publish RUN --model NAME` publishes it elsewhere."
)
PUBLISH_IF = ("any", "not_red")  # not_red: held until a report on it has no red light


@dataclass(frozen=True)
class RunRequest:
    """Train on a dataset into `run`; publish as `model` (None: train only) in `data_dir`.

    dataset: a folder in place, or None where dataset_id names an upload; fingerprint: what the
    dataset must be, where that is known; hand_over: leave the version in the run folder, without a
    number, for whoever claims one where other machines do, too; given: the fields as they were
    written, without what the preset adds.
    """

    run: RunFolder
    dataset: Path | None
    dataset_id: str | None
    model: str | None
    preset: str
    config: RunConfig
    data_dir: Path
    job: str | None = None
    private: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str | None = None
    publish_if: str = "any"
    hand_over: bool = False
    given: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def dataset_named(self) -> str | Path:
        """The dataset's id where it has one, its folder where it has none yet."""
        named = self.dataset_id if self.dataset is None else self.dataset
        assert named is not None
        return named

    def write(self) -> None:
        self.run.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = {
            "run": str(self.run.path),
            "dataset": {
                "path": None if self.dataset is None else str(self.dataset),
                "id": self.dataset_id,
                "fingerprint": self.fingerprint,
            },
            "model": self.model,
            "preset": self.preset,
            "config": self.config.as_dict(),
            "data_dir": str(self.data_dir),
            "job": self.job,
            "private": self.private,
            "metadata": dict(self.metadata),
            "publish_if": self.publish_if,
            "hand_over": self.hand_over,
        }
        write_json(self.run.request, content)


def check_model_name(name: Any) -> str:
    """A name that is safe as a folder and in an address.  Raises InvalidValue."""
    if isinstance(name, str) and MODEL_NAME.fullmatch(name):
        return name
    raise InvalidValue(
        f"model is {name!r}.",
        field="model",
        value=name,
        remedy="Use 1 to 64 of a-z, 0-9, '.', '_' and '-', with a letter or digit at both ends.",
    )


def read_request(path: Path) -> RunRequest:
    """Read CONFIG.json.  Raises InvalidValue naming the field, the value and the remedy."""
    try:
        content = read_json(path)
    except OSError as error:
        raise InvalidValue(
            f"The file {str(path)!r} cannot be read ({error.strerror}).", field="CONFIG.json"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"{str(path)!r} is not JSON: {error}.", field="CONFIG.json") from None
    if not isinstance(content, dict):
        raise InvalidValue(f"{str(path)!r} is not a JSON object.", field="CONFIG.json")
    for name, value in content.items():
        if name != "dataset" and name not in _KINDS:
            raise InvalidValue(
                f"The request has no field {name!r}.",
                field=name,
                value=value,
                remedy=f"Its fields are: {', '.join(sorted([*_KINDS, 'dataset']))}.",
            )
        if name in _KINDS and not isinstance(value, _KINDS[name][0] | None):
            raise InvalidValue(
                f"{name} is {value!r}.",
                field=name,
                value=value,
                remedy=f"Give {_KINDS[name][1]}, or leave it out.",
            )
    dataset = content.get("dataset")
    if isinstance(dataset, str) and DATASET_ID.fullmatch(dataset):
        dataset = {"id": dataset}
    if not isinstance(dataset, dict) or not (
        isinstance(dataset.get("path"), str) or isinstance(dataset.get("id"), str)
    ):
        raise InvalidValue(
            f"dataset is {dataset!r}.",
            field="dataset",
            value=dataset,
            remedy='Give {"path": "FOLDER"}, a folder with one sub-folder of images per class, or '
            "the id of a dataset.",
        )
    data_dir = Path(content.get("data_dir") or "data").absolute()
    job = content.get("job")
    if content.get("run"):
        run = RunFolder(Path(content["run"]).absolute())
    else:
        run = run_folder(data_dir, job or path.stem)
    model = content.get("model")
    publish_if = content.get("publish_if") or "any"
    if publish_if not in PUBLISH_IF:
        raise InvalidValue(
            f"publish_if is {publish_if!r}.",
            field="publish_if",
            value=publish_if,
            remedy=f"Give {_KINDS['publish_if'][1]}, or leave it out.",
        )
    preset, given = content.get("preset") or "paper", content.get("config") or {}
    library = ModelLibrary(data_dir / "models")
    return RunRequest(
        run=run,
        dataset=Path(dataset["path"]).absolute() if dataset.get("path") else None,
        dataset_id=dataset.get("id"),
        fingerprint=dataset.get("fingerprint"),
        model=None if model is None else check_model_name(model),
        preset=preset,
        config=resolve(preset, taken_over(PRESETS.get(preset, {}), given, library)),
        data_dir=data_dir,
        job=job,
        private=content.get("private") is not False,
        metadata=content.get("metadata") or {},
        publish_if=publish_if,
        hand_over=content.get("hand_over") is True,
        given=content,
    )


def asked_again(request: RunRequest, before: RunRequest) -> RunRequest:
    """The request that a run began with, with the epochs that are asked for now.

    What is left out now stays as it was.  Raises InvalidValue naming each field that is given and
    differs: a run is a function of its request.
    """
    differs = [
        InvalidValue(
            f"{name} is {now!r}, and the run {before.run.path.name!r} began with {then!r}.",
            field=name,
            value=now,
            remedy=_UNDER_ANOTHER_NAME if name == "model" else _ANEW,
        )
        for name, now, then in _given(request, before)
        if now != then
    ]
    if differs:
        raise InvalidValue.of(differs)
    if "epochs" not in (request.given.get("config") or {}):
        return before
    return replace(before, config=replace(before.config, epochs=request.config.epochs))


def _given(now: RunRequest, before: RunRequest) -> Iterator[tuple[str, Any, Any]]:
    """Field, value and earlier value of what is given now and must be as it was."""
    yield "dataset", str(now.dataset_named), str(before.dataset_named)
    for name in ("model", "preset", "private", "metadata", "publish_if", "hand_over"):
        if now.given.get(name) is not None:
            yield name, getattr(now, name), getattr(before, name)
    for name, value in (now.given.get("config") or {}).items():
        resolved, then = getattr(now.config, name), getattr(before.config, name)
        if name in GROUPS:
            for inner in value or {}:
                yield f"config.{name}.{inner}", getattr(resolved, inner), getattr(then, inner)
        elif name == "fine_tune" and value and value == then.partition("@")[0]:
            continue  # its newest version may be another by now
        elif value is not None and name != "epochs":
            yield f"config.{name}", resolved, then
