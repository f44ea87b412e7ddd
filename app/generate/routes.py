"""POST /generate, and GET of one sample at its own address."""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import JSONResponse

from app.dependencies import Library, Samples
from app.engine.sampler import Sample
from app.errors import EngineDiffers
from app.generate.schemas import Generated, GenerateRequest
from app.generate.service import Answer
from app.negotiation import preferred
from library.errors import InvalidValue
from library.latents import SEED_MAX
from library.versions import label_index

router = APIRouter(tags=["generate"])

_FORMS = ("application/json", "image/png")
_NULL_LABEL = "_"


@router.post(
    "/generate",
    response_model=Generated,
    responses={200: {"content": {"image/png": {}}, "description": "JSON, or one PNG by Accept"}},
)
async def generate(
    request: GenerateRequest,
    samples: Samples,
    accept: Annotated[str, Header()] = "application/json",
) -> Response:
    """Samples of a model: JSON with base64 PNGs, or with `Accept: image/png` the picture itself.

    Sample i has seed `seed + i`, and is the same alone or in any batch.
    """
    form = preferred(accept, _FORMS)
    asked = len(request.items) if request.items is not None else request.count
    if form == "image/png" and asked != 1:
        raise InvalidValue(
            f"image/png holds one picture, and {asked} are asked for.",
            field="count" if request.items is None else "items",
            value=asked,
            remedy="Ask for one, or accept application/json.",
        )
    answer = await samples.generate(request)
    if form == "image/png":
        return _picture(answer)
    return JSONResponse(_as_json(answer), headers=_cache(answer))


@router.get(
    "/models/{name}@{version}/samples/{label}/{seed}.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, 304: {"description": "Unchanged"}},
)
async def sample(
    name: str,
    version: Annotated[int, Path(ge=1)],
    label: Annotated[str, Path(description="a class of the model, or _ for none")],
    seed: Annotated[int, Path(ge=0, le=SEED_MAX)],
    library: Library,
    samples: Samples,
    truncation: Annotated[float, Query(gt=0, le=1)] = 1.0,
    engine: Annotated[str, Query(description="engine digest: the answer is then immutable")] = "",
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """One sample at its own address."""
    found = library.find(f"{name}@{version}")
    index = label_index(found, None if label == _NULL_LABEL else label)
    answer = await samples.render(found, [Sample(seed, index)], truncation)
    have = answer.sampler.digest
    if engine and engine != have:
        raise EngineDiffers(
            f"This service samples with engine {have}.",
            field="engine",
            value=engine,
            remedy="Leave `engine` out to accept it: latents are equal, pixels may differ by "
            "rounding.",
        )
    etag = answer.images[0].etag
    if etag in [tag.strip() for tag in if_none_match.split(",")]:
        return Response(status_code=304, headers={"ETag": etag, **_cache(answer, bool(engine))})
    return _picture(answer, immutable=bool(engine))


def _picture(answer: Answer, immutable: bool = False) -> Response:
    image = answer.images[0]
    headers = {
        "ETag": image.etag,
        "Content-Disposition": f'inline; filename="{answer.version.name}-{image.seed}.png"',
        "Synthorax-Seed": str(image.seed),
        **_cache(answer, immutable),
    }
    return Response(image.png, media_type="image/png", headers=headers)


def _cache(answer: Answer, immutable: bool = False) -> dict[str, str]:
    if answer.version.private:
        return {"Cache-Control": "private, no-store"}
    if immutable:
        return {"Cache-Control": "public, max-age=31536000, immutable"}
    return {"Cache-Control": "no-cache"}


def _as_json(answer: Answer) -> dict[str, Any]:
    version, sampler = answer.version, answer.sampler
    return {
        "model": {"name": version.name, "version": version.version, "digest": version.digest},
        "engine": {
            "backend": sampler.backend.name,
            "precision": sampler.backend.precision,
            "digest": sampler.digest,
        },
        "synthetic": True,
        "images": [
            {
                "index": index,
                "seed": image.seed,
                "label": image.label,
                "width": image.width,
                "height": image.height,
                "sha256": image.sha256,
                "png": b64encode(image.png).decode("ascii"),
            }
            for index, image in enumerate(answer.images)
        ],
    }
