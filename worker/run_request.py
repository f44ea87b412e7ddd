"""What a job's trainer goes by, from the record: a resume may have changed how long the run is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from library.config import resolve
from library.requests import RunRequest
from library.runs import run_folder
from library.settings import Settings


def run_request(record: Mapping[str, Any], settings: Settings) -> RunRequest:
    request = record["request"]
    dataset = request["dataset"]
    return RunRequest(
        run=run_folder(settings.data_dir, record["id"]),
        dataset=Path(dataset["path"]) if dataset["path"] else None,
        dataset_id=dataset["id"],
        fingerprint=dataset.get("fingerprint"),
        model=request["model"],
        preset=request["preset"],
        config=resolve(request["preset"], request["config"]),
        data_dir=settings.data_dir,
        job=record["id"],
        metadata=request["metadata"],
        publish_if=request.get("publish_if", "any"),
        hand_over=bool(settings.store),  # the worker publishes where machines share a store
    )
