"""Datasets: what was found, and what was refused and why."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from app.dependencies import AppState
from library.datasets import list_records, read_record

router = APIRouter(prefix="/datasets", tags=["datasets"])


@router.get("")
def list_datasets(state: AppState) -> dict[str, Any]:
    """The folders that train jobs have named."""
    return {"data": list_records(state.settings.data_dir)}


@router.get("/{dataset}")
def get_dataset(dataset: str, state: AppState) -> dict[str, Any]:
    """One dataset; `refused` names the files that are no whole image, with the reason."""
    return read_record(state.settings.data_dir, dataset)
