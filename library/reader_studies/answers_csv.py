"""What readers said, a line an answer."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from library.reader_studies.folder import ReaderStudy
from library.reader_studies.results import whole

COLUMNS = (
    "study", "reader", "place", "item", "second_showing", "label", "truth", "answer", "correct",
    "confidence", "milliseconds", "answered_at",
)  # fmt: skip


def lines(study: ReaderStudy) -> Iterator[list[Any]]:
    """One line an answer, after a line of names.  Texts of people are in none.

    truth and correct are empty until the study is closed: together the lines are its key.
    """
    yield list(COLUMNS)
    key, closed = study.key, study.closed_at is not None
    for read in whole(study):
        reader = read.reader
        for place, (index, answer) in enumerate(
            zip(reader.order, read.progress.answers, strict=True)
        ):
            item = key[index]
            yield [
                study.id,
                reader.id,
                place + 1,
                item["id"],
                int(place in reader.second),
                item["label"] or "",
                item["kind"] if closed else "",
                answer["answer"],
                int(answer["answer"] == item["kind"]) if closed else "",
                answer.get("confidence") or "",
                answer["milliseconds"],
                answer["at"],
            ]


def as_csv(study: ReaderStudy) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines(study))
    return text.getvalue()
