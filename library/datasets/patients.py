"""Which patient each file shows, from what the choices name; hashed before anything is kept."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from library.datasets.choices import Choices
from library.datasets.index import ACCEPTED, Index
from library.datasets.layout import Layout
from library.datasets.patterns import PATTERNS, Pattern, of_name, recognised
from library.decoding.identifiers import hashed
from library.decoding.pool import Decoders
from library.errors import InvalidValue

_LOOKED_AT = 5000  # paths, to recognise a public set by
_TOGETHER = 2000  # paths a task


def find_patients(
    index: Index, choices: Choices, layout: Layout, salt: bytes, decoders: Decoders, table: bool
) -> str:
    """Write each accepted file's patient into the index; returns where they come from.

    `table` says that a CSV has told of patients.  The answer is table, dicom, none, the name of a
    known pattern, or the expression that was given.
    """
    told = int(index.one("SELECT COUNT(patient) FROM files WHERE status = ?", ACCEPTED))
    source = choices.patient
    if source == "auto":
        if table and told:
            return "table"
        if told:
            return "dicom"
        source = _recognised(index, layout) or "none"
    if source == "none":
        index.execute("UPDATE files SET patient = NULL")
    if source in ("none", "dicom", "table"):
        return source
    changes = (
        (hashed(salt, "patient", patient), identity)
        for identity, patient in _matched(index, of_name(source), layout, decoders)
        if patient is not None
    )
    index.execute("UPDATE files SET patient = NULL")
    index.change("UPDATE files SET patient = ? WHERE id = ?", list(changes))
    return source


def _recognised(index: Index, layout: Layout) -> str | None:
    rows = index.rows("path", "WHERE status = ? ORDER BY sha256 LIMIT ?", ACCEPTED, _LOOKED_AT)
    return recognised([layout.below(row["path"]) for row in rows])


def _matched(
    index: Index, pattern: Pattern, layout: Layout, decoders: Decoders
) -> Iterator[tuple[int, str | None]]:
    rows = index.rows("id, path", "WHERE status = ?", ACCEPTED)
    if pattern in PATTERNS.values():
        for row in rows:
            yield row["id"], pattern.patient(layout.below(row["path"]))
        return
    while part := list(islice(rows, _TOGETHER)):
        paths = [layout.below(row["path"]) for row in part]
        task = {"do": "match", "expression": pattern.expression, "paths": paths}
        answer = next(decoders.map([task]))
        if answer.refused is not None:
            raise InvalidValue(
                f"The expression {pattern.expression!r} takes too long on the names of these "
                "files.",
                field="choices.patient",
                value=pattern.expression,
                remedy="Use a simpler one, without repetitions inside repetitions.",
            )
        yield from zip((row["id"] for row in part), answer.facts["groups"], strict=True)
