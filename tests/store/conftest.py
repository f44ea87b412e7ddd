"""One S3 server for the tests of a file; each test has a prefix of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from library.settings import Settings
from library.store.shared import Store, open_store
from tests.store.bucket import Bucket


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with Bucket() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Inodes of what was synced since."""
    real, found = os.fsync, set[int]()

    def fsync(handle: int) -> None:
        found.add(os.fstat(handle).st_ino)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


@pytest.fixture
def machine(bucket: Bucket, tmp_path: Path) -> Callable[[str], Store]:
    """A machine's data folder over this test's part of the bucket."""
    url = f"{bucket.url}/{os.urandom(6).hex()}"

    def made(name: str) -> Store:
        found = open_store(Settings(data_dir=tmp_path / name, store=url))
        assert found is not None
        return found

    return made
