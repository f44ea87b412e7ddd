"""What one reader did: a log that is only ever added to, on the disk before it is acknowledged.

A reader whose page, connection or service dies goes on where they were: what was acknowledged is
there, and what is sent again because its acknowledgement was lost is counted once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from library.atomic import append_json
from library.errors import Conflict, InvalidValue
from library.locks import waiting
from library.reader_studies.design import KINDS


@dataclass
class Progress:
    """A reader's log, read to its end."""

    total: int  # images, second showings among them
    consent: dict[str, Any] | None = None
    answers: list[dict[str, Any]] = field(default_factory=list)  # the one at i is of place i
    finished_at: str | None = None

    @property
    def complete(self) -> bool:
        return len(self.answers) == self.total


class Log:
    """{reader}.jsonl of a study; one writer at a time, whichever process it is in."""

    def __init__(self, path: Path, total: int, until: str | None = None) -> None:
        """until: when the study was closed; what came later, in the same instant, never was."""
        self._path, self._total, self._until = path, total, until

    def read(self) -> Progress:
        found = Progress(self._total)
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return found
        for line in content.split(b"\n"):
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the end of a line that was never acknowledged: a machine went down
            if self._until is None or str(event["at"]) <= self._until:
                _apply(found, event)
        return found

    def consent(self, signed: str, text_digest: str) -> Progress:
        """Consent to a text, once; given again it changes nothing."""
        with self._alone():
            found = self.read()
            if found.consent is None:
                self._add(found, "consent", signed=signed, text_sha256=text_digest)
            return found

    def answer(self, place: int, given: Mapping[str, Any]) -> Progress:
        """The answer to the image at a place: answer, confidence, milliseconds.

        Raises Conflict without consent, after the end, and for a place that is not the next one;
        the last answer sent again is acknowledged and counted once.
        """
        if given["answer"] not in KINDS:
            raise InvalidValue(
                f"answer is {given['answer']!r}.", field="answer", value=given["answer"],
                remedy="Answer real or synthetic.",
            )  # fmt: skip
        with self._alone():
            found = self._open(self.read())
            at = len(found.answers)
            if place == at - 1 and _same(found.answers[place], given):
                return found
            if place != at or found.complete:
                raise Conflict(
                    f"The image {place} is not the one to be judged now.",
                    field="position",
                    value=place,
                    remedy="Every image has its answer." if found.complete else f"It is {at}.",
                )
            self._add(found, "answer", place=place, **given)
            return found

    def undo(self, place: int) -> Progress:
        """Take the last answer back; what was taken back stays in the log.

        Raises Conflict for any other place.  Undone already is undone.
        """
        with self._alone():
            found = self._open(self.read())
            if place == len(found.answers):
                return found
            if place != len(found.answers) - 1:
                raise Conflict(
                    f"The answer to the image {place} stands.",
                    field="position",
                    value=place,
                    remedy="Only the last answer can be taken back, until the next one is given.",
                )
            self._add(found, "undo", place=place)
            return found

    def finish(self) -> Progress:
        """No answer can be taken back from now on.  Raises Conflict before the last one."""
        with self._alone():
            found = self.read()
            if found.finished_at is None:
                if not self._open(found).complete:
                    raise Conflict(
                        f"{len(found.answers)} of {self._total} images have an answer.",
                        field="position",
                        value=len(found.answers),
                        remedy="Answer the others first.",
                    )
                self._add(found, "finish")
            return found

    def _open(self, found: Progress) -> Progress:
        if found.consent is None:
            raise Conflict("The reader has not consented yet.", remedy="Consent first.")
        if found.finished_at is not None:
            raise Conflict("The reader has finished.", remedy="Answers stand as they are.")
        return found

    def _add(self, found: Progress, event: str, **fields: Any) -> None:
        line = {"event": event, "at": now(), **fields}
        append_json(self._path, line)
        _apply(found, line)

    def _alone(self) -> Any:
        return waiting(self._path.with_name(f".{self._path.stem}.lock"))


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _apply(found: Progress, event: Mapping[str, Any]) -> None:
    what = event.get("event")
    if what == "consent":
        found.consent = {name: event[name] for name in ("at", "signed", "text_sha256")}
    elif what == "answer" and event["place"] == len(found.answers):
        found.answers.append({k: v for k, v in event.items() if k not in ("event", "place")})
    elif what == "undo" and event["place"] == len(found.answers) - 1:
        found.answers.pop()
    elif what == "finish":
        found.finished_at = str(event["at"])


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(name) == other.get(name) for name in ("answer", "confidence"))
