"""The bodies of the datasets' routes and a dataset as it is shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.field_schemas import choices
from app.schemas import Request

Name = Annotated[str, Field(min_length=1, max_length=200)]


class FolderRequest(Request):
    """A folder below a configured root, used in place: nothing is copied."""

    path: str = Field(min_length=1, max_length=4096, description="under a configured root")
    name: Name | None = None
    choices: dict[str, Any] = Field(
        default_factory=dict,
        description="GET /datasets/choices lists them",
        json_schema_extra=choices(),
    )


class WithdrawalRequest(Request):
    """Whose images are to go: a patient's id as it stands in the source, or one of their files."""

    patient: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    dataset: Annotated[str, Field(max_length=64)] | None = None
    file: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    versions: Literal["retire", "delete"] = "retire"
    dry_run: bool = Field(False, description="say what would go, and change nothing")


class Tally(BaseModel):
    images: int
    patients: int | None = Field(default=None, description="null: not known")


class SplitTally(Tally):
    labels: dict[str, int] = Field(default_factory=dict)


class Reason(BaseModel):
    file: str
    reason: str


class Change(BaseModel):
    file: str
    change: Literal["added", "removed", "changed"]


class Progress(BaseModel):
    phase: Literal["listing", "reading", "comparing", "writing"]
    done: int
    total: int = Field(description="files; 0: not known")


class Near(BaseModel):
    files: list[str]
    correlation: float


class Duplicates(BaseModel):
    identical: int = Field(description="files with the same bytes as another, left out")
    near_pairs: int
    near_images: int = Field(description="nearly the same as another; never in another split")
    near: list[Near] = Field(description="the first 1,000 pairs")


class Dataset(BaseModel):
    id: str
    name: str
    path: str | None = Field(description="of a folder in place; null: an upload")
    status: Literal["validating", "ready", "failed"]
    created_at: float | None = None
    choices: dict[str, Any] | None = None
    fingerprint: str | None
    images: int
    patients: int | None = None
    labels: dict[str, Tally]
    splits: dict[str, SplitTally] = Field(default_factory=dict)
    split_by: Literal["given", "random", "none"] | None = None
    patients_by: str | None = Field(
        default=None, description="table, dicom, none, a known pattern, or an expression"
    )
    layout: str | None = None
    table: dict[str, Any] | None = None
    duplicates: Duplicates | None = None
    outliers: dict[str, int] = Field(default_factory=dict, description="images by flag")
    refused: list[Reason] = Field(description="files that cannot be read, the first 1,000")
    refused_count: int = 0
    refused_reasons: dict[str, int] = Field(default_factory=dict)
    left_out: list[Reason] = Field(
        default_factory=list, description="whole files that are not used, the first 1,000"
    )
    left_out_count: int = 0
    left_out_reasons: dict[str, int] = Field(default_factory=dict)
    statistics: dict[str, Any] | None = None
    stored_bytes: int = 0
    changed: list[Change] = Field(
        default_factory=list, description="files that kept a run from going on, the first 1,000"
    )
    progress: Progress | None = Field(default=None, description="of the validation")
    error: dict[str, Any] | None
    links: dict[str, str] = Field(default_factory=dict)


class Datasets(BaseModel):
    data: list[Dataset]


class File(BaseModel):
    id: int
    file: str
    status: Literal["accepted", "refused", "left_out"]
    reason: str | None
    label: str | None
    split: str | None
    group: int | None = Field(description="images of one patient, and near-duplicates, share it")
    kind: str | None
    width: int | None
    height: int | None
    depth: int | None
    flags: list[str]
    covariates: dict[str, str]
    sha256: str | None


class Files(BaseModel):
    data: list[File]
    next: int | None = Field(description="pass it as `after` for the next page")
