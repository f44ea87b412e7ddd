"""How near a sample lies to the training images: a number, and for the operator a picture."""

from __future__ import annotations

import asyncio
import io
import time
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Query, Response
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field

from app.dependencies import AppState, NearFilters, Pool
from app.generate.answer import NULL_LABEL
from app.generate.levels import levels_of
from app.generate.samples import Listed
from app.generate.schemas import Truncation
from app.models.routes import VersionNumber
from app.openapi import file_of, problems
from library.atomic import append_json
from library.errors import SynthoraxError
from library.latents import SEED_MAX
from library.near_copies import NearCopies
from library.versions import label_index

router = APIRouter(tags=["generate"], responses=problems(409, 503, 504))

LOOKS = "looks.jsonl"  # below the data folder: who looked at which training image is the operator's
_PATH = "/models/{name}@{version}/samples/{label}/{seed}/nearest"

Label = Annotated[str, Path(description="a class of the model, or _ for none")]
Seed = Annotated[int, Path(ge=0, le=SEED_MAX)]
Psi = Annotated[Truncation, Query()]


class NoPreviews(SynthoraxError):
    slug, title, status = "no-real-previews", "Training images are not shown here", 403


class Nearest(BaseModel):
    """The training image that a sample is nearest to, by correlation of 32 x 32 thumbnails."""

    correlation: float
    percentile: float | None = Field(
        description="percent of unseen real images that are less near to a training image; null: "
        "the report was made before they were kept"
    )
    near_copy: bool = Field(description="nearer than all but the nearest 1% of unseen real images")
    training_images: int
    report: str
    preview: bool = Field(description="whether this server shows the training image")


@router.get(_PATH, response_model=Nearest)
async def nearest(
    name: str, version: VersionNumber, label: Label, seed: Seed, pool: Pool, filters: NearFilters,
    state: AppState, truncation: Psi = 1.0,
) -> Nearest:  # fmt: skip
    """How near one sample lies to the nearest training image.  409 without a report made here."""
    report, known, levels = await _looked(
        f"{name}@{version}", label, seed, truncation, pool, filters
    )
    correlation, _ = await asyncio.to_thread(known.closest, levels)
    return Nearest(
        correlation=correlation,
        percentile=known.percentile(correlation),
        near_copy=correlation > known.threshold,
        training_images=len(known.thumbnails),
        report=report,
        preview=state.settings.real_previews,
    )


@router.get(f"{_PATH}.png", response_class=Response, responses=file_of("image/png"))
async def preview(
    name: str, version: VersionNumber, label: Label, seed: Seed, pool: Pool, filters: NearFilters,
    state: AppState, truncation: Psi = 1.0,
) -> Response:  # fmt: skip
    """That training image, 32 x 32.  403 unless the operator allows it; each look is logged."""
    if not state.settings.real_previews:
        raise NoPreviews(
            "This server does not show training images.",
            field="SYNTHORAX_REAL_PREVIEWS",
            remedy="Its operator can set SYNTHORAX_REAL_PREVIEWS=1, which shows patients' images.",
        )
    reference = f"{name}@{version}"
    report, known, levels = await _looked(reference, label, seed, truncation, pool, filters)
    _, index = await asyncio.to_thread(known.closest, levels)
    look = {
        "time": time.time(), "model": reference, "label": label, "seed": seed,
        "truncation": truncation, "report": report, "training_image": index,
    }  # fmt: skip
    await asyncio.to_thread(append_json, state.settings.data_dir / LOOKS, look)
    buffer = io.BytesIO()
    Image.fromarray(known.thumbnails[index]).save(buffer, "PNG")
    headers = {"Cache-Control": "private, no-store"}
    return Response(buffer.getvalue(), media_type="image/png", headers=headers)


async def _looked(
    reference: str, label: str, seed: int, truncation: float, pool: Pool, filters: NearFilters
) -> tuple[str, NearCopies, NDArray[np.uint8]]:
    """The report, its training images, and the sample's levels (r, r)."""
    found = await pool.found(reference)
    index = label_index(found, None if label == NULL_LABEL else label)
    report, known = await asyncio.to_thread(filters.find, found)
    loaded = await pool.ensure(found)
    (levels,) = await levels_of(pool, loaded, Listed([seed], [index]), truncation)
    return report, known, levels
