"""What every request model shares."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Request(BaseModel):
    """Strict (true is no number, "1" is no number) and closed (no unknown fields)."""

    model_config = ConfigDict(strict=True, extra="forbid")
