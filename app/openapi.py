"""The OpenAPI document: what FastAPI finds, and what all answers have in common.

FastAPI knows the routes' own answers.  The guard's, the problems' form and the headers that every
answer has are written here, so that no answer is left out.
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from app.access.audit import Audit
from app.access.scopes import OPEN, needed

MEDIA_TYPE = "application/problem+json"
PROBLEM = {"schema": {"$ref": "#/components/schemas/Problem"}}
_FASTAPIS = ("HTTPValidationError", "ValidationError")  # ours are problems
_CHANGES = ("post", "put", "patch", "delete")
# What a problem's status means, in the document.
WORDS = {
    401: "A key is needed, or this one is none",
    403: "The key does not allow this, or another web page asks",
    404: "There is no such thing",
    406: "There is no such form of the answer",
    409: "Not possible in this state",
    413: "The body is too large",
    415: "The body has another form than is asked for",
    421: "The Host header names another host",
    422: "A value is not allowed; `errors` names each",
    429: "A limit is reached; Retry-After says when to come again",
    503: "At its bound, or a part of the service is away; Retry-After says when to come again",
    504: "The deadline passed",
    507: "The disk is full",
}
_HEADERS = {
    "X-Request-ID": {
        "description": "the request's id, as in the logs",
        "required": True,
        "schema": {"type": "string", "pattern": r"^[\w.-]{8,64}$"},
    }
}
_RETRY_AFTER = {
    "description": "seconds",
    "required": True,
    "schema": {"type": "integer", "minimum": 0},
}


class WrongValue(BaseModel):
    """One value that was given and is not allowed."""

    field: str
    given: Any
    allowed: str


class Problem(BaseModel):
    """RFC 9457: what went wrong, and what to do."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    errors: list[WrongValue] = Field(default_factory=list)
    suggestion: dict[str, Any] = Field(default_factory=dict, description="configuration to try")
    request_id: str = ""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route: that it can answer these problems."""
    return {status: {"description": WORDS[status]} for status in statuses}


def file_of(*media_types: str, **more: Any) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route: that it answers a file of one of these kinds."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"content": dict.fromkeys(media_types, binary), **more}}


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with the guard's answers, problems, headers, keys and links."""
    schemas = document["components"]["schemas"]
    for name in _FASTAPIS:
        schemas.pop(name, None)
    _, ours = models_json_schema(
        [(Problem, "serialization")], ref_template="#/components/schemas/{model}"
    )
    schemas.update(ours["$defs"])
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "synthorax_ID_SECRET"}
    }
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    for path, method, operation in operations:
        _complete(path, method, operation)
    return document


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    for status in _of_all(path, method, operation):
        answers.setdefault(str(status), {"description": WORDS[status]})
    for status, answer in answers.items():
        answer["headers"] = {**_HEADERS, **answer.get("headers", {})}
        if status in ("429", "503") and "content" not in answer:
            answer["headers"]["Retry-After"] = _RETRY_AFTER
        if int(status) >= 400 and (status == "422" or "content" not in answer):
            answer.update({"content": {MEDIA_TYPE: PROBLEM}, "description": WORDS[int(status)]})
    operation["responses"] = dict(sorted(answers.items()))
    if needed(method.upper(), path) is not OPEN:  # a key, where there are any
        operation["security"] = [{}, {"key": []}]


def _of_all(path: str, method: str, operation: dict[str, Any]) -> set[int]:
    """What the guard and FastAPI can answer on a route, whatever it does."""
    found = set() if path.startswith("/health/") else {421}
    if needed(method.upper(), path) is not OPEN:
        found |= {401, 403, 429}
    if method in _CHANGES:
        found |= {403, 413, 415}
    if method != "delete" and Audit.wants(method.upper(), path):
        found.add(507)
    if re.search(r"\{", path):
        found.add(404)
    if operation.get("parameters") or "requestBody" in operation:
        found.add(422)
    return found


class Described(FastAPI):
    """FastAPI with the whole document."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = completed(super().openapi())
        return self.openapi_schema
