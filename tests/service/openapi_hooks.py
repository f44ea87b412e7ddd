"""What schemathesis is told of this API; loaded by its own process (SCHEMATHESIS_HOOKS)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, HookContext

FILES = Path(os.environ["SYNTHORAX_TEST_FILES"])  # good files, by their media types
_BINARY = ("application/zip", "image/png", "image/jpeg", "image/webp", "application/dicom",
           "text/csv")  # fmt: skip


def _drawn(case: Case[Any], what: str, of: int) -> int:
    """A number below `of` that the case decides, so that a run can be repeated."""
    given = repr((what, case.path_parameters, case.query, case.body)).encode()
    return int.from_bytes(hashlib.sha256(given).digest()[:4]) % of


def _bodies(media_type: str) -> st.SearchStrategy[bytes]:
    """Good files, files with a byte changed, and bytes that are no file."""
    path = FILES / media_type.replace("/", "-")
    good = path.read_bytes()

    def changed(where: int, to: int) -> bytes:
        where %= len(good)
        return good[:where] + bytes([to]) + good[where + 1 :]

    damaged = st.builds(changed, st.integers(0, len(good) - 1), st.integers(0, 255))
    return st.just(good) | damaged | st.binary(max_size=100)


for _media_type in _BINARY:
    schemathesis.openapi.media_type(_media_type, _bodies(_media_type))


@schemathesis.hook
def before_call(_: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
    """Ask for each documented form; come from many addresses.

    Wrong keys are slowed by address: one address would make this take hours.
    """
    answers = case.operation.definition.raw["responses"]
    forms = [form for status, answer in answers.items() if status < "3"
             for form in answer.get("content", {})]  # fmt: skip
    if len(forms) > 1 and "Accept" not in case.headers:
        case.headers["Accept"] = forms[_drawn(case, "accept", len(forms))]
    number = _drawn(case, "address", 2**16)
    case.headers["X-Forwarded-For"] = f"10.7.{number >> 8}.{number & 255}"
