"""POST /generate as it is documented, and GET of one sample at its own address."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response

from app.dependencies import Metering, Pool
from app.errors import EngineDiffers
from app.formats.encoding import FILE_FORMATS
from app.generate.answer import NULL_LABEL, cache_control, etag, file_headers
from app.generate.endpoint import PATH
from app.generate.forms import KINDS, FileForm
from app.generate.samples import SeedRange
from app.generate.schemas import Generated, GenerateRequest, Truncation
from app.models.routes import VersionNumber
from app.openapi import file_of, problems
from library.identity import Identity
from library.latents import SEED_MAX
from library.versions import label_index

router = APIRouter(tags=["generate"], responses=problems(404, 409, 503, 504))

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORMS: dict[str, Any] = {name: _BINARY for name in KINDS if name != "application/json"}


@router.post(
    PATH,
    response_model=Generated,
    responses={
        200: {"content": _FORMS, "description": "JSON, or another form by Accept"},
        **problems(406),
    },
)
async def generate(
    request: GenerateRequest,
    accept: Annotated[str, Header(include_in_schema=False)] = "application/json",
) -> None:
    """Samples of a model, in the form that `Accept` names.

    Sample i has seed `seed + i`, and is the same alone or in any batch, in every form.
    """
    # This signature is for the documentation: app.generate.endpoint answers the path.


@router.get(
    "/models/{name}@{version}/samples/{label}/{seed}.png",
    response_class=Response,
    responses={
        **file_of("image/png"),
        304: {"description": "Unchanged"},
    },
)
async def sample(
    name: str,
    version: VersionNumber,
    label: Annotated[str, Path(description="a class of the model, or _ for none")],
    seed: Annotated[int, Path(ge=0, le=SEED_MAX)],
    pool: Pool,
    metrics: Metering,
    request: Request,
    truncation: Annotated[Truncation, Query()] = 1.0,
    engine: Annotated[str, Query(description="engine digest: the answer is then immutable")] = "",
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """One sample at its own address.  Nothing is computed for an answer of 304 or 409."""
    found = await pool.found(f"{name}@{version}")
    index = label_index(found, None if label == NULL_LABEL else label)
    loaded = await pool.ensure(found)
    have = loaded.engine_digest
    if engine and engine != have:
        raise EngineDiffers(
            f"This service samples with engine {have}.",
            field="engine",
            value=engine,
            remedy="Leave `engine` out to accept it: latents are equal, pixels may differ by "
            "rounding.",
        )
    (drawn,) = loaded.samplers[0].classes([seed], [index])
    identity = Identity(
        loaded.origin(truncation), found.labels[drawn] if found.labels else None, seed
    )
    caching = cache_control(found.private, immutable=bool(engine)).decode()
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    if known & {etag(identity), "*"}:
        metrics.answered("image/png", "304")
        headers = {"ETag": etag(identity), "Cache-Control": caching}
        return Response(status_code=304, headers=headers)
    form = FileForm(FILE_FORMATS["png"])
    async with pool.turn(found, 1) as turn:
        turn.begin(loaded, SeedRange(seed, 1, drawn), truncation, form, request.receive)
        made = await turn.next()
        assert made is not None
    metrics.answered("image/png", "200")
    response = Response(made[1], media_type="image/png", headers={"Cache-Control": caching})
    response.raw_headers.extend([*file_headers(identity, "png"), *turn.quota])
    return response
