"""What uploads may take of the disk, from their arrival on."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.datasets.receiving import Receiver
from app.datasets.service import DatasetService
from library.datasets.choices import WHOLE
from library.datasets.records import commit, read_record
from library.datasets.validation import failed
from library.errors import InvalidValue
from library.settings import Settings
from tests.valkey import Server
from worker.jobs import JobStore
from worker.queue import celery_app


def test_an_archive_counts_while_it_waits_for_its_validation(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        data_dir = tmp_path / "data"
        settings = Settings(data_dir=data_dir, redis_url=server.url, datasets_mb=2)
        receiver = Receiver(settings)
        service = DatasetService(settings, JobStore(server.client()), celery_app(settings))
        for number, left in enumerate((2**20, 0)):
            archive = tmp_path / "came.zip"
            archive.write_bytes(bytes(2**20))
            made = service.from_archive(archive, f"{number}" * 64, WHOLE, "up")
            assert made["status"] == "validating"
            if left:
                assert receiver.allowed() == left
        with pytest.raises(InvalidValue, match="take 2 of the 2 MiB"):
            receiver.allowed()
        # What cannot be a dataset is not kept.
        commit(data_dir, made["id"], failed(InvalidValue("no image")))
        assert read_record(data_dir, made["id"])["stored_bytes"] == 0
        assert receiver.allowed() == 2**20
