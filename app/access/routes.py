"""Logging in on the page, and tokens for event streams that cannot send headers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Literal
from urllib.parse import parse_qs

from fastapi import APIRouter, Path, Request, Response, status
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from app.access.callers import Caller, caller
from app.access.gate import COOKIE, EVENTS, EVENTS_SECONDS, Unauthorized
from app.access.login import local_path, login_page
from app.access.sessions import SECONDS as SESSION_SECONDS
from app.dependencies import AppState, Jobs
from app.openapi import MEDIA_TYPE, PROBLEM, WORDS, problems
from library.errors import InvalidValue

router = APIRouter(tags=["access"])

_BODY_MAX = 4096
FORM = "application/x-www-form-urlencoded"


class Session(BaseModel):
    """Who calls."""

    keys: bool = Field(description="whether this service is used with keys")
    key: str | None = Field(description="id of the caller's key")
    name: str | None
    scope: str | None = Field(description="generate, train or admin")
    by: Literal["key", "session", "token", "none"]


class EventToken(BaseModel):
    """For GET …/events?token=…, by whoever cannot send a header."""

    token: str
    expires_in: int = Field(description="seconds in which a stream can be opened")


@router.get("/session", response_model=Session)
def session(state: AppState) -> Session:
    """Who the caller is, and what they may do."""
    found = caller.get()
    assert found is not None
    return Session(
        keys=state.gate.keys.are_asked_for(),
        key=found.key or None,
        name=found.name or None,
        scope=found.scope,
        by=found.by,
    )


@router.post(
    "/session",
    status_code=status.HTTP_204_NO_CONTENT,
    response_class=Response,
    responses={
        303: {"description": "After a form: back to the page"},
        401: {
            "description": WORDS[401],
            "content": {MEDIA_TYPE: PROBLEM, "text/html": {"schema": {"type": "string"}}},
        },
        **problems(429),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                kind: {
                    "schema": {
                        "type": "object",
                        "required": ["key"],
                        "properties": {
                            "key": {"type": "string", "minLength": 1},
                            "next": {"type": "string"},
                        },
                    }
                }
                for kind in ("application/json", FORM)
            },
        }
    },
)
async def log_in(request: Request, state: AppState) -> Response:
    """Begin a session of twelve hours: a cookie that scripts cannot read.  401 for a wrong key."""
    by_form = request.headers.get("content-type", "").startswith(FORM)
    given = await _given(request, by_form)
    key = state.gate.keys.find(given["key"])
    who = caller.get()
    if key is None:
        await state.gate.wrong(who.address if who else "", "POST", "/session")
        if by_form:
            return login_page(given["next"], "This is none of this service's keys.")
        raise Unauthorized("The key is none of this service's.", field="key")
    if who is not None:  # for the log
        caller.set(replace(who, key=key.id, name=key.name))
    answer: Response = Response(status_code=status.HTTP_204_NO_CONTENT)
    if by_form:
        answer = RedirectResponse(local_path(given["next"]), status.HTTP_303_SEE_OTHER)
    https = "https" in (request.headers.get("x-forwarded-proto"), request.url.scheme)
    answer.set_cookie(
        COOKIE,
        state.gate.sessions.begin(key.id),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=https,
    )
    return answer


@router.delete("/session", status_code=status.HTTP_204_NO_CONTENT, responses=problems(507))
def log_out(request: Request, state: AppState) -> Response:
    """End the session of this browser: nothing is let in by its cookie any more."""
    session = request.cookies.get(COOKIE)
    if session is not None:
        state.gate.sessions.end(session)
    answer = Response(status_code=status.HTTP_204_NO_CONTENT)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


@router.post(
    "/train-jobs/{job}/events/tokens",
    status_code=status.HTTP_201_CREATED,
    responses=problems(503),
)
def event_token(
    job: Annotated[str, Path(max_length=64)], state: AppState, jobs: Jobs
) -> EventToken:
    """A token with which a job's events can be read within a minute, as ?token=…"""
    jobs.get(job)
    who: Caller | None = caller.get()
    about = {"key": who.key if who else "", "path": f"/train-jobs/{job}/events"}
    text = state.gate.signer.sign(EVENTS, about, EVENTS_SECONDS)
    return EventToken(token=text, expires_in=EVENTS_SECONDS)


async def _given(request: Request, by_form: bool) -> dict[str, str]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _BODY_MAX:
            break
    content: object = None
    if len(body) <= _BODY_MAX:
        try:
            text = body.decode()
            content = {k: v[0] for k, v in parse_qs(text).items()} if by_form else json.loads(text)
        except ValueError:
            pass
    key = content.get("key") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(key, str) or not key:
        raise InvalidValue("The body names no key.", field="key", remedy='Send {"key": "…"}.')
    target = content.get("next")
    return {"key": key.strip(), "next": target if isinstance(target, str) else "/"}
