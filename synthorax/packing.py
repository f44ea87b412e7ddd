"""A folder of images as a ZIP to be sent."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path


def packed(folder: Path) -> Path:
    """A temporary ZIP of a folder's files, stored and not compressed: images are already.

    Whoever asks for it deletes it.
    """
    number, name = tempfile.mkstemp(prefix="synthorax-", suffix=".zip")
    try:
        with (
            os.fdopen(number, "wb") as file,
            zipfile.ZipFile(file, "w", allowZip64=True) as archive,
        ):
            for path in sorted(folder.rglob("*")):
                if path.is_file() and not path.name.startswith("."):
                    archive.write(path, path.relative_to(folder).as_posix())
    except BaseException:
        os.unlink(name)
        raise
    return Path(name)
