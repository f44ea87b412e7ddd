"""The decoder of POST /verify: a process with bounds, which has none of the API's secrets."""

from __future__ import annotations

import base64
from typing import Any

from app.verify.reading import read
from library.decoding.answering import Blobs, answer
from library.errors import InvalidValue

_NAMING = (
    "model", "version_digest", "engine_digest", "precision", "label", "seed", "truncation",
)  # fmt: skip


def run(task: dict[str, Any]) -> tuple[dict[str, Any], Blobs]:
    """The levels of a file and what it says of itself, or what is wrong with it."""
    try:
        picture = read(_decoded(task["content"]) if task["base64"] else task["content"])
    except InvalidValue as error:
        return {"wrong": [error.detail, error.value, error.remedy]}, ()
    facts = picture.facts
    if facts is not None:
        facts = {name: _plain(facts[name]) for name in _NAMING if name in facts}
    found = {"shape": picture.levels.shape, "facts": facts, "lossy": picture.lossy}
    return found, (picture.levels.tobytes(),)


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InvalidValue(
            f"image is no base64 ({error}).",
            field="image",
            value=text[:40].decode(errors="replace"),
            remedy="Encode the file with standard base64, without line breaks.",
        ) from None


def _plain(value: Any) -> Any:
    """Anything nested names nothing, and may be nested without end."""
    return [] if isinstance(value, list | dict) else value


if __name__ == "__main__":
    answer(run)
