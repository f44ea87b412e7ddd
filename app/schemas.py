"""What every request model shares."""

from __future__ import annotations

from typing import TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError


class Request(BaseModel):
    """Strict (true is no number, "1" is no number) and closed (no unknown fields)."""

    model_config = ConfigDict(strict=True, extra="forbid")


M = TypeVar("M", bound=Request)


def parsed(model: type[M], body: bytes) -> M:
    """A JSON body as a request model.  Raises RequestValidationError, as FastAPI's routes do."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in found]) from None
