"""Datasets: what was found, and what was refused and why."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response, status
from pydantic import BaseModel, Field

from app.dependencies import AppState, Jobs
from app.schemas import Request
from library.datasets import list_records, read_record, scan, validate_again, within_roots
from worker.jobs import reaching_redis
from worker.queue import enqueue_validation

router = APIRouter(prefix="/datasets", tags=["datasets"])


class DatasetRequest(Request):
    """A folder with one sub-folder of images per class, used in place."""

    path: str = Field(min_length=1, max_length=4096, description="under a configured root")
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class Images(BaseModel):
    images: int


class RefusedFile(BaseModel):
    file: str
    reason: str


class ChangedFile(BaseModel):
    file: str
    change: Literal["added", "removed", "changed"]


class Done(BaseModel):
    done: int
    total: int


class Dataset(BaseModel):
    id: str
    name: str
    path: str
    status: Literal["validating", "ready", "failed"]
    fingerprint: str | None
    images: int
    labels: dict[str, Images]
    refused: list[RefusedFile] = Field(description="files that are no whole image")
    changed: list[ChangedFile] = Field(
        default_factory=list, description="files that kept a run from going on, the first 1,000"
    )
    progress: Done | None = Field(default=None, description="of the validation, in files")
    error: dict[str, Any] | None


class Datasets(BaseModel):
    data: list[Dataset]


@router.post("", status_code=status.HTTP_202_ACCEPTED, response_model=Dataset)
def create(request: DatasetRequest, state: AppState, jobs: Jobs, response: Response) -> Any:
    """Validate a folder in place: every file is read as a trainer will read it."""
    folder = scan(within_roots(request.path, state.settings.roots, "path"), "path")
    assert state.celery is not None  # there is one whenever there is a store
    with reaching_redis():
        jobs.ping()  # nothing is registered that cannot be validated
        record = validate_again(state.settings.data_dir, folder, request.name)
        enqueue_validation(state.celery, record["id"])
    response.headers["Location"] = f"/datasets/{record['id']}"
    return record


@router.get("", response_model=Datasets)
def list_datasets(state: AppState) -> Any:
    """The folders that train jobs have named, or that were validated."""
    return {"data": list_records(state.settings.data_dir)}


@router.get("/{dataset}", response_model=Dataset)
def get_dataset(dataset: str, state: AppState) -> Any:
    """One dataset; `refused` names the files that are no whole image, with the reason."""
    return read_record(state.settings.data_dir, dataset)
