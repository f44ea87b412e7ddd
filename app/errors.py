"""Errors as RFC 9457 `application/problem+json`, naming field, what was given, what is allowed."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match

from app.access.gate import Unauthorized
from library.errors import Conflict, InvalidValue, SynthoraxError, shown
from library.logs import request_id

logger = logging.getLogger("synthorax.app")


class NotAcceptable(SynthoraxError):
    slug, title, status = "not-acceptable", "There is no such form of the answer", 406


class EngineDiffers(Conflict):
    slug, title = "engine-differs", "Another engine samples here"


_NOT_JSON = InvalidValue("The body is no JSON.", field="body", remedy="Send JSON, in UTF-8.")


def problem_response(problem: dict[str, Any], retry_after: int = 1) -> JSONResponse:
    if identity := request_id.get():
        problem = {**problem, "request_id": identity}  # as in the log, and the header X-Request-ID
    headers = {"Retry-After": str(retry_after)} if problem["status"] in (429, 503) else {}
    return JSONResponse(
        problem, problem["status"], headers=headers, media_type="application/problem+json"
    )


def install(app: FastAPI) -> None:
    """Answer every error as a problem."""
    app.add_exception_handler(SynthoraxError, _any)
    app.add_exception_handler(RequestValidationError, _any)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _any)


def response_to(error: Exception) -> JSONResponse:
    """The problem that tells of an error."""
    if isinstance(error, SynthoraxError):
        answer = problem_response(error.as_problem(), error.retry_after)
        if isinstance(error, Unauthorized):
            answer.headers["WWW-Authenticate"] = error.challenge
        return answer
    if isinstance(error, RequestValidationError):
        return problem_response(InvalidValue.of(invalid_fields(error)).as_problem())
    logger.error("unexpected error", exc_info=error)
    problem = SynthoraxError(
        "The service made an error that it did not expect.",
        remedy="Its log holds the details; please report it.",
    )
    return problem_response(problem.as_problem())


async def _any(_: Request, error: Exception) -> JSONResponse:
    return response_to(error)


def invalid_fields(error: RequestValidationError) -> list[InvalidValue]:
    """Each wrong field of a request, as an error of its own."""
    found: list[InvalidValue] = []
    for each in error.errors():
        where = [str(part) for part in each["loc"] if not str(part).startswith("[")]
        given = shown(each.get("input"))
        if each["type"] == "json_invalid":
            field, allowed = "body", f"JSON ({each.get('ctx', {}).get('error', 'not JSON')})"
            given = None
        else:
            # ("body", "seed") is the field seed; a body that is no object stays "body".
            field = ".".join(where[1:]) or where[0]
            allowed = each["msg"]
        detail = f"{field} is {given!r}: {allowed}."
        found.append(_Field(detail, field=field, value=given, remedy=allowed))
    return found


class _Field(InvalidValue):
    """A wrong field, in pydantic's words; they stand in the detail already."""

    def __str__(self) -> str:
        return self.detail


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    headers = dict(error.headers or {})
    if isinstance(error.__cause__, SynthoraxError):  # met while FastAPI read the body
        return response_to(error.__cause__)
    if error.status_code == 400:  # FastAPI's, for bytes that are no text
        return problem_response(_NOT_JSON.as_problem())
    if error.status_code == 404:
        detail = f"There is nothing at {request.url.path!r}."
    elif error.status_code == 405:
        detail = f"{request.method} is not possible at {request.url.path!r}."
        headers["Allow"] = ", ".join(_methods(request))
    problem = {
        "type": "about:blank",
        "title": str(error.detail),
        "status": error.status_code,
        "detail": detail,
    }
    response = problem_response(problem)
    response.headers.update(headers)
    return response


def _methods(request: Request) -> list[str]:
    """What is possible at a path: starlette names the methods of the first route alone."""
    described = request.app.openapi()["paths"].get(request.url.path)
    if described is not None:  # such a path is no other's example
        return sorted(map(str.upper, described))
    found: set[str] = set()
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            found.add(method)
    return sorted(found)
