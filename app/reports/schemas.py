"""The bodies of the reports' routes, and report.json as it is documented."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas import Request
from library.latents import SEED_MAX
from library.settings import COUNT_MAX, COUNT_MIN

Light = Literal["green", "amber", "red", "not estimable"]


class ReportRequest(Request):
    """A report on a version, against the held-out images of a dataset."""

    dataset: str | None = Field(
        None, max_length=64, description="id; null: the one that it was trained on"
    )
    count: int = Field(1000, ge=COUNT_MIN, le=COUNT_MAX, description="samples of each label")
    seed: Annotated[int, Field(ge=0, le=SEED_MAX - COUNT_MAX)] = Field(
        0, description="of the first sample of each label"
    )


class ReportProgress(BaseModel):
    phase: str
    fraction: float


class ReportRecord(BaseModel):
    id: str
    created_at: float = Field(description="s since 1970")
    status: Literal["pending", "running", "complete", "failed"]
    model: str | None
    dataset: str | None
    gate: bool = Field(description="its version is held until no light is red")
    job: str | None
    progress: ReportProgress | None
    lights: dict[str, Light]
    error: dict[str, Any] | None
    links: dict[str, str]


class ReportList(BaseModel):
    data: list[ReportRecord]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")


class Lights(BaseModel):
    """There is no overall score."""

    fidelity: Light
    usefulness: Light
    privacy: Light


class ReportCheck(BaseModel):
    light: Literal["fidelity", "usefulness", "privacy"]
    check: str
    label: str | None
    verdict: Light
    text: str


class ClassNumbers(_Part):
    """Numbers of a class; with each NAME also NAME_floor, NAME_sd (of real sets about it), NAME_z,
    NAME_error (standard error over other seeds) and NAME_interval (95 %, of other seeds).

    KID and FD carry their extractor's name: kid_lite0, fd_lite0.
    """

    n: int = Field(description="images a side in each comparison")
    n_real: int
    n_fake: int
    precision: float
    density: float
    coverage: float
    coverage_floor: float
    msssim_fake: float
    msssim_real: float
    estimable: bool


class Report(_Part):
    """report.json, schema 1: a field that is added does not change the schema."""

    schema_version: Literal[1] = Field(alias="schema")
    id: str
    created_at: str
    lights: Lights
    checks: list[ReportCheck]
    model: dict[str, Any] | None
    data: dict[str, Any]
    protocol: dict[str, Any]
    fidelity: dict[str, ClassNumbers]
    fidelity_delivery: dict[str, ClassNumbers] | None
    ruler: dict[str, list[dict[str, Any]]]
    conditioning: dict[str, Any] | None
    usefulness: dict[str, Any]
    privacy: dict[str, Any]
    limits: list[str]


class Difference(BaseModel):
    metric: str
    label: str
    one: float
    other: float
    floor: float
    better: Literal["one", "other", "none"]


class Comparison(BaseModel):
    """Two versions' newest reports, number by number."""

    one: dict[str, Any]
    other: dict[str, Any]
    differences: list[Difference]
