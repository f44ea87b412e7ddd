"""Decoded once: a dataset as a memory-mapped array of grey levels, kept by its fingerprint."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library import cpus
from library.atomic import read_json, sync_folder, write_json
from library.datasets import File, Folder
from library.digest import digest_json
from library.images import Fit, Refused, load_grey
from library.manifests import Manifest, fingerprint, manifest

LOADER = "grey-bicubic-1"  # changes with library.images.load_grey, so that old arrays are not read


@dataclass(frozen=True)
class Decoded:
    """Images (n, resolution, resolution) uint8, memory-mapped; class index of each; class names.

    files: what the dataset's files were, also of those that were refused.
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    labels: tuple[str, ...]
    fingerprint: str
    refused: tuple[dict[str, str], ...]
    files: Manifest

    def counts(self) -> dict[str, int]:
        totals = np.bincount(self.classes, minlength=len(self.labels))
        return {label: int(n) for label, n in zip(self.labels, totals, strict=True)}


def decode(
    folder: Folder,
    resolution: int,
    fit: Fit,
    cache: Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    files: Manifest | None = None,
) -> Decoded:
    """Decode a dataset, or map what an earlier run decoded.

    Files that are no whole image are left out and listed in `refused`.  `progress(done, total)`
    is called as files are decoded; `files` is the folder's manifest, if it is known.  The array
    is complete or absent: it is renamed into place after fsync, the index (which names it
    complete) last.
    """
    files = manifest(folder) if files is None else files
    content = fingerprint(files)
    key = digest_json([LOADER, content, resolution, fit])[:24]
    index_path = cache / f"{key}.json"
    if not index_path.is_file():
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(index_path, _decode(folder, resolution, fit, cache / f"{key}.npy", progress))
    index = read_json(index_path)
    labels = tuple(index["labels"])
    if index["classes"]:
        images = np.load(cache / f"{key}.npy", mmap_mode="r")
    else:
        images = np.zeros((0, resolution, resolution), np.uint8)
    classes = np.asarray(index["classes"], np.int64)
    return Decoded(images, classes, labels, content, tuple(index["refused"]), files)


def _decode(
    folder: Folder,
    resolution: int,
    fit: Fit,
    path: Path,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    total = len(folder.files)
    shape = (total, resolution, resolution)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        # Written through a map of the full length, then cut to the images that decoded.
        _reserve(temporary, total * resolution * resolution)
        spool = np.memmap(temporary, np.uint8, "r+", shape=shape)
        kept: list[File] = []
        refused: list[dict[str, str]] = []

        def read(file: File) -> NDArray[np.uint8] | str:
            try:
                return load_grey(folder.root / file.path, resolution, fit)
            except Refused as error:
                return str(error)

        threads = cpus.available()
        with ThreadPoolExecutor(threads) as pool:  # Pillow releases the GIL while it decodes
            files = iter(folder.files)
            done = 0
            while part := list(islice(files, 64 * threads)):
                for file, result in zip(part, pool.map(read, part), strict=True):
                    if isinstance(result, str):
                        # A name that is not UTF-8 must not break the JSON that shows it.
                        name = file.path.encode("utf-8", "backslashreplace").decode()
                        refused.append({"file": name, "reason": result})
                    else:
                        spool[len(kept)] = result
                        kept.append(file)
                done += len(part)
                progress(done, total)
        labels = sorted({file.label for file in kept})
        if kept:
            final = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
            with open(final, "xb") as out:
                np.save(out, spool[: len(kept)])
                out.flush()
                os.fsync(out.fileno())
            os.replace(final, path)
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return {
        "labels": labels,
        "classes": [labels.index(file.label) for file in kept],
        "refused": refused,
    }


def _reserve(path: Path, size: int) -> None:
    """Make a file of `size` bytes that the disk has room for.

    Writing through a map to a full disk would end the process by SIGBUS.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, size)
        else:
            os.truncate(handle, size)
    finally:
        os.close(handle)
