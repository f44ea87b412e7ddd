"""A study without a service: its configuration from a file, its folder below a data folder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from library.atomic import read_json
from library.datasets.choices import resolve as resolve_choices
from library.datasets.opened import open_dataset
from library.datasets.records import begin as begin_dataset
from library.datasets.records import dataset_id, read_record
from library.digest import digest_json
from library.errors import InvalidValue, NotFound
from library.requests import DATASET_ID
from library.studies import folder
from library.studies.config import StudyConfig
from library.studies.folder import Study
from library.studies.lineage import wrong_lineage
from library.studies.resolving import resolve
from library.versions import ModelLibrary
from studies.images import chosen_labels


def begin(path: Path, data_dir: Path, dataset: str | None = None) -> Study:
    """The study of CONFIG.json: {"dataset": id or {"path"}, "config": {…}}, new or begun before.

    dataset: another one than the file says, an id or a folder.  The same content has the same id,
    so that a study that was broken off goes on.  Raises InvalidValue.
    """
    content, config, record = _read(path, data_dir, dataset)
    if "seed" not in content["config"]:
        raise InvalidValue(
            "config.seed is missing.",
            field="config.seed",
            remedy="Give one: the study is found again by its configuration.",
        )
    identity = "st-" + hashlib.sha256(digest_json(content).encode()).hexdigest()[:16]
    return folder.create(
        data_dir,
        identity,
        {
            "dataset": record["id"],
            "fingerprint": record["fingerprint"],
            "config": config.as_dict(),
        },
    )


def read_config(
    path: Path, data_dir: Path, dataset: str | None = None
) -> tuple[StudyConfig, dict[str, Any], Path]:
    """A study's configuration and its dataset's record, for what only asks."""
    _, config, record = _read(path, data_dir, dataset)
    return config, record, data_dir


def _read(
    path: Path, data_dir: Path, dataset: str | None
) -> tuple[dict[str, Any], StudyConfig, dict[str, Any]]:
    try:
        content = read_json(path)
    except OSError as error:
        text = f"The file {str(path)!r} cannot be read ({error.strerror})."
        raise InvalidValue(text, field="CONFIG.json") from None
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"{str(path)!r} is not JSON: {error}.", field="CONFIG.json") from None
    if not isinstance(content, dict) or not set(content) <= {"dataset", "config"}:
        raise InvalidValue(
            f"{str(path)!r} is no study.",
            field="CONFIG.json",
            remedy='Give {"dataset": "ds-…" or {"path": "FOLDER"}, "config": {…}}.',
        )
    content.setdefault("config", {})
    if dataset is not None:
        given = DATASET_ID.fullmatch(dataset)
        content["dataset"] = dataset if given else {"path": str(Path(dataset).absolute())}
    config = resolve(content["config"])
    named = content.get("dataset")
    if isinstance(named, dict) and isinstance(named.get("path"), str):
        named = Path(named["path"]).absolute()
    if not isinstance(named, str | Path):
        raise InvalidValue(
            f"dataset is {named!r}.",
            field="dataset",
            value=named,
            remedy='Give the id of a dataset, or {"path": "FOLDER"}.',
        )
    if isinstance(named, Path):
        split_folder(data_dir, named)
    with open_dataset(data_dir, named, lambda *_: None) as opened:
        record = opened.record
    chosen_labels(config, record["labels"])
    library = ModelLibrary(data_dir / "models")
    if wrong := wrong_lineage(config, record["fingerprint"], library):
        raise InvalidValue.of(wrong)
    return content, config, record


def split_folder(data_dir: Path, root: Path) -> None:
    """Have a folder that nobody has named before validated with a split, which a study needs."""
    try:
        read_record(data_dir, dataset_id(root))
    except NotFound:
        begin_dataset(data_dir, root, resolve_choices({}))
