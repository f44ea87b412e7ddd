"""What a decoder process is asked: to look at a file, or to make a training picture of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from PIL import Image

from library.decoding.answering import Blobs
from library.decoding.look import look
from library.digest import digest_file
from library.images import Mask, read_picture, to_square
from library.picture import Grey, Refused


def run(task: dict[str, Any]) -> tuple[dict[str, Any], Blobs]:
    """Do one task: facts as JSON, and bytes.  Raises Refused, OSError, MemoryError."""
    if task["do"] == "match":  # here, since an expression that was given may never end
        found = [re.search(task["expression"], path) for path in task["paths"]]
        return {"groups": [match[1] if match else None for match in found]}, ()
    path = Path(task["path"])
    digest = _digest(path)
    if task["do"] == "look":
        picture = read_picture(path, task["window"])
        facts, blobs = look(picture, bytes.fromhex(task["salt"]), task["fit"], Mask(**task["mask"]))
        if task.get("store"):
            _store(picture.grey, task["store"])
        return {**facts, "sha256": digest, "bytes": path.stat().st_size}, blobs
    if task.get("sha256") not in (None, digest):
        return {"sha256": digest}, ()  # the caller sees that the file has changed
    grey = read_picture(path, task["window"]).grey
    square = to_square(grey, task["resolution"], task["fit"], Mask(**task["mask"]))
    return {"sha256": digest}, (square.tobytes(),)


def _store(grey: Grey, path: str) -> None:
    """Keep the picture alone, at all its depth, without anything else that its file told."""
    with open(path, "xb") as file:
        image = grey if isinstance(grey, Image.Image) else Image.fromarray(grey)
        # Nothing but pixels: what the file told would be written with them.
        image.info.clear()
        image.save(file, "PNG", compress_level=1)


def _digest(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError as error:
        raise Refused(f"cannot be read ({error.strerror})") from None
