"""POST /verify: a file as it is, or in JSON with a claim."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request

from app.dependencies import AppState
from app.guard import MEDIA_TYPES_OF
from app.openapi import problems
from app.schemas import parsed
from app.verify.schemas import Verified, VerifyRequest
from app.verify.service import verify as compare

router = APIRouter(tags=["generate"], responses=problems(409, 503, 504))

PATH = "/verify"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": VerifyRequest.model_json_schema()},
            **{name: _BINARY for name in MEDIA_TYPES_OF[PATH]},
        },
    }
}


@router.post(PATH, response_model=Verified, openapi_extra=_BODY)
async def verify(
    request: Request,
    state: AppState,
    content_type: Annotated[str, Header(include_in_schema=False)] = "",
) -> Verified:
    """Which version, label, seed and truncation made this picture: exact, rounding or unknown.

    Send the file itself, which names its sample; or JSON with the file in base64 and, where the
    file has lost its provenance, the sample that it is said to be.
    """
    pictures = state.pictures
    async with pictures.received(request) as body:
        if content_type.partition(";")[0].strip().lower() in MEDIA_TYPES_OF[PATH]:
            return await compare(state.pool, await pictures.read(body), None)
        # Not here, on the event loop: a large one takes a while.
        asked = await asyncio.to_thread(parsed, VerifyRequest, body)
        picture = await pictures.read(asked.image.encode(), base64=True)
        return await compare(state.pool, picture, asked)
