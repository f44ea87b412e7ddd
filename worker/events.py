"""What a job tells, as types: one schema for the trainer, the supervisor, the API and its clients.

Version 1.  A field that is added does not change the version; one that goes or changes does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Probability = Annotated[float, Field(ge=0, le=1)]
Whole = Annotated[int, Field(ge=0)]


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    schema_version: Literal[1] = Field(alias="schema")
    time: str = Field(description="ISO 8601, UTC")
    job: str | None = Field(description="null in a run without a service")
    id: str | None = Field(None, description="its place in the stream, in a page of JSON")


class StatusEvent(_Event):
    """The job, or its trainer, is in another state.  With more fields: what changed with it."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    type: Literal["status"]
    status: str = Field(
        description="queued, running, cancelling, succeeded, failed, cancelled; of a trainer "
        "alone also stopped"
    )
    phase: str | None = Field(None, description="preparing, training or publishing")
    reason: str | None = None
    attempt: Whole | None = None
    model: str | None = Field(None, description="the published version")
    error: dict[str, Any] | None = Field(None, description="a problem (RFC 9457)")


class MetricEvent(_Event):
    """The paper's five numbers: means of an epoch, or of the steps since the last event."""

    type: Literal["metric"]
    scope: Literal["epoch", "step"]
    epoch: Whole
    epochs: Whole
    step: Whole
    images: Whole = Field(description="real images shown so far")
    fraction: Probability = Field(description="of the run")
    loss_d: float
    loss_g: float
    d_x: Probability
    d_g_z1: Probability = Field(description="before the discriminator's update")
    d_g_z2: Probability = Field(description="after it")
    images_per_second: Annotated[float, Field(ge=0)]
    eta_seconds: Annotated[float, Field(ge=0)]


class CheckpointEvent(_Event):
    """A full training state is on the disk."""

    type: Literal["checkpoint"]
    step: Whole
    images: Whole


class SampleEvent(_Event):
    """The grid of the fixed noise after an epoch: /train-jobs/{job}/samples/{epoch}.png."""

    type: Literal["sample"]
    epoch: Annotated[int, Field(ge=1)]


class ValidationEvent(_Event):
    """How far the samples are from the validation images, by KID (not times 1,000)."""

    type: Literal["validation"]
    step: Whole
    images: Whole
    kid: float = Field(description="the mean over the labels")
    by_label: dict[str, float]
    best: float = Field(description="the least so far: these weights are published")
    best_step: Whole


class LogEvent(_Event):
    """A sentence for people; with more fields: its numbers.  Never a file's or person's name."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    type: Literal["log"]
    level: Literal["info", "warning", "error"]
    message: str


class EvaluationEvent(_Event):
    """A report on a published version of the job."""

    type: Literal["evaluation"]
    model: str
    report: str = Field(description="/models/{model}/reports/{report}")
    lights: dict[str, str] = Field(default_factory=dict)


Event = Annotated[
    StatusEvent
    | MetricEvent
    | CheckpointEvent
    | SampleEvent
    | ValidationEvent
    | LogEvent
    | EvaluationEvent,
    Field(discriminator="type"),
]
EVENT: TypeAdapter[Any] = TypeAdapter(Event)
