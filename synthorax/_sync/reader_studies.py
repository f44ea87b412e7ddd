# Made of _async/reader_studies.py by tools/twins.py; change that one.
"""Reader studies: can people tell a version's images from real ones?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from synthorax._sync.jobs import idempotent
from synthorax._sync.saving import save_stream
from synthorax._sync.transport import Transport

# Making one decodes and samples hundreds of images before it answers.
_MAKING = httpx.Timeout(60.0, connect=5.0, read=600.0)


class ReaderStudy:
    """One reader study, as it was at the last answer; `reload` asks anew."""

    def __init__(self, transport: Transport, record: dict[str, Any]) -> None:
        self._transport = transport
        self.record = record

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def closed(self) -> bool:
        """No answer is taken any more."""
        return self.record["closed_at"] is not None

    @property
    def readers(self) -> list[dict[str, Any]]:
        """How far each is: id, name, consented_at, answered, total, finished_at."""
        found: list[dict[str, Any]] = self.record["readers"]
        return found

    def __repr__(self) -> str:
        done = sum(reader["finished_at"] is not None for reader in self.readers)
        state = "closed" if self.closed else "open"
        return f"<{type(self).__name__} {self.id}: {state}, {done} of {len(self.readers)} readers>"

    def reload(self) -> ReaderStudy:
        """Ask the service how far the readers are."""
        self.record = self._transport.json("GET", self._path)
        return self

    def invite(self, name: str) -> str:
        """A new reader's link, which is told this once; whoever has it answers as this reader.

        name: for the operator; a pseudonym will do.
        """
        made = self._transport.json("POST", f"{self._path}/readers", json={"name": name})
        return f"{str(self._transport.url).rstrip('/')}{made['link']}"

    def remove(self, reader: str) -> ReaderStudy:
        """Take a reader, by their id, and their link back: their answers count no more.

        The results tell how many were removed.  Raises Conflict once it is closed.
        """
        self.record = self._transport.json("DELETE", f"{self._path}/readers/{reader}")
        return self

    def results(self) -> dict[str, Any]:
        """Who is through; once closed accuracy, sensitivity, specificity, agreement and `verdict`.

        Until then these are None: who looks often, and stops when it looks right, errs.
        """
        return self._transport.json("GET", f"{self._path}/results.json")

    def save_csv(self, path: str | os.PathLike[str]) -> Path:
        """One line an answer of the readers who are through."""
        return save_stream(self._transport, "GET", f"{self._path}/results.csv", Path(path))

    def save_images(self, path: str | os.PathLike[str]) -> Path:
        """A closed study's synthetic images, marked as such, and the key, as a ZIP.

        Raises Conflict before it is closed.
        """
        return save_stream(self._transport, "GET", f"{self._path}/images.zip", Path(path))

    def close(self) -> ReaderStudy:
        """Take no more answers, and give the verdict.  It cannot be opened again."""
        self.record = self._transport.json("POST", f"{self._path}/close")
        return self

    def delete(self) -> None:
        """Really delete it: images, key, answers, consents."""
        self._transport.json("DELETE", self._path)

    @property
    def _path(self) -> str:
        return f"/reader-studies/{self.id}"


class ReaderStudies:
    """The reader studies of a service."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        model: str | None = None,
        dataset: str | None = None,
        per_label: int = 25,
        *,
        real_images_may_be_shown: bool,
        labels: Sequence[str] | None = None,
        repeats: int = 0,
        margin: float = 0.1,
        key: str | None = None,
        **more: Any,
    ) -> ReaderStudy:
        """A study of `per_label` real and as many synthetic images of each class.

        dataset: an id, whose held-out images are shown; None: the model's own.
        real_images_may_be_shown: readers see images of patients; True says that this is allowed.
        repeats: images that each reader sees twice.  margin: around an accuracy of 0.5, within
        which readers count as guessing.  key: an idempotency key; the same one makes no second
        study.  more: truncation, seed, name, consent.
        """
        body = {
            "model": model,
            "dataset": dataset,
            "per_label": per_label,
            "labels": None if labels is None else list(labels),
            "repeats": repeats,
            "margin": margin,
            "real_images_may_be_shown": real_images_may_be_shown,
            **more,
        }
        made = self._transport.json(
            "POST", "/reader-studies", json=body, timeout=_MAKING, **idempotent(key)
        )
        return ReaderStudy(self._transport, made)

    def get(self, study: str) -> ReaderStudy:
        """A study by its id.  Raises NotFound."""
        record = self._transport.json("GET", f"/reader-studies/{study}")
        return ReaderStudy(self._transport, record)

    def list(self) -> list[ReaderStudy]:
        """Studies, newest first."""
        answer = self._transport.json("GET", "/reader-studies")
        return [ReaderStudy(self._transport, record) for record in answer["data"]]
