"""The bodies of the generate jobs' routes and a job as it is shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from app.generate.schemas import (
    EngineIdentity,
    FileFormat,
    Label,
    Model,
    Seed,
    Truncation,
    check_last_seed,
)
from app.schemas import Request
from library.errors import InvalidValue
from library.generate_jobs import COUNT_MAX, SHARD_IMAGES, SHARD_IMAGES_MAX, SHARD_IMAGES_MIN

LABELS_MAX = 100

Container = Literal["webdataset", "zip"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class GenerateJobRequest(Request):
    """`count` samples from `seed` on, in shards."""

    model: Model | None = Field(None, description="name or name@version; null: the active one")
    label: Label | None = Field(None, description="a class of the model; null: drawn by the seed")
    labels: list[Label] | None = Field(
        None,
        min_length=1,
        max_length=LABELS_MAX,
        description="classes that take turns: sample i is of labels[i mod their number]",
        examples=[["NORMAL", "PNEUMONIA"]],
    )
    count: int = Field(ge=1, le=COUNT_MAX, examples=[100_000])
    seed: Seed | None = Field(None, description="sample i has seed + i; null: drawn at random")
    truncation: Truncation = 1.0
    format: FileFormat = "png"
    container: Container = Field(
        "webdataset", description="tar files that WebDataset reads, or ZIPs as POST /generate makes"
    )
    shard_images: int = Field(
        SHARD_IMAGES, ge=SHARD_IMAGES_MIN, le=SHARD_IMAGES_MAX, description="samples of a shard"
    )

    @model_validator(mode="after")
    def _possible(self) -> GenerateJobRequest:
        if self.label is not None and self.labels is not None:
            raise InvalidValue(
                "label is given beside labels.",
                field="label",
                value=self.label,
                remedy="Give one class as label, or several that take turns as labels.",
            )
        check_last_seed(self.seed, self.count)
        return self


class Progress(BaseModel):
    shards: int = Field(description="that are there")
    images: int = Field(description="that are written, those of unfinished shards too")
    fraction: Annotated[float, Field(ge=0, le=1)]
    images_per_second: float | None = Field(description="of late, by all workers")
    eta_seconds: float | None


class Shard(BaseModel):
    """One file of the job."""

    file: str
    first_seed: int
    images: int
    labels: dict[str, int]
    bytes: int
    sha256: str = Field(description="of the file")


class GenerateJob(BaseModel):
    id: str
    status: Status
    created_at: str
    finished_at: str | None
    model: str
    digest: str = Field(description="of the version")
    labels: list[str] | None = Field(description="classes that take turns; null: drawn by the seed")
    count: int
    seed: int
    truncation: float
    format: FileFormat
    container: Container
    shard_images: int
    shards: int
    engine: EngineIdentity | None = Field(
        description="that makes all shards; null before the first"
    )
    progress: Progress
    waiting: str | None = Field(description="why nobody is at it")
    error: dict[str, Any] | None
    links: dict[str, str]


class GenerateJobs(BaseModel):
    data: list[GenerateJob]
    has_more: bool


class Shards(BaseModel):
    """The shards that are there."""

    data: list[Shard]


class Manifest(BaseModel):
    """All of a job that has succeeded; the same bytes whoever made it and however often killed."""

    schema_version: Literal[1] = Field(alias="schema")
    synthetic: Literal[True]
    job: str
    model: str
    digest: str
    seed: int
    count: int
    truncation: float
    format: FileFormat
    container: Container
    labels_in_turn: list[str] | None
    engine: EngineIdentity
    images: int
    labels: dict[str, int]
    bytes: int
    shards: list[Shard]
