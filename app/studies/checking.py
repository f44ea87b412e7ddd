"""What a study needs to be possible: its configuration, a dataset that fits it, a generator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from celery import Celery

from app.models.catalog import Catalog
from app.studies.schemas import StudyRequest
from library.datasets.choices import resolve as choices
from library.datasets.records import begin, dataset_id, read_record
from library.datasets.roots import within_roots
from library.errors import Conflict, InvalidValue, NotFound
from library.settings import Settings
from library.studies.config import StudyConfig
from library.studies.lineage import wrong_lineage
from library.studies.resolving import every_class, resolve
from worker.jobs import JobStore, reaching_redis
from worker.queue import enqueue_validation


@dataclass(frozen=True)
class Checked:
    """A study that can be made: its configuration, and the record of its dataset."""

    config: StudyConfig
    dataset: Mapping[str, Any]

    @property
    def patients_known(self) -> bool:
        return self.dataset["patients"] is not None

    @property
    def record(self) -> dict[str, Any]:
        """For study.json."""
        return {
            "dataset": self.dataset["id"],
            "dataset_name": self.dataset["name"],
            "fingerprint": self.dataset["fingerprint"],
            "patients_known": self.patients_known,
            "config": self.config.as_dict(),
        }


def check(
    request: StudyRequest, settings: Settings, library: Catalog, store: JobStore, celery: Celery
) -> Checked:
    """Raises InvalidValue that names every wrong field; Conflict for what is not possible now."""
    if settings.store:
        raise Conflict(
            "Studies need one data folder that API and workers share, and this service has a "
            "store (SYNTHORAX_STORE) between its machines.",
            field="SYNTHORAX_STORE",
            remedy="Run the study on a service without a store: `synthorax serve` on one machine, "
            "or machines that mount the same data folder.",
        )
    wrong: list[InvalidValue] = []
    config, record = None, None
    try:
        config = _generator(resolve(request.config), settings, library)
    except InvalidValue as error:
        wrong += error.parts or (error,)
    try:
        record = _dataset(request, settings, store, celery)
    except InvalidValue as error:
        wrong += error.parts or (error,)
    if config is not None and record is not None:
        wrong += _together(config, record)
        wrong += wrong_lineage(config, record["fingerprint"], library)
    if wrong or config is None or record is None:
        raise InvalidValue.of(wrong)
    return Checked(config, record)


def _dataset(
    request: StudyRequest, settings: Settings, store: JobStore, celery: Celery
) -> dict[str, Any]:
    if isinstance(request.dataset, str):
        identity = request.dataset
        try:
            record = read_record(settings.data_dir, identity)
        except NotFound as error:
            raise InvalidValue(
                error.detail, field="dataset", value=identity,
                remedy="GET /datasets lists them; POST /datasets makes one.",
            ) from None  # fmt: skip
    else:
        path = within_roots(request.dataset.path, settings.roots)
        if not os.path.isdir(path):
            raise InvalidValue(
                f"There is no folder {request.dataset.path!r}.",
                field="dataset.path", value=request.dataset.path,
                remedy="Name a folder with one sub-folder of images for each class.",
            )  # fmt: skip
        identity = dataset_id(path)
        try:
            record = read_record(settings.data_dir, identity)
        except NotFound:
            with reaching_redis():
                store.ping()  # nothing is registered that cannot be validated
                record = begin(settings.data_dir, path, choices({}))
                enqueue_validation(celery, identity)
    if record["status"] != "ready":
        raise Conflict(
            f"The dataset {identity!r} is {record['status']}.",
            field="dataset",
            value=identity,
            remedy="Wait until it is ready."
            if record["status"] == "validating"
            else f"GET /datasets/{identity} says what is wrong with it.",
        )
    return record


def _generator(config: StudyConfig, settings: Settings, library: Catalog) -> StudyConfig:
    """The same with real paths.  Raises InvalidValue for a version or a folder that is not here."""
    generator = config.generator
    if generator.model is not None:
        try:
            library.find(generator.model)
        except NotFound as error:
            raise InvalidValue(
                error.detail, field="config.generator.model", value=generator.model,
                remedy="GET /models lists them.",
            ) from None  # fmt: skip
    if generator.images is None:
        return config
    name = "config.generator.images"
    path = within_roots(generator.images, settings.roots, name)
    if not os.path.isdir(path):
        raise InvalidValue(
            f"There is no folder {generator.images!r}.", field=name, value=generator.images,
            remedy="Name a folder with one sub-folder of pictures for each class.",
        )  # fmt: skip
    return replace(config, generator=replace(generator, images=str(path)))


def _together(config: StudyConfig, record: Mapping[str, Any]) -> list[InvalidValue]:
    """What the dataset does not allow."""
    wrong, labels = [], sorted(record["labels"])
    remedy = f"Its classes are: {', '.join(labels)}."
    if len(labels) < 2:
        wrong.append(
            InvalidValue(
                f"The dataset {record['id']!r} has {len(labels)} class(es), and a classifier tells "
                "one from others.",
                field="dataset",
                value=record["id"],
                remedy="Name a dataset with two or more classes.",
            )
        )
    if config.positive not in labels:
        text = f"The dataset {record['id']!r} has no class {config.positive!r}."
        wrong.append(
            InvalidValue(text, field="config.positive", value=config.positive, remedy=remedy)
        )
    for name in ("labels", "synthetic_classes"):
        given: tuple[str, ...] = getattr(config, name)
        if unknown := [label for label in given if label not in labels]:
            text = f"The dataset {record['id']!r} has no class {', '.join(map(repr, unknown))}."
            field = f"config.{name}"
            wrong.append(InvalidValue(text, field=field, value=list(given), remedy=remedy))
    if all_named := every_class(config, labels):
        wrong.append(all_named)
    tested = record["splits"].get(config.test, {}).get("images")
    if config.kind == "usefulness" and not tested:
        wrong.append(
            InvalidValue(
                f"The dataset {record['id']!r} has no images in its split {config.test!r} to test "
                "on.",
                field="config.test",
                value=config.test,
                remedy="Name a dataset with a split (POST /datasets makes one of a folder), or the "
                "kind small_class, which folds all patients.",
            )
        )
    return wrong
