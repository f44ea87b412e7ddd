"""The body of POST /train-jobs and a job as it is shown."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.schemas import Request


class DatasetPath(Request):
    path: str = Field(min_length=1, max_length=4096, description="under a configured root")


class TrainJobRequest(Request):
    """Train on a folder of images, and publish the result under a name."""

    dataset: DatasetPath
    model: str = Field(description="name to publish under", examples=["my-chest-xrays"])
    preset: str = Field("quick", description="GET /presets lists them")
    config: dict[str, Any] = Field(
        default_factory=dict, description="overrides of the preset, as GET /presets shows them"
    )
    metadata: Annotated[dict[str, str], Field(max_length=32)] = Field(default_factory=dict)


class Progress(BaseModel):
    epoch: int
    epochs: int
    images: int
    fraction: float
    eta_seconds: float


class Metrics(BaseModel):
    """The paper's five numbers, latest; D(G(z)) before and after the discriminator's update."""

    loss_d: float
    loss_g: float
    d_x: float
    d_g_z1: float
    d_g_z2: float
    images_per_second: float


class TrainJob(BaseModel):
    id: str
    status: str = Field(description="queued, running, cancelling, succeeded, failed or cancelled")
    created_at: str
    started_at: str | None
    finished_at: str | None
    attempt: int
    preset: str
    config: dict[str, Any] = Field(description="resolved, with the seed")
    dataset: dict[str, Any]
    publish_as: str
    metadata: dict[str, str]
    queue_position: int | None = Field(description="0: next")
    progress: Progress | None
    metrics: Metrics | None
    model: str | None = Field(description="the published version, once there is one")
    error: dict[str, Any] | None
    links: dict[str, str]


class TrainJobs(BaseModel):
    data: list[TrainJob]
    has_more: bool
    next: str | None = Field(description="give it as `after` for the next page")
