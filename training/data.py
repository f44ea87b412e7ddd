"""The images of a run: opened, checked against what the run began with, decoded, counted."""

from __future__ import annotations

import time

from library.atomic import write_json
from library.datasets.opened import Opened, open_dataset
from library.datasets.reading import Progress
from library.datasets.records import change_record, dataset_id, read_record
from library.decoded import Decoded, decode
from library.errors import InvalidValue
from library.images import Fit
from library.manifests import DatasetChanged, DatasetReplaced, compare, read_manifest
from library.requests import RunRequest
from training.events import Events


def prepare_data(request: RunRequest, events: Events) -> tuple[Decoded, Decoded | None]:
    """The train split, and the validation split of a run that chooses by it."""
    told = time.monotonic()

    def progress(verb: str, done: int, total: int) -> None:
        nonlocal told
        if total and (done == total or time.monotonic() - told >= 1):
            told = time.monotonic()
            events.log(f"{verb} {done} of {total} images.", done=done, total=total)

    config = request.config
    fit: Fit = config.fit  # type: ignore[assignment]  # checked by library.config
    with _open(request, lambda _phase, done, total: progress("Read", done, total)) as dataset:
        cache = request.data_dir / "decoded"
        data = decode(
            dataset, config.resolution, fit, cache, lambda n, of: progress("Decoded", n, of)
        )
        validation = None
        if config.validate_every_kimg:
            validation = decode(dataset, config.resolution, fit, cache, split="validation")
        record = dataset.record
    write_json(request.run.files, data.files)
    refused, left_out = record["refused_count"], record["left_out_count"]
    if refused or left_out:
        # Names of files stay out of events: the dataset's own record has them.
        events.log(
            f"{refused} files are refused, {left_out} left out; the dataset {record['id']} lists "
            "them.",
            level="warning",
            refused=refused,
            left_out=left_out,
            dataset=record["id"],
        )
    if not len(data.images):
        raise InvalidValue(
            "The dataset has no image to train on.",
            field="dataset",
            value=record["id"],
            remedy=f"GET /datasets/{record['id']} says how its images are split.",
        )
    write_json(
        request.run.dataset,
        {
            "id": record["id"],
            "fingerprint": data.fingerprint,
            "images": len(data.images),
            "labels": data.counts(),
            "patients": record["splits"]["train"]["patients"],
            "splits": record["splits"],
            "split_by": record["split_by"],
            "patients_by": record["patients_by"],
            "choices": record["choices"],
            "refused": refused,
            "left_out": left_out,
        },
    )
    return data, validation


def _open(request: RunRequest, progress: Progress) -> Opened:
    """The dataset, which must be what the run began with, or what its job was made for."""
    if request.run.files.is_file():
        record = read_record(request.data_dir, _identity(request))
        opened = Opened(request.data_dir, record, as_it_was=True)
        changes = compare(read_manifest(request.run.files), opened.current())
        if not changes:
            return opened
        with opened:
            change_record(request.data_dir, opened.identity, {"changed": changes.names()})
            raise DatasetChanged(opened.identity, opened.root or opened.content, changes)
    opened = open_dataset(request.data_dir, request.dataset_named, progress)
    if request.fingerprint not in (None, opened.record["fingerprint"]):
        with opened:
            raise DatasetReplaced(opened.identity)
    change_record(request.data_dir, opened.identity, {"changed": []})
    return opened


def _identity(request: RunRequest) -> str:
    if request.dataset is None:
        return str(request.dataset_id)
    return dataset_id(request.dataset)
