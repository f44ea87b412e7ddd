"""Objects in a bucket by fsspec: s3://, and memory:// for tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from library.errors import Unavailable
from library.store.objects import Missing, StoreAway, checked

CONNECT_SECONDS, READ_SECONDS = 5, 20  # of one request to a bucket
_TRIES = 2  # of one request: whoever waits for the store tries again by itself
_DELETED_AT_ONCE = 1000  # S3's limit
_RIGHTS = (
    "Give this service keys (AWS_ACCESS_KEY_ID, …) that may list, get, put and delete below the "
    "store's prefix."
)


class BucketObjects:
    """As library.store.objects says."""

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
            if self._scheme == "s3":
                for start in range(0, len(paths), _DELETED_AT_ONCE):
                    self._delete(paths[start : start + _DELETED_AT_ONCE])
                return
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    self._files.rm_file(path)

    def _delete(self, paths: Sequence[str]) -> None:
        """fsspec's `rm` passes over what S3 refuses one by one, in an answer that says 200."""
        bucket = self._root.partition("/")[0]
        named = [{"Key": path.partition("/")[2]} for path in paths]
        answer = self._files.call_s3(
            "delete_objects", Bucket=bucket, Delete={"Objects": named, "Quiet": True}
        )
        if refused := answer.get("Errors"):
            first, more = refused[0], f", and {len(refused) - 1} more" if refused[1:] else ""
            raise StoreAway(
                f"The store does not delete {first['Key']} ({first['Code']}){more}.",
                remedy=_RIGHTS,
            )

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
            raise StoreAway(f"The store refuses us ({_words(error)}).", remedy=_RIGHTS) from None
        except (ValueError, StoreAway):
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
