"""The bodies of the reader studies' routes, and what they answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.generate.schemas import Label, Model, Truncation
from app.schemas import Request
from library.reader_studies.design import ITEMS_MAX, REPEATS_MAX, TEXT_MAX

Kind = Literal["real", "synthetic"]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class ReaderStudyRequest(Request):
    """As many real as synthetic images of each class."""

    model: Model | None = Field(None, description="name or name@version; null: the active one")
    dataset: str | None = Field(
        None, max_length=200, description="whose held-out images are shown; null: the model's own"
    )
    labels: list[Label] | None = Field(None, max_length=100, description="classes; null: all")
    per_label: int = Field(
        25, ge=2, le=ITEMS_MAX // 2, description="images of each class and each kind"
    )
    truncation: Truncation = 1.0
    repeats: int = Field(
        0, ge=0, le=REPEATS_MAX, description="images that a reader sees twice; an even number"
    )
    margin: float = Field(
        0.1, ge=0.01, le=0.3, description="around an accuracy of 0.5: what counts as guessing"
    )
    seed: int | None = Field(None, ge=0, le=2**31 - 1, description="of what is drawn")
    name: Name = Field("Reader study", description="readers see it")
    consent: str | None = Field(
        None, min_length=1, max_length=TEXT_MAX, description="that readers accept; null: the usual"
    )
    real_images_may_be_shown: Literal[True] = Field(
        description="readers see real images of patients: say that this is allowed"
    )


class InviteRequest(Request):
    name: Name = Field(description="for the operator; a pseudonym will do", examples=["Reader 1"])


class DatasetOfStudy(BaseModel):
    id: str
    name: str
    fingerprint: str | None


class Design(BaseModel):
    """What was fixed before the first reader."""

    labels: list[str]
    per_label: int
    truncation: float
    repeats: int
    margin: float
    seed: int | None = Field(
        description="null until it is closed: all that is drawn follows from it"
    )
    name: str
    consent: str


class ReaderProgress(BaseModel):
    id: str
    name: str
    created_at: str
    consented_at: str | None
    answered: int
    total: int = Field(description="images, second showings among them")
    finished_at: str | None


class ReaderStudy(BaseModel):
    id: str
    created_at: str
    closed_at: str | None
    model: str
    digest: str = Field(description="of the version")
    dataset: DatasetOfStudy
    design: Design
    items: int
    resolution: int
    patients: int | None = Field(description="of the real images; null: the dataset names none")
    withdrawn: int = Field(description="images that patients have withdrawn")
    readers: list[ReaderProgress]
    links: dict[str, str]


class ReaderStudies(BaseModel):
    data: list[ReaderStudy]


class Invited(BaseModel):
    """The only time that the link is told."""

    reader: ReaderProgress
    token: str
    link: str = Field(description="of this service; what is behind # is never sent to a server")


class Estimate(BaseModel):
    """With its 95% interval; null: it cannot be estimated, or the study is still open."""

    value: float | None
    interval: list[float] | None


class ByLabel(BaseModel):
    label: str | None
    items: int
    accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate


class Repeats(BaseModel):
    images: int
    same: int
    agreement: Estimate
    kappa: float | None


class ReaderResult(BaseModel):
    reader: str
    name: str
    finished_at: str | None
    answers: int
    right: int | None = Field(description="null, as all that tells of it, until the close")
    accuracy: Estimate
    sensitivity: Estimate = Field(description="synthetic images that were found out")
    specificity: Estimate = Field(description="real images that were taken for real")
    called_synthetic: float | None
    area: Estimate | None = Field(description="under the ROC curve of answers with confidences")
    labels: list[ByLabel]
    seconds_median: float | None
    repeats: Repeats | None


class Results(BaseModel):
    """Of the readers who are through; how often they are right once the study is closed."""

    schema_version: Literal[1] = Field(alias="schema")
    study: str
    name: str
    model: str
    dataset: DatasetOfStudy
    closed_at: str | None
    items: int
    readers_invited: int
    readers_counted: int
    readers_removed: int = Field(description="before the close; in none of the numbers here")
    margin: float
    accuracy: Estimate = Field(description="for readers and images like these")
    accuracy_of_these_readers: Estimate = Field(description="for images like these")
    sensitivity: Estimate
    specificity: Estimate
    labels: list[ByLabel]
    readers: list[ReaderResult]
    agreement: dict[str, Any] = Field(description="Fleiss' kappa, Cohen's of each pair")
    verdict: dict[str, str] | None = Field(
        description="indistinguishable, told_apart, reversed or inconclusive"
    )
    limits: list[str]


class ConsentRequest(Request):
    accepted: Literal[True]
    signed: Name = Field(description="who consents; kept with the consent, part of no result")


class AnswerRequest(Request):
    position: int = Field(ge=0, lt=2 * ITEMS_MAX, description="of the image that is shown, from 0")
    answer: Kind
    confidence: int | None = Field(None, ge=1, le=5)
    milliseconds: int = Field(
        ge=0,
        le=86_400_000,
        description="since the image was shown; a day at most, if it was longer",
    )


class Reading(BaseModel):
    """How far a reader is.  Nothing tells whether an answer was right."""

    title: str
    consent: str
    consented_at: str | None
    answered: int
    total: int
    finished_at: str | None
    closed: bool
    resolution: int
