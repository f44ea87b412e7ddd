"""The bodies of the train jobs' routes and a job as it is shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, RootModel, Tag

from app.field_schemas import configuration
from app.schemas import Request
from worker import events

SECONDS_MAX = 100_000_000  # that a job may be given; about three years

Priority = Literal["high", "normal", "low"]
Metadata = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=64)],
        Annotated[str, Field(max_length=1024)],
    ],
    Field(max_length=32, description="free words, kept with the job and in the version's card"),
]
Labels = Annotated[
    list[Annotated[str, Field(pattern=r"^[\w.:/-]{1,64}$")]],
    Field(max_length=16, description="words to find jobs by: GET /train-jobs?label="),
]
Seconds = Annotated[
    int, Field(ge=1, le=SECONDS_MAX, description="stop, with a checkpoint, after so long a run")
]
Url = Annotated[
    str, Field(max_length=2048, description="told of the job's end; hosts are the operator's")
]


PublishIf = Literal["any", "not_red"]
_REPORT = "report on the published version, where the dataset has held-out images"
_PUBLISH_IF = "not_red: hold the version back until its report has no red light"


class DatasetPath(Request):
    path: str = Field(min_length=1, max_length=4096, description="under a configured root")


def _kind(given: Any) -> str:
    return "[id]" if isinstance(given, str) else "[folder]"


# Errors name the field alone: app.errors drops the tags.
DatasetNamed = Annotated[
    Annotated[str, Field(min_length=1, max_length=64, description="id of a dataset"), Tag("[id]")]
    | Annotated[DatasetPath, Tag("[folder]")],
    Discriminator(_kind),
    Field(description="the id of a dataset (its train split is used), or a folder (all of it is)"),
]


class TrainJobRequest(Request):
    """Train on a dataset, and publish the result under a name."""

    dataset: DatasetNamed
    model: str = Field(description="name to publish under", examples=["my-chest-xrays"])
    preset: str | None = Field(
        None, description="GET /presets lists them, and which one is taken where this is left out"
    )
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="overrides of the preset, as GET /presets shows them",
        json_schema_extra=configuration(),
    )
    metadata: Metadata = Field(default_factory=dict)
    labels: Labels = Field(default_factory=list)
    priority: Priority = "normal"
    max_seconds: Seconds | None = None
    webhook: Url | None = None
    report: bool = Field(True, description=_REPORT)
    publish_if: PublishIf = Field("any", description=_PUBLISH_IF)


class Phase(BaseModel):
    from_images: int = Field(description="images shown, from which on a step costs this")
    images_per_second: float


class Estimate(BaseModel):
    """What a run would take on the worker's machine."""

    status: Literal["measured", "measuring", "failed"]
    reason: str | None = Field(None, description="why it could not be measured")
    seconds: float | None = Field(None, description="of the whole run")
    images: int | None = Field(None, description="real images that it would show")
    images_per_second: float | None = None
    phases: list[Phase] = Field(default_factory=list)
    memory_bytes: int | None = Field(None, description="at its peak")
    device: str | None = None
    threads: int | None = None
    precision: str | None = None


class CloneRequest(Request):
    """What is to differ from the job that is cloned; what is left out stays as it is there."""

    dataset: DatasetNamed | None = None
    model: str | None = None
    config: dict[str, Any] = Field(
        default_factory=dict,
        description='over the job\'s resolved configuration; {"seed": null} draws a new seed',
        json_schema_extra=configuration(),
    )
    metadata: Metadata | None = None
    labels: Labels | None = None
    priority: Priority | None = None
    max_seconds: Seconds | None = None
    webhook: Url | None = None
    report: bool | None = None
    publish_if: PublishIf | None = None


class ResumeRequest(Request):
    """What may change in a run that goes on."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="how many the whole run shall have"
    )
    on_collapse: Literal["stop", "continue"] | None = None
    max_seconds: Seconds | None = Field(default=None, description="from now on")


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


class Waiting(BaseModel):
    """Why a queued job waits, and when it will begin as far as that can be told."""

    reason: str
    starts_in_seconds: float | None


class AttemptEnd(BaseModel):
    """An attempt that ended without a result."""

    attempt: int
    time: str
    reason: str


class WebhookState(BaseModel):
    status: str = Field(description="pending, delivered or failed")
    attempts: int


class TrainJob(BaseModel):
    id: str
    status: str = Field(description="queued, running, cancelling, succeeded, failed or cancelled")
    created_at: str
    request_id: str | None = Field(
        None, description="of the request that made it: log lines of every attempt carry it"
    )
    started_at: str | None
    finished_at: str | None
    attempt: int
    ends: list[AttemptEnd] = Field(description="attempts that ended without a result, latest last")
    ran_seconds: float = Field(description="over all attempts, since it was queued or resumed")
    worker: str | None = Field(description="the last one that ran it")
    preset: str
    config: dict[str, Any] = Field(description="resolved, with the seed")
    dataset: dict[str, Any]
    publish_as: str
    metadata: dict[str, str]
    labels: list[str]
    priority: Priority
    max_seconds: int | None
    report: bool
    publish_if: PublishIf
    cloned_from: str | None
    finishing: bool = Field(description="asked to end after its epoch and publish")
    queue_position: int | None = Field(description="0: next")
    waiting: Waiting | None
    progress: Progress | None
    metrics: Metrics | None
    model: str | None = Field(description="the published version, once there is one")
    error: dict[str, Any] | None
    environment: dict[str, Any] | None = Field(
        None, description="device, threads, arithmetic and versions of the run; null in a list"
    )
    webhook: WebhookState | None
    links: dict[str, str]


class TrainJobs(BaseModel):
    data: list[TrainJob]
    has_more: bool
    next: str | None = Field(description="give it as `after` for the next page")


class Checkpoint(BaseModel):
    """A full training state in the run folder: what a resume goes on from."""

    step: int
    epoch: float | None = Field(description="epochs done")
    bytes: int
    created_at: str
    sha256: str | None


class Checkpoints(BaseModel):
    data: list[Checkpoint]


class Event(RootModel[events.Event]):
    """One event of a job."""


class EventPage(BaseModel):
    """Events in their order; each also has `id`, its place in the stream."""

    data: list[Event]
    has_more: bool
    next: str | None = Field(description="give it as `after` for the next page")
    trimmed: bool = Field(description="earlier events are gone; …/metrics has every number")
