"""Is a folder a dataset?  Every file is read as the trainer will read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from library import cpus
from library.datasets import File, Folder
from library.errors import InvalidValue
from library.images import Refused, load_grey
from library.manifests import fingerprint, manifest

_RESOLUTION = 64  # read at; whether a file is a whole image does not depend on it


def validate(folder: Folder, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """What a dataset's record says of its files: counts, fingerprint, what is refused and why.

    `progress(done, total)` is called as files are read; what it raises ends the validation.
    """

    def read(file: File) -> str | None:
        try:
            load_grey(folder.root / file.path, _RESOLUTION, "crop")
        except Refused as error:
            return str(error)
        return None

    total, done = len(folder.files), 0
    refused: list[dict[str, str]] = []
    labels = Counter(dict.fromkeys(folder.labels, 0))
    threads = cpus.available()
    progress(0, total)
    with ThreadPoolExecutor(threads) as pool:  # Pillow releases the GIL while it decodes
        files = iter(folder.files)
        while part := list(islice(files, 16 * threads)):
            for file, reason in zip(part, pool.map(read, part), strict=True):
                if reason is None:
                    labels[file.label] += 1
                else:
                    # A name that is not UTF-8 must not break the JSON that shows it.
                    name = file.path.encode("utf-8", "backslashreplace").decode()
                    refused.append({"file": name, "reason": reason})
            done += len(part)
            progress(done, total)
    whole = total - len(refused)
    return {
        "status": "ready" if whole else "failed",
        "fingerprint": fingerprint(manifest(folder)),
        "images": whole,
        "labels": {label: {"images": count} for label, count in sorted(labels.items()) if count},
        "refused": refused,
        "error": None if whole else _nothing_whole(folder).as_problem(),
    }


def _nothing_whole(folder: Folder) -> InvalidValue:
    return InvalidValue(
        f"None of the {len(folder.files)} files in the dataset is a whole image.",
        field="path",
        value=str(folder.root),
        remedy="`refused` says what is wrong with each.",
    )
