"""Bodies of POST /generate, and how a large request is asked for in parts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from synthorax.errors import EngineChanged, SynthoraxError

SEED_MAX = 2**53 - 1
PART = 4096  # images of one array answer
Item = tuple[str | None, int]  # label, seed


def drawn_seed(count: int) -> int:
    """A random seed of the first of `count` images, drawn here: a retry makes the same images."""
    return secrets.randbelow(2**31 - min(count, 2**30))


def body_of(
    label: str | None,
    count: int,
    seed: int | None,
    model: str | None,
    truncation: float,
    items: Sequence[Item] | None,
) -> dict[str, Any]:
    """The body of one request, with its seed.  Raises SynthoraxError for what cannot be."""
    shared = {"model": model, "truncation": truncation}
    if items is None:
        if count < 1:
            raise SynthoraxError(f"count is {count}: give at least one image.")
        first = drawn_seed(count) if seed is None else seed
        return {**shared, "label": label, "count": count, "seed": first}
    if label is not None or seed is not None or count != 1:
        raise SynthoraxError("Give items, or label, count and seed, not both.")
    if not len(items):
        raise SynthoraxError("items is empty: give at least one image.")
    return {**shared, "items": [{"label": name, "seed": number} for name, number in items]}


def parts_of(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same images as requests that an array answer can hold."""
    if "items" in body:
        items = body["items"]
        for start in range(0, len(items), PART):
            yield {**body, "items": items[start : start + PART]}
        return
    for start in range(0, body["count"], PART):
        count = min(PART, body["count"] - start)
        yield {**body, "seed": body["seed"] + start, "count": count}


def check_engine(began: tuple[str, str], now: tuple[str, str]) -> None:
    """Raise EngineChanged where the version or the engine is another one than at the beginning."""
    if now != began:
        what = "version" if now[0] != began[0] else "engine"
        raise EngineChanged(
            f"The service's {what} is another one than this work began with.",
            "Begin it anew, or serve with the settings and software of before.",
        )


def rejected_of(told: str | None) -> int:
    """The count of the header Synthorax-Near-Copies: rejected=3; report=…"""
    for part in (told or "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == "rejected" and value.isdecimal():
            return int(value)
    return 0


def media_type(picture: bytes) -> str:
    """What kind of picture a file's first bytes say it is; PNG where they say nothing."""
    for start, name in ((b"\xff\xd8", "image/jpeg"), (b"RIFF", "image/webp")):
        if picture.startswith(start):
            return name
    return "application/dicom" if picture[128:132] == b"DICM" else "image/png"
