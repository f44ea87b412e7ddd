"""An archive on its way in: written as it comes, bounded, and a dataset only when it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import ParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from app.guard import BODY_MAX, too_large
from library.datasets.choices import Choices, resolve
from library.datasets.records import list_records
from library.digest import digest_json
from library.disk import DiskFull
from library.errors import Busy, InvalidValue
from library.settings import Settings

AT_ONCE = 4  # uploads
_BUFFER = 2**20  # bytes that are written together
_SPARE = 2**30  # bytes of the disk that uploads leave free
_ABANDONED = 86_400  # seconds after which a file of a process that is gone is removed
_LOOK_EVERY = 64 * 2**20  # bytes, between two looks at the disk


class CutOff(InvalidValue):
    """Whoever sent an archive is gone; nobody reads this."""


class Archive:
    """A file that grows in memory of at most a few MiB; its digest is known at its end."""

    def __init__(self, path: Path, allowed: int) -> None:
        self._allowed, self.path = allowed, path
        self._file: BinaryIO = open(path, "xb")
        self._buffer = bytearray()
        self._digest = hashlib.sha256()
        self._looked = -_LOOK_EVERY
        self.size = 0

    async def write(self, part: bytes) -> None:
        """Take some bytes.  Raises TooLarge, DiskFull, OSError."""
        self.size += len(part)
        if self.size > self._allowed:
            raise too_large("The archive is larger than is allowed here.", self._allowed)
        self._buffer += part
        if len(self._buffer) >= _BUFFER:
            await run_in_threadpool(self._flush)

    def _flush(self) -> None:
        if self.size - self._looked >= _LOOK_EVERY:
            self._looked = self.size
            free = shutil.disk_usage(self.path.parent).free
            if free < _SPARE:
                raise DiskFull(
                    f"The disk of {str(self.path.parent)!r} has {free // 2**20} MiB left.",
                    field="SYNTHORAX_DATA_DIR",
                    remedy="Free some space, then send the archive again.",
                )
        self._file.write(self._buffer)
        self._digest.update(self._buffer)
        self._buffer.clear()

    async def finish(self) -> str:
        """Make it durable; its SHA-256."""
        await run_in_threadpool(self._sync)
        return self._digest.hexdigest()

    def _sync(self) -> None:
        self._flush()
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class Receiver:
    """Takes uploads, a few at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.data_dir / "datasets" / ".incoming"
        self._now = 0

    @asynccontextmanager
    async def incoming(self) -> AsyncIterator[Archive]:
        """An archive to write to; its file is removed at the end of the block.

        Raises Busy when as many are on their way as may be, InvalidValue when the quota is used
        up, CutOff where the sender went away within the block.
        """
        allowed = await run_in_threadpool(self.allowed)
        if self._now >= AT_ONCE:
            raise Busy(
                f"{self._now} uploads are on their way.",
                remedy="Send this one when one of them is done.",
            )
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clean()
        archive = Archive(self._folder / f"{secrets.token_hex(8)}.zip", allowed)
        self._now += 1
        try:
            yield archive
        except ClientDisconnect:
            raise CutOff("The upload ended before its end.", field="body") from None
        finally:
            self._now -= 1
            archive.close()
            archive.path.unlink(missing_ok=True)

    def allowed(self) -> int:
        """Bytes that an archive may have now.  Raises InvalidValue when the quota is used up."""
        most = self._settings.upload_mb * 2**20
        quota = self._settings.datasets_mb * 2**20
        if not quota:
            return most
        records = list_records(self._settings.data_dir)
        used = sum(int(record.get("stored_bytes", 0)) for record in records)
        if used >= quota:
            raise InvalidValue(
                f"Uploads take {used // 2**20} of the {quota // 2**20} MiB that they may.",
                field="SYNTHORAX_DATASETS_MB",
                value=quota // 2**20,
                remedy="Delete a dataset, or allow more.",
            )
        return min(most, quota - used)

    def _clean(self) -> None:
        """Remove what a process that was killed has left: half archives, and whole ones that
        it could not make a dataset of any more."""
        datasets = self._folder.parent
        with suppress(OSError):
            for path in (*self._folder.iterdir(), *datasets.glob("ds-*/upload.zip")):
                if time.time() - path.stat().st_mtime < _ABANDONED:
                    continue
                if path.parent == self._folder:
                    path.unlink(missing_ok=True)
                elif not (datasets / f"{path.parent.name}.json").is_file():
                    shutil.rmtree(path.parent, ignore_errors=True)


async def receive_raw(stream: AsyncIterator[bytes], archive: Archive) -> None:
    """A body that is the archive itself."""
    async for part in stream:
        await archive.write(part)


async def receive_form(
    stream: AsyncIterator[bytes], archive: Archive, content_type: str
) -> dict[str, str]:
    """A multipart body with `file`; its other fields (name, choices).  Raises InvalidValue."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise _wrong("Content-Type", "The multipart body names no boundary.")
    form = _Form()
    parser = MultipartParser(boundary, form.callbacks())
    try:
        async for part in stream:
            parser.write(part)
            for piece in form.taken():
                await archive.write(piece)
        parser.finalize()
    except ParseError as error:
        raise _wrong("body", f"The multipart body is damaged ({error}).") from None
    if not form.ended:
        raise ClientDisconnect
    if "file" not in form.seen:
        raise _wrong("file", "The multipart body has no part named file.")
    return {name: bytes(value).decode(errors="replace") for name, value in form.fields.items()}


class _Form:
    """What a multipart parser tells: the file's bytes as they come, other fields bounded."""

    def __init__(self) -> None:
        self.fields: dict[str, bytearray] = {}
        self.seen: set[str] = set()
        self.ended = False
        self._pieces: list[bytes] = []
        self._name = ""
        self._header = (bytearray(), bytearray())

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def taken(self) -> list[bytes]:
        """Bytes of the file since the last call."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def _begin(self) -> None:
        self._name = ""

    def _header_end(self) -> None:
        field, value = (bytes(part) for part in self._header)
        self._header = (bytearray(), bytearray())
        if field.lower() == b"content-disposition":
            _, options = parse_options_header(value)
            self._name = options.get(b"name", b"").decode(errors="replace")

    def _headers_finished(self) -> None:
        if self._name not in ("file", "name", "choices"):
            raise _wrong(self._name or "body", f"The body has no part {self._name!r}.")
        if self._name in self.seen:
            raise _wrong(self._name, f"The body has two parts {self._name!r}.")
        self.seen.add(self._name)
        if self._name != "file":
            self.fields[self._name] = bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._name == "file":
            self._pieces.append(data[start:end])
            return
        value = self.fields[self._name]
        value += data[start:end]
        if len(value) > BODY_MAX // 8:
            raise _wrong(self._name, f"The part {self._name!r} is too long.")

    def _end(self) -> None:
        self.ended = True


def choices_of(text: str | None) -> Choices:
    """Choices that came as JSON beside an archive.  Raises InvalidValue."""
    if not text:
        return resolve({})
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong("choices", f"choices is not JSON ({error}).") from None
    return resolve(given)


def upload_id(digest: str, choices: Choices) -> str:
    """The same archive with the same choices is the same dataset, however often it is sent."""
    return f"ds-{digest_json([digest, choices.as_dict()])[:12]}"


def _wrong(field: str, detail: str) -> InvalidValue:
    return InvalidValue(
        detail,
        field=field,
        remedy="Send a ZIP as the body (application/zip), or multipart/form-data with a part "
        "`file` and, if wanted, `name` and `choices` (JSON).",
    )
