"""Objects by name: in a bucket, or below a folder.  Nothing is cached here."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from library.atomic import sync_folder
from library.errors import InvalidValue, Unavailable

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*(/[A-Za-z0-9][A-Za-z0-9._@-]*)*")


class StoreAway(Unavailable):
    slug, title = "store-away", "The store is away"


class Missing(Exception):
    """There is no object of this name."""


class Objects(Protocol):
    """Methods raise StoreAway when the store cannot be reached or refuses us.

    An object is whole or not there; what was written is seen by the next read and listing.
    """

    def read(self, key: str) -> bytes:
        """Raises Missing."""

    def write(self, key: str, content: bytes) -> None:
        """Put an object, or another in its place."""

    def create(self, key: str, content: bytes) -> bool:
        """Put an object where there is none; False when there is one, whoever came first."""

    def upload(self, path: Path, key: str) -> None:
        """Put a file of any size.  Raises OSError for the file."""

    def download(self, key: str, path: Path) -> None:
        """Get an object of any size into a file.  Raises Missing, OSError for the file."""

    def list(self, prefix: str) -> dict[str, str]:
        """Names that begin with `prefix`, which ends with /, and what tells of a change."""

    def remove(self, keys: Iterable[str]) -> None:
        """Objects that are not there count as removed; all others are when this returns."""


def check_url(url: str) -> None:
    """Raises InvalidValue for what is no store that we know."""
    found = urlsplit(url)
    named = bool(found.netloc) if found.scheme == "s3" else found.path.startswith("/")
    known = found.scheme in ("s3", "file", "memory") and (named or found.scheme == "memory")
    prefix = found.path.strip("/")
    proper = found.scheme == "file" or not prefix or KEY.fullmatch(prefix)
    if not known or not proper or "@" in found.netloc or found.query or found.fragment:
        raise InvalidValue(
            # Not the value: it may hold a secret.
            "SYNTHORAX_STORE is no address of a store.",
            field="SYNTHORAX_STORE",
            remedy="Use s3://BUCKET/PREFIX or file:///FOLDER.  Keys do not belong into it: S3 "
            "reads AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL and their like.",
        )


def open_objects(url: str) -> Objects:
    """Raises InvalidValue for another address, Unavailable without the package that it takes."""
    check_url(url)
    found = urlsplit(url)
    if found.scheme == "file":
        return FolderObjects(Path(unquote(found.path)))
    from library.store.bucket import BucketObjects

    return BucketObjects(url)


def checked(key: str) -> str:
    """A name that leads nowhere else.  Raises ValueError: ours are made by us."""
    if not KEY.fullmatch(key) or ".." in key:
        raise ValueError(f"{key!r} is no name of an object")
    return key


def check_claims(objects: Objects) -> None:
    """See that of two who create one object the second is refused, and that it can be removed.

    Raises Unavailable for a bucket that lets both: there two would get the same number; StoreAway
    for one that deletes nothing: what is withdrawn would stay.
    """
    key = f"state/claims/{secrets.token_hex(8)}"
    try:
        if objects.create(key, b"first") and not objects.create(key, b"second"):
            return
    finally:
        objects.remove([key])
    raise Unavailable(
        "The store lets two create the same object: numbers of versions would not be unique.",
        field="SYNTHORAX_STORE",
        remedy="Use a bucket that honours If-None-Match on a put.",
    )


class FolderObjects:
    """Objects as files below a folder: a disk that is mounted by all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> bytes:
        with self._told(key):
            return self._path(key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        with self._told(key), self._prepared(key) as (temporary, path):
            temporary.write_bytes(content)
            _sync(temporary)
            os.replace(temporary, path)

    def create(self, key: str, content: bytes) -> bool:
        with self._told(key), self._prepared(key) as (temporary, path):
            temporary.write_bytes(content)
            _sync(temporary)
            try:
                os.link(temporary, path)  # unlike a rename it takes nobody's place
            except FileExistsError:
                return False
        return True

    def upload(self, path: Path, key: str) -> None:
        with open(path, "rb") as source, self._told(key), self._prepared(key) as (temporary, to):
            with open(temporary, "wb") as target:
                while part := source.read(2**20):
                    target.write(part)
            _sync(temporary)
            os.replace(temporary, to)

    def download(self, key: str, path: Path) -> None:
        with self._told(key), open(self._path(key), "rb") as source, open(path, "wb") as target:
            while part := source.read(2**20):
                target.write(part)

    def list(self, prefix: str) -> dict[str, str]:
        with self._told(prefix):
            found = {}
            for path in self._path(prefix.rstrip("/")).rglob("*"):
                # What is being written has a name with a dot.
                if not path.name.startswith(".") and path.is_file():
                    with contextlib.suppress(FileNotFoundError):  # just removed
                        about = path.stat()
                        key = path.relative_to(self._folder).as_posix()
                        found[key] = f"{about.st_mtime_ns}-{about.st_size}-{about.st_ino}"
            return found

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            with self._told(key):
                self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / checked(key)

    @contextlib.contextmanager
    def _prepared(self, key: str) -> Iterator[tuple[Path, Path]]:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            yield temporary, path
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)

    @contextlib.contextmanager
    def _told(self, key: str) -> Iterator[None]:
        if not self._folder.is_dir():
            # Never made here: of a disk that is not mounted the folder would be another one.
            raise StoreAway(f"The store's folder {str(self._folder)!r} is not there.")
        try:
            yield
        except FileNotFoundError:
            raise Missing(key) from None
        except OSError as error:
            raise StoreAway(f"The store does not take {key} ({error.strerror}).") from None


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
