"""The bodies of the studies' routes and a study as it is shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.field_schemas import study
from app.schemas import Request
from app.train_jobs.schemas import DatasetNamed

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Kind = Literal["prepare", "generator", "runs", "results"]
Fraction = Annotated[float, Field(ge=0, le=1)]


class StudyRequest(Request):
    """A study on a dataset; its configuration is fixed before the first run."""

    dataset: DatasetNamed = Field(
        description="the id of a dataset, or a folder: a new one is validated and split first, and "
        "409 until it is; one that a job has trained on whole has no split, and a usefulness study "
        "refuses it"
    )
    config: dict[str, Any] = Field(json_schema_extra=study())


class UnitSeconds(BaseModel):
    """Of one unit, measured; null: the study has none of that kind."""

    model_config = ConfigDict(extra="allow")

    prepare: float | None = None
    generator_each: float | None = None
    runs_each: float | None = None
    results: float | None = None


class StudyEstimate(BaseModel):
    """What a study would take, counted; and how long on the worker's machine, measured there."""

    status: Literal["measured", "measuring", "failed"]
    reason: str | None = Field(None, description="why it could not be measured")
    units: dict[Kind, int]
    generators: int = Field(description="that are trained")
    classifiers: int = Field(description="that are trained")
    patients_known: bool = Field(description="else each image counts as a patient of its own")
    seconds: UnitSeconds | None = None
    total_seconds: float | None = Field(None, description="by one worker of each kind")


class Unit(BaseModel):
    """What one process does at a time."""

    name: str
    kind: Kind
    partition: str | None
    generator: int
    status: Literal["waiting", "ready", "running", "done"]
    phase: str | None = Field(description="while it runs")
    fraction: Fraction
    seconds: float | None = Field(description="that it took")


class KindProgress(BaseModel):
    done: int
    total: int
    fraction: Fraction


class StudyProgress(BaseModel):
    fraction: Fraction = Field(description="of the time that all units take, as far as it is known")
    eta_seconds: float | None = Field(description="about; null where it cannot be told")
    kinds: dict[Kind, KindProgress]


class StudyDataset(BaseModel):
    id: str
    name: str


class Score(BaseModel):
    """Predictions of a model of your own."""

    name: str
    error: dict[str, Any] | None = Field(description="why it is in no results")


class Study(BaseModel):
    id: str
    name: str
    status: Status
    created_at: str
    started_at: str | None
    finished_at: str | None
    dataset: StudyDataset
    patients_known: bool = Field(description="else each image counts as a patient of its own")
    config: dict[str, Any] = Field(description="every field resolved")
    progress: StudyProgress
    units: list[Unit] | None = Field(description="null in a list of studies")
    waiting: str | None = Field(description="why nobody is at it")
    verdict: dict[str, Any] | None = Field(
        description="of the newest results: verdict (benefit, equivalent, inconclusive, harm), text"
    )
    lights: dict[str, str] | None = Field(description="of the newest results")
    scores: list[Score]
    error: dict[str, Any] | None
    links: dict[str, str]


class Studies(BaseModel):
    data: list[Study]
    has_more: bool


class StudyResults(BaseModel):
    """results.json, schema 1: a field that is added does not change the schema."""

    model_config = ConfigDict(extra="allow")

    schema_version: Literal[1] = Field(alias="schema")
    study: str
    kind: Literal["usefulness", "small_class"]
    labels: list[str]
    positive: str
    verdict: dict[str, Any]
    lights: dict[str, str]
    checks: list[dict[str, Any]]
    data: dict[str, Any]
    arms: list[dict[str, Any]]
    contrasts: list[dict[str, Any]]
    limits: list[str]


class ArmsBeingMade(BaseModel):
    """They are being made: ask again."""

    status: Literal["making"]
