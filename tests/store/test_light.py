"""The light worker over a store: what is damaged there ends in an error, not in another try."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from library.datasets.choices import resolve
from library.datasets.records import begin_upload, read_record, upload_of
from library.reports import begin_report, find_record
from library.settings import Settings
from library.store.objects import FolderObjects
from library.store.shared import Store, open_store
from library.version_states import WAITS, hold
from library.versions import Broken, ModelLibrary
from tests.test_versions import publish
from tests.valkey import Server
from worker.light import validate_dataset
from worker.reports import make_report

ID = "ds-0123456789ab"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> Settings:
    """Of a light worker; another machine has received an upload, which is damaged in the store."""
    (tmp_path / "store").mkdir()
    api = Store(FolderObjects(tmp_path / "store"), tmp_path / "api")
    archive = upload_of(api.data_dir, ID)
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"PK")
    begin_upload(api.data_dir, ID, resolve({}), "up")
    api.datasets.push(ID, new=True)
    (pack,) = (key for key in api.objects.list(f"files/datasets/{ID}/") if "." not in key)
    api.objects.write(pack, b"no")
    made = Settings(redis_url=server.url, lease_seconds=2, store=f"file://{tmp_path}/store")
    return replace(made, data_dir=tmp_path / "light")


def test_a_validation_of_it_fails(server: Server, settings: Settings) -> None:
    store = open_store(settings)
    assert store is not None
    before = set(store.objects.list("files/"))
    validate_dataset(ID, server.client(), settings)
    late = Store(store.objects, settings.data_dir.with_name("late"))
    late.refresh()
    for data_dir in (settings.data_dir, late.data_dir):  # it is told to all
        record = read_record(data_dir, ID)
        assert record["status"] == "failed"
        assert "is not what was put there" in record["error"]["detail"]
    assert set(store.objects.list("files/")) == before  # the operator may put it right


def test_a_report_on_it_fails(server: Server, settings: Settings) -> None:
    library = ModelLibrary(settings.models, bundled=None)
    version = publish(library)
    hold(version, WAITS)
    report = begin_report(settings.data_dir, version, {"dataset": ID}, gate=True)["id"]
    make_report(report, server.client(), settings, threading.Event())
    record = find_record(settings.data_dir, report)
    assert record["status"] == "failed"
    assert "is not what was put there" in record["error"]["detail"]
    (found,) = library.versions()
    assert isinstance(found, Broken)
    assert found.reason == f"its report {report} failed"
