"""The body of POST /generate and its answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from app.schemas import Request
from library.errors import InvalidValue
from library.latents import SEED_MAX, TRUNCATION_MAX

COUNT_MAX = 100_000  # in a ZIP; other forms hold fewer
ITEMS_MAX = 10_000

Seed = Annotated[int, Field(ge=0, le=SEED_MAX, examples=[42])]
Truncation = Annotated[float, Field(gt=0, le=TRUNCATION_MAX, description="psi: scales the latents")]
Model = Annotated[str, Field(min_length=1, max_length=80, examples=["chest-xray-dcgan@1"])]
FileFormat = Literal["png", "jpeg", "webp", "dicom"]
Label = Annotated[str, Field(max_length=200)]


def check_last_seed(seed: int | None, count: int) -> None:
    """Raises InvalidValue where `count` samples from a seed on go past the last one."""
    if seed is not None and seed + count - 1 > SEED_MAX:
        raise InvalidValue(
            f"The last seed would be {seed + count - 1}.",
            field="seed",
            value=seed,
            remedy=f"seed + count - 1 must be at most {SEED_MAX} (2^53 - 1).",
        )


class Item(Request):
    """One sample, named."""

    seed: Seed
    label: Label | None = None


class GenerateRequest(Request):
    """Either `count` samples from `seed` on, or a list of `items`.

    How many an answer can hold depends on its form: JSON 256, a picture 1, npy and npz 4,096, a ZIP
    100,000.
    """

    model: Model | None = Field(None, description="name or name@version; null: the active one")
    label: Label | None = Field(None, description="a class of the model; null: drawn by the seed")
    count: int = Field(1, ge=1, le=COUNT_MAX)
    seed: Seed | None = Field(None, description="sample i has seed + i; null: drawn at random")
    truncation: Truncation = 1.0
    items: list[Item] | None = Field(None, min_length=1, max_length=ITEMS_MAX)

    reject_near_copies: bool = Field(
        False,
        description="replace samples that lie too near to a training image, by others that their "
        "seeds name; needs a report made on this server; at most 4,096 images",
    )
    format: FileFormat | None = Field(None, description="of the files in a ZIP; null: png")

    @model_validator(mode="after")
    def _one_form(self) -> GenerateRequest:
        if self.items is not None:
            given = self.model_fields_set & {"label", "count", "seed"}
            if given:
                name = sorted(given)[0]
                raise InvalidValue(
                    f"{name} is given beside items.",
                    field=name,
                    value=getattr(self, name),
                    remedy="Give items, or label, count and seed, not both.",
                )
        else:
            check_last_seed(self.seed, self.count)
        return self


class ModelIdentity(BaseModel):
    name: str
    version: int
    digest: str


class EngineIdentity(BaseModel):
    backend: str
    precision: str
    digest: str


class Image(BaseModel):
    index: int
    seed: int
    label: str | None
    width: int
    height: int
    sha256: str = Field(description="of the pixels, row by row, one byte each")
    png: str = Field(description="base64")
    requested_seed: int | None = Field(None, description="with reject_near_copies")
    rejected: int | None = Field(None, description="samples rejected before this one")


class NearCopiesRejected(BaseModel):
    rejected: int
    report: str


class Generated(BaseModel):
    """The answer of POST /generate in JSON."""

    model: ModelIdentity
    engine: EngineIdentity
    synthetic: bool = True
    images: list[Image]
    near_copies: NearCopiesRejected | None = Field(None, description="with reject_near_copies")
