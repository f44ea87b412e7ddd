"""Decoded once: a split of a dataset as a memory-mapped array of grey levels, kept by its name."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.atomic import read_json, sync_folder, write_json
from library.datasets.opened import File, Opened
from library.decoding.pool import Decoders
from library.digest import digest_json
from library.images import Fit
from library.manifests import Changes, DatasetChanged, Manifest

LOADER = "grey-bicubic-3"  # changes with library.images.load_grey, so that old arrays are not read


@dataclass(frozen=True)
class Decoded:
    """Images (n, resolution, resolution) uint8, memory-mapped; class index of each; class names.

    fingerprint: of the whole dataset; files: what this split's files were; patients: whose each
    image is, by a name within the dataset, None where that is not known; empty: nobody asked.
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    labels: tuple[str, ...]
    fingerprint: str
    files: Manifest
    patients: tuple[str | None, ...] = ()

    def counts(self) -> dict[str, int]:
        totals = np.bincount(self.classes, minlength=len(self.labels))
        return {label: int(n) for label, n in zip(self.labels, totals, strict=True)}


def decode(
    dataset: Opened,
    resolution: int,
    fit: Fit,
    cache: Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    split: str = "train",
) -> Decoded:
    """Decode the images of a split, in the dataset's order, or map what was decoded before.

    `progress(done, total)` is called as files are decoded.  The array is complete or absent: it is
    renamed into place after fsync, the index (which names it complete) last.  Raises DatasetChanged
    when a file is not what was validated.
    """
    files = list(dataset.files(split))
    choices, fingerprint = dataset.choices, str(dataset.record["fingerprint"])
    mask = {"border": choices.border, "corner": choices.corner}
    window = dataset.window
    content = [(file.sha256, file.label) for file in files]
    # In place and as an upload the same pictures are read in two ways, to the same levels.
    key = digest_json([LOADER, content, resolution, fit, mask, window])[:24]
    index_path, path = cache / f"{key}.json", cache / f"{key}.npy"
    if not index_path.is_file():
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        tasks = [
            {
                "do": "square",
                "path": os.fspath(file.location),
                "sha256": file.sha256 if dataset.may_change else None,
                "resolution": resolution,
                "fit": fit,
                "window": window,
                "mask": mask,
            }
            for file in files
        ]
        levels = _levels(tasks, files, dataset, progress)
        _write(levels, (len(files), resolution, resolution), path)
        write_json(index_path, {"images": len(files), "files": [file.sha256 for file in files]})
    labels = tuple(sorted({file.label for file in files}))
    if read_json(index_path)["images"]:
        images = np.load(path, mmap_mode="r")
    else:
        images = np.zeros((0, resolution, resolution), np.uint8)
    number = {label: i for i, label in enumerate(labels)}
    classes = np.array([number[file.label] for file in files], np.int64)
    manifest = {file.path: (file.label, file.sha256) for file in files}
    patients = tuple(file.patient for file in files)
    return Decoded(images, classes, labels, fingerprint, manifest, patients)


def _levels(
    tasks: Sequence[dict[str, Any]],
    files: Sequence[File],
    dataset: Opened,
    progress: Callable[[int, int], None],
) -> Iterator[bytes]:
    changed = []
    with Decoders() as decoders:
        answers = decoders.map(tasks)
        for done, (file, answer) in enumerate(zip(files, answers, strict=True), 1):
            if answer.refused is not None or not answer.blobs:
                changed.append(file.path)  # it was whole when it was validated
            else:
                yield answer.blobs[0]
            if done % 64 == 0 or done == len(files):
                progress(done, len(files))
    if changed:
        root = dataset.root or dataset.content
        raise DatasetChanged(dataset.identity, root, Changes((), (), tuple(changed)))


def _write(levels: Iterator[bytes], shape: tuple[int, int, int], path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as out:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(out, header)
            for picture in levels:
                out.write(picture)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
