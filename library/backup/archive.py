"""A backup's file: a plain tar whose last member names each file with its SHA-256.

synthorax-backup.json   first: schema, version of Synthorax, time
data/…                  the data folder's files
redis.jsonl             what Redis held, a key a line
manifest.json           last: bytes and SHA-256 of each of the above, and a digest of that list

Written and read in one pass, so that it may go through a pipe.  A file that was copied and then
turned out not to belong (its dataset was deleted meanwhile) is in the tar and not in the list.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from library.digest import digest_json
from library.errors import Conflict, Unusable

SCHEMA = 1
HEAD, MANIFEST, REDIS, DATA = "synthorax-backup.json", "manifest.json", "redis.jsonl", "data/"
_APPENDED = (".jsonl", ".log")  # files that grow a line at a time
_SMALL = 2**24  # bytes, read at once
_BLOCK = 2**20  # bytes

Told = Callable[[int], None]  # bytes that have gone through


class Writer:
    """Adds members to a new archive.  Raises OSError where it cannot be written."""

    def __init__(self, file: IO[bytes], head: dict[str, Any], told: Told = lambda _: None) -> None:
        forward: Any = _Forward(file)
        self._tar = tarfile.open(fileobj=forward, mode="w", format=tarfile.PAX_FORMAT)
        self._told, self._done = told, 0
        self._head = {"schema": SCHEMA, **head}
        self.files: dict[str, dict[str, Any]] = {}
        self._dropped: set[str] = set()
        self._add_bytes(HEAD, _encoded(self._head))

    def add_file(self, path: Path, name: str) -> bool:
        """Copy a file as it is now; False when it is gone, or none that has content.

        The file is opened once: it may be replaced or removed meanwhile.  What grows a line at a
        time is cut after a whole one.  Raises Conflict when it becomes shorter under our hands.
        """
        try:
            # Not to wait for a writer, should it be a pipe.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            if path.exists():
                raise
            return False
        with open(handle, "rb") as file:
            facts = os.fstat(handle)
            size = facts.st_size
            if path.name.endswith(_APPENDED):
                size = _whole_lines(file, size)
            self.add_stream(name, file, size, facts.st_mtime)
        return True

    def add_stream(self, name: str, file: IO[bytes], size: int, mtime: float = 0) -> None:
        """Copy so many bytes."""
        if size <= _SMALL:  # what is short by now is taken as it is
            content = file.read(size)
            file, size = io.BytesIO(content), len(content)
        reading = _Digesting(file, self._progress)
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = size, mtime, 0o600
        try:
            self._tar.addfile(member, reading)
        except OSError as error:
            if error.errno is not None:  # of the archive: its disk is full
                raise
            raise Conflict(
                f"{name} became shorter while it was copied.", remedy="Run the backup again."
            ) from None
        # tarfile would remember them all.
        self._tar.members.clear()  # type: ignore[attr-defined]
        self.files[name] = {"bytes": size, "sha256": reading.digest.hexdigest()}
        self._dropped.discard(name)

    def add_bytes(self, name: str, content: bytes) -> None:
        self.add_stream(name, io.BytesIO(content), len(content))

    def drop(self, names: Iterable[str]) -> None:
        """These do not belong, after all."""
        for name in names:
            if self.files.pop(name, None) is not None:
                self._dropped.add(name)

    def finish(self) -> str:
        """Close the archive with its list; its identity."""
        content = {"head": self._head, "files": self.files, "dropped": sorted(self._dropped)}
        identity = digest_json(content)
        self._add_bytes(MANIFEST, _encoded({**content, "sha256": identity}))
        self._tar.close()
        return identity

    def _add_bytes(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o600
        self._tar.addfile(member, io.BytesIO(content))

    def _progress(self, count: int) -> None:
        self._done += count
        self._told(self._done)


@dataclass(frozen=True)
class Archive:
    """What an archive holds, once it has been read through."""

    identity: str
    head: dict[str, Any]
    files: dict[str, dict[str, Any]]  # name: bytes, sha256


def read(file: IO[bytes], into: Path | None = None, told: Told = lambda _: None) -> Archive:
    """Read an archive through and check every byte of it; with `into`, unpack it there.

    Raises Unusable, which names the file that is not what was written.
    """
    reader = _Reader(into, told)
    try:
        with tarfile.open(fileobj=file, mode="r|") as tar:
            while (member := tar.next()) is not None:
                reader.take(tar, member)
                tar.members.clear()  # type: ignore[attr-defined]
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(f"it ends or breaks after {reader.last or 'nothing'} ({error})") from None
    return reader.result()


class _Reader:
    def __init__(self, into: Path | None, told: Told) -> None:
        self._into, self._told, self._done = into, told, 0
        self.last = ""
        self._head: dict[str, Any] | None = None
        self._manifest: dict[str, Any] | None = None
        self._found: dict[str, dict[str, Any]] = {}

    def take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = member.name
        if self._manifest is not None:
            raise _damaged(f"{name} comes after its list")
        if not member.isreg() or not _is_ours(name):
            raise _damaged(f"{name!r} is nothing that a backup holds")
        content = tar.extractfile(member)
        assert content is not None  # of a regular file
        if self._head is None and name != HEAD:
            raise _foreign()
        if name in (HEAD, MANIFEST):
            self._json(name, content)
        else:
            self._file(member, content)
        self.last = name

    def _json(self, name: str, content: IO[bytes]) -> None:
        try:
            found = json.loads(content.read())
        except ValueError:
            raise _damaged(f"{name} cannot be read") from None
        if name == MANIFEST:
            self._manifest = found
            return
        self._head = found
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise _foreign()

    def _file(self, member: tarfile.TarInfo, content: IO[bytes]) -> None:
        path = None if self._into is None else self._into / member.name
        reading = _Digesting(content, self._progress)
        if path is None:
            while reading.read(_BLOCK):
                pass
        else:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with open(handle, "wb") as file:
                while block := reading.read(_BLOCK):
                    file.write(block)
            os.utime(path, (member.mtime, member.mtime))
        if reading.bytes != member.size:
            raise _damaged(f"it ends within {member.name}")
        self._found[member.name] = {"bytes": reading.bytes, "sha256": reading.digest.hexdigest()}

    def result(self) -> Archive:
        """Raises Unusable unless all is there as it was written."""
        if self._head is None:
            raise _foreign()
        if self._manifest is None:
            raise _damaged(f"it ends after {self.last}, before its list of files")
        content = dict(self._manifest)
        identity = content.pop("sha256", None)
        if identity != digest_json(content) or content.get("head") != self._head:
            raise _damaged(f"{MANIFEST} is not what was written")
        listed, dropped = content["files"], set(content["dropped"])
        for name in dropped:
            if self._found.pop(name, None) is not None and self._into is not None:
                (self._into / name).unlink()
        for name, facts in self._found.items():
            if listed.get(name) != facts:
                raise _damaged(f"{name} is not the file that was copied (its SHA-256 differs)")
        if missing := listed.keys() - self._found.keys():
            raise _damaged(f"{min(missing)} is missing")
        return Archive(identity, self._head, listed)

    def _progress(self, count: int) -> None:
        self._done += count
        self._told(self._done)


class _Forward:
    """Writes to a file that may be a pipe: it is never asked where it is."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._at = file, 0

    def write(self, block: bytes) -> int:
        self._file.write(block)
        self._at += len(block)
        return len(block)

    def tell(self) -> int:
        return self._at


