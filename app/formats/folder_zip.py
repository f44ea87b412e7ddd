"""A folder as a ZIP, streamed file by file, the same bytes each time."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MOMENT = (1980, 1, 1, 0, 0, 0)  # the same bytes each time


def zipped(folder: Path, leave_out: str | None = None) -> Iterator[bytes]:
    """All files but those below the folder `leave_out`."""
    buffer = _Pipe()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and inside.parts[0] != leave_out:
                entry = zipfile.ZipInfo(inside.as_posix(), _MOMENT)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
                yield buffer.taken()
    yield buffer.taken()


class _Pipe(io.RawIOBase):
    """What a ZipFile has written since it was last asked."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        self._at += len(part)
        return len(part)

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
