"""One shard of a generate job: a file that is a pure function of the job, the engine, its number.

The generator runs on a thread of its own, where Python's lock is free, one part ahead of encoding
and writing.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.engine.loaded import Loaded
from app.formats.archive import ZipForm
from app.formats.encoding import FILE_FORMATS, Encoded
from app.formats.webdataset import WebDatasetForm
from app.generate.forms import AnswerForm
from library.atomic import remove_left, sync_folder, write_json
from library.generate_jobs import GenerateJob
from library.identity import Identity, Origin
from library.versions import label_index

_PART = 256  # images that are encoded and written at once

Tell = Callable[[int], None]  # how many images of the shard are written
Share = Callable[[dict[str, Any]], None]  # a shard's record, before it is there


class _Part(NamedTuple):
    seeds: Sequence[int]
    classes: Sequence[int]
    levels: NDArray[np.uint8]


def make_shard(
    job: GenerateJob, number: int, loaded: Loaded, tell: Tell, share: Share = lambda _record: None
) -> dict[str, Any]:
    """Make a shard and its record; what an earlier attempt has left of it goes.

    share: called between the two, since whoever sees the record counts on the file.  Raises what
    sampling and `share` raise, OSError, and InvalidValue for a label that the version lacks.
    """
    final = job.shard(number)
    remove_left(final)
    temporary = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            written = _write(job, number, loaded, tell, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(final.parent)
    record = {"file": final.name, **written}
    share(record)
    write_json(job.shard_record(number), record)
    return record


def _write(
    job: GenerateJob, number: int, loaded: Loaded, tell: Tell, file: IO[bytes]
) -> dict[str, Any]:
    record = job.record
    first, count = job.span(number)
    file_format = FILE_FORMATS[record["format"]]
    encode = file_format.encoder()
    origin = loaded.origin(float(record["truncation"]))
    form = _form(job, loaded, origin)
    digest, size, labels = hashlib.sha256(), 0, Counter[str]()

    def write(data: bytes) -> None:
        nonlocal size
        file.write(data)
        digest.update(data)
        size += len(data)

    write(form.head())
    at = 0
    for part in _ahead(_parts(job, loaded, first, count)):
        names = loaded.version.labels
        identities = [
            Identity(origin, names[index] if names else None, seed)
            for seed, index in zip(part.seeds, part.classes, strict=True)
        ]
        files = encode(part.levels, identities)
        write(form.chunk(Encoded(at, identities, part.levels, files)))
        labels.update(identity.label for identity in identities if identity.label is not None)
        at += len(identities)
        tell(at)
    for data in form.tail():
        write(data)
    return {
        "first_seed": int(record["seed"]) + first,
        "images": at,
        "labels": dict(sorted(labels.items())),
        "bytes": size,
        "sha256": digest.hexdigest(),
    }


def _form(job: GenerateJob, loaded: Loaded, origin: Origin) -> AnswerForm:
    file_format = FILE_FORMATS[job.record["format"]]
    if job.record["container"] == "webdataset":
        return WebDatasetForm(file_format, loaded.version.labels)
    card = loaded.version.path / "CARD.md"
    content = card.read_bytes() if card.is_file() else None
    return ZipForm(origin, file_format, content, repeats=False)


def _parts(job: GenerateJob, loaded: Loaded, first: int, count: int) -> Iterator[_Part]:
    """Images first, first + 1, … of the job."""
    record, sampler = job.record, loaded.samplers[0]
    turns = [label_index(loaded.version, label) for label in record["labels"] or [None]]
    for start in range(first, first + count, _PART):
        indices = range(start, min(start + _PART, first + count))
        seeds = [int(record["seed"]) + i for i in indices]
        classes = sampler.classes(seeds, [turns[i % len(turns)] for i in indices])
        z = sampler.latents(seeds, float(record["truncation"]))
        yield _Part(seeds, classes, sampler.levels_of(z, classes))


def _ahead(parts: Iterator[_Part]) -> Iterator[_Part]:
    """The same parts, the next one being made while one is used."""
    with ThreadPoolExecutor(1, "engine") as thread:
        coming = thread.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = thread.submit(next, parts, None)
            yield part
