"""GET of a strip between two samples: what a generator draws on the way from one to the other."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.dependencies import Metering, Pool
from app.formats import xmp
from app.formats.png import KEYWORD
from app.generate.answer import cache_control
from app.generate.levels import levels_of
from app.generate.schemas import Truncation
from app.models.routes import VersionNumber
from app.openapi import file_of, problems
from library.images import grid
from library.latents import SEED_MAX, between
from library.versions import label_index

router = APIRouter(tags=["generate"], responses=problems(409, 503, 504))

Seed = Annotated[int, Query(ge=0, le=SEED_MAX)]


@dataclass(frozen=True)
class Way:
    """Samples at latents between those of two seeds, all of one class."""

    first: int
    label: int | None
    z: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.z)

    def part(self, start: int, stop: int) -> tuple[Sequence[int], Sequence[int | None]]:
        # A null label is drawn once, from the first seed: a class does not change on the way.
        return [self.first] * (stop - start), [self.label] * (stop - start)

    def latents(self, start: int, stop: int) -> NDArray[np.float32]:
        return self.z[start:stop]


@router.get(
    "/models/{name}@{version}/interpolate",
    response_class=Response,
    responses=file_of("image/png"),
)
async def interpolate(
    name: str,
    version: VersionNumber,
    first: Annotated[Seed, Query(alias="from")],
    last: Annotated[Seed, Query(alias="to")],
    pool: Pool,
    metrics: Metering,
    request: Request,
    label: Annotated[str | None, Query(description="drawn from `from`, if left out")] = None,
    steps: Annotated[int, Query(ge=2, le=64, description="images, both ends included")] = 8,
    truncation: Annotated[Truncation, Query()] = 1.0,
) -> Response:
    """A strip of `steps` images from the sample of one seed to that of another, as one PNG.

    Its ends are those samples; between them the latent goes along the great circle.
    """
    found = await pool.found(f"{name}@{version}")
    index = label_index(found, label)
    loaded = await pool.ensure(found)
    way = Way(first, index, between(first, last, steps, found.latent_dim, truncation))
    levels = await levels_of(pool, loaded, way, truncation, request.receive)
    origin = loaded.origin(truncation)
    (drawn,) = loaded.samplers[0].classes([first], [index])
    facts = {
        "synthetic": True,
        "model": origin.model,
        "version_digest": origin.version_digest,
        "engine_digest": origin.engine_digest,
        "label": found.labels[drawn] if found.labels else None,
        "interpolation": {"from": first, "to": last, "steps": steps},
        "truncation": truncation,
    }
    metrics.answered("image/png", "200")
    headers = {"Cache-Control": cache_control(found.private).decode()}
    return Response(_strip(levels, facts), media_type="image/png", headers=headers)


def _strip(levels: NDArray[np.uint8], facts: dict[str, Any]) -> bytes:
    told = PngInfo()
    told.add_itxt(KEYWORD, json.dumps(facts))
    told.add_itxt("XML:com.adobe.xmp", xmp.packet(facts))
    buffer = io.BytesIO()
    Image.fromarray(grid(levels, len(levels))).save(buffer, "PNG", pnginfo=told)
    return buffer.getvalue()
