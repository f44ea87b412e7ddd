"""The body of POST /verify and its answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from app.generate.schemas import Label, Model, Seed, Truncation
from app.schemas import Request
from library.errors import InvalidValue

Verdict = Literal["exact", "rounding", "unknown"]
Source = Literal["request", "file"]


class VerifyRequest(Request):
    """A picture, and which sample it is said to be; without a seed, what the file says counts."""

    image: Annotated[str, Field(min_length=1, description="the file, base64")]
    seed: Seed | None = None
    model: Model | None = Field(None, description="name or name@version; null: the active one")
    label: Label | None = Field(None, description="null: the one drawn from the seed")
    truncation: Truncation = 1.0

    @model_validator(mode="after")
    def _a_claim_has_a_seed(self) -> VerifyRequest:
        given = self.model_fields_set & {"model", "label", "truncation"}
        if self.seed is None and given:
            name = sorted(given)[0]
            raise InvalidValue(
                f"{name} is given without a seed.",
                field="seed",
                value=None,
                remedy="Give the seed too; or leave all out, and the file's own words count.",
            )
        return self


class SampleIdentity(BaseModel):
    model: str
    version_digest: str
    label: str | None
    seed: int
    truncation: float


class Difference(BaseModel):
    pixels: int = Field(description="that differ")
    largest: int = Field(description="grey levels")


class Engine(BaseModel):
    named: str | None = Field(description="digest in the file; null where none is named")
    here: str
    backend: str
    precision: str


class Verified(BaseModel):
    """`exact`: the pixels are this sample's.  `rounding`: they differ as another engine's may.
    `unknown`: nothing here makes them."""

    verdict: Verdict
    detail: str
    source: Source | None = Field(description="who named the sample")
    sample: SampleIdentity | None
    engine: Engine | None
    difference: Difference | None
