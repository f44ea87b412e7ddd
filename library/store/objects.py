"""Objects by name: in a bucket by fsspec, below a folder, or in memory.  Nothing is cached here."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from library.atomic import sync_folder
from library.errors import InvalidValue, Unavailable

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*(/[A-Za-z0-9][A-Za-z0-9._@-]*)*")
CONNECT_SECONDS, READ_SECONDS = 5, 20  # of one request to a bucket
_TRIES = 2  # of one request: whoever waits for the store tries again by itself


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
        """Objects that are not there count as removed."""


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
    return BucketObjects(url)


def checked(key: str) -> str:
    """A name that leads nowhere else.  Raises ValueError: ours are made by us."""
    if not KEY.fullmatch(key) or ".." in key:
        raise ValueError(f"{key!r} is no name of an object")
    return key


def check_claims(objects: Objects) -> None:
    """See that of two who create one object the second is refused.

    Raises Unavailable for a bucket that lets both: there two would get the same number.
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


class BucketObjects:
    """Objects by fsspec: s3://, and memory:// for tests."""

    def __init__(self, url: str) -> None:
        found = urlsplit(url)
        self._scheme = found.scheme
        self._root = f"{found.netloc}/{found.path.strip('/')}".strip("/")
        self._files = _filesystem(found.scheme)

    def read(self, key: str) -> bytes:
        with self._told(key):
            content: bytes = self._files.cat_file(self._path(key))
            return content

    def write(self, key: str, content: bytes) -> None:
        with self._told(key):
            self._files.pipe_file(self._path(key), content)

    def create(self, key: str, content: bytes) -> bool:
        with self._told(key):
            try:
                self._files.pipe_file(self._path(key), content, mode="create")
            except FileExistsError:
                # Perhaps our own: a request whose answer was lost is sent again by itself.
                return bool(self._files.cat_file(self._path(key)) == content)
        return True

    def upload(self, path: Path, key: str) -> None:
        with open(path, "rb"):
            pass
        with self._told(key):
            self._files.put_file(str(path), self._path(key))

    def download(self, key: str, path: Path) -> None:
        path.touch()
        with self._told(key):
            self._files.get_file(self._path(key), str(path))

    def list(self, prefix: str) -> dict[str, str]:
        with self._told(prefix):
            folder = self._path(prefix.rstrip("/"))
            found: Mapping[str, Any] = self._files.find(folder, detail=True)
            start = len(self._path("x")) - 1
            # S3 is told by the ETag, memory by the moment.
            return {
                name.lstrip("/")[start:]: str(about.get("ETag") or about.get("created"))
                for name, about in found.items()
                if about["type"] == "file"
            }

    def remove(self, keys: Iterable[str]) -> None:
        paths = [self._path(key) for key in keys]
        with self._told(""):
            if self._scheme == "s3" and paths:
                self._files.rm(paths)
            for path in paths if self._scheme != "s3" else ():
                with contextlib.suppress(FileNotFoundError):
                    self._files.rm_file(path)

    def _path(self, key: str) -> str:
        return f"{self._root}/{checked(key)}".lstrip("/")

    @contextlib.contextmanager
    def _told(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if "bucket" in str(error):
                raise StoreAway(f"The store's bucket is not there ({error}).") from None
            raise Missing(key) from None
        except PermissionError as error:
            raise StoreAway(
                f"The store refuses us ({_words(error)}).",
                remedy="Give this service keys (AWS_ACCESS_KEY_ID, …) that may list, get, put and "
                "delete below the store's prefix.",
            ) from None
        except ValueError:
            raise
        except Exception as error:  # fsspec lets through what botocore and aiohttp raise
            raise StoreAway(
                f"The store does not answer ({_words(error)}).",
                remedy="Nothing is lost; it is tried again. See that its address and keys are "
                "right and that it runs.",
            ) from None


def _filesystem(scheme: str) -> Any:
    """fsspec's, without a memory of listings: others change them.  Raises Unavailable."""
    options: dict[str, Any] = {"skip_instance_cache": True}
    if scheme == "s3":
        options["use_listings_cache"] = False
        options["config_kwargs"] = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"max_attempts": 1},  # s3fs has its own
        }
    try:
        import fsspec

        found = fsspec.filesystem(scheme, **options)
    except ImportError:
        raise Unavailable(
            "SYNTHORAX_STORE is set, and the packages for it are not installed.",
            field="SYNTHORAX_STORE",
            remedy="pip install 'synthorax[s3]', or 's3fs' beside it.",
        ) from None
    if scheme == "s3":
        found.retries = _TRIES
    return found


def _words(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