class _Digesting:
    """Reads through to a file, counting and digesting."""

    def __init__(self, file: IO[bytes], told: Told) -> None:
        self._file, self._told = file, told
        self.bytes, self.digest = 0, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self.digest.update(block)
        self.bytes += len(block)
        self._told(len(block))
        return block


def _whole_lines(file: IO[bytes], size: int) -> int:
    """Bytes up to and with the last end of a line; the file is read from its beginning next."""
    start = size
    while start > 0:
        begin = max(0, start - 2**16)
        file.seek(begin)
        at = file.read(start - begin).rfind(b"\n")
        if at >= 0:
            start = begin + at + 1
            break
        start = begin
    file.seek(0)
    return start


def _is_ours(name: str) -> bool:
    if name in (HEAD, MANIFEST, REDIS):
        return True
    parts = PurePosixPath(name).parts
    return name.startswith(DATA) and "/".join(parts) == name and ".." not in parts


def _encoded(content: Any) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _foreign() -> Unusable:
    return Unusable(
        "This is no backup that this version of Synthorax can read.",
        remedy="Give a file that `synthorax backup` wrote.",
    )


def _damaged(what: str) -> Unusable:
    return Unusable(
        f"The archive is damaged: {what}. Nothing was restored.",
        remedy="Use another copy, or an older backup.",
    )
