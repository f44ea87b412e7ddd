"""What came of a reader study: one table of answers, and everything that is read from it.

While a study is open nothing is told of how often readers are right, but to each who is through of
themselves: who looks at an interval often, and stops when it looks right, errs more often than it
says (of guessing readers one in ten such studies at some time says that they tell images apart).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.errors import Conflict
from library.reader_studies.answers import Progress
from library.reader_studies.design import REAL, SYNTHETIC
from library.reader_studies.folder import Reader, ReaderStudy
from library.reader_studies.removal import removed_readers
from library.reader_studies.statistics import (
    UNKNOWN,
    Estimate,
    area,
    cohen,
    kappa_estimate,
    mean_share,
    median,
    verdict,
    wilson,
)

SCHEMA = 1
# Of an open study.
_UNTOLD = dict.fromkeys(("accuracy", "sensitivity", "specificity"), UNKNOWN.as_dict())
_UNTOLD_OF_READER = _UNTOLD | dict.fromkeys(("right", "called_synthetic", "area"))
_UNTOLD_OF_ALL = _UNTOLD | {
    "accuracy_of_these_readers": UNKNOWN.as_dict(),
    "agreement": {"fleiss_kappa": UNKNOWN.as_dict(), "pairs": []},
    "verdict": None,
}
_TEXTS = {
    "indistinguishable": "Readers tell synthetic from real images no better than guessing, within "
    "the margin that was set beforehand.",
    "told_apart": "Readers tell synthetic from real images.",
    "reversed": "Readers take synthetic images for real ones, and real for synthetic, more often "
    "than guessing would.",
    "inconclusive": "The interval is too wide to say whether readers tell synthetic from real "
    "images: more readers, or more images, would narrow it.",
}


@dataclass(frozen=True)
class Read:
    """A reader who has judged everything, and what they said."""

    reader: Reader
    progress: Progress

    @property
    def first(self) -> list[tuple[int, dict[str, Any]]]:
        """Item and answer of each first showing."""
        return [(i, a) for place, i, a in self._all() if place not in self.reader.second]

    @property
    def again(self) -> list[tuple[int, dict[str, Any]]]:
        """Item and answer of each second showing."""
        return [(i, a) for place, i, a in self._all() if place in self.reader.second]

    def _all(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        shown = zip(self.reader.order, self.progress.answers, strict=True)
        return ((place, item, answer) for place, (item, answer) in enumerate(shown))


@dataclass(frozen=True)
class Table:
    """Of the items: truth (I,), class (I,); of readers x items (R, I): who said synthetic."""

    synthetic: NDArray[np.bool_]
    classes: NDArray[np.int64]
    said: NDArray[np.bool_]

    @property
    def right(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.said == self.synthetic
        return found


def whole(study: ReaderStudy) -> list[Read]:
    """Readers whose answers count: all given and finished, or the study closed upon them."""
    closed = study.closed_at is not None
    found = [Read(reader, study.log(reader).read()) for reader in study.readers()]
    return [
        read
        for read in found
        if read.progress.complete and (closed or read.progress.finished_at is not None)
    ]


def of_reader(study: ReaderStudy, reader: Reader) -> dict[str, Any]:
    """A reader's own result.  Raises Conflict before they have finished."""
    progress = study.log(reader).read()
    if progress.finished_at is None:
        raise Conflict(
            "The reader has not finished.",
            field="reader",
            value=reader.id,
            remedy="Results are told after the last image.",
        )
    return _of_one(study, Read(reader, progress), _table(study, [Read(reader, progress)]))


def results(study: ReaderStudy) -> dict[str, Any]:
    """Of the readers who are through: everything once the study is closed, until then what does not
    tell how often they are right."""
    reads, invited, removed = whole(study), study.readers(), removed_readers(study)
    table, told = _table(study, reads), study.closed_at is not None
    margin = float(study.record["design"]["margin"])
    return {
        "schema": SCHEMA,
        "study": study.id,
        "name": study.record["design"]["name"],
        "model": study.record["model"],
        "dataset": study.record["dataset"],
        "closed_at": study.closed_at,
        "items": len(table.synthetic),
        "readers_invited": len(invited),
        "readers_counted": len(reads),
        "readers_removed": len(removed),
        "margin": margin,
        **(_of_all(reads, table, margin) if told else _UNTOLD_OF_ALL),
        "labels": [_of_label(study, table, k, told) for k in range(len(_groups(study)))],
        "readers": [_of_one(study, read, table, i, told) for i, read in enumerate(reads)],
        "limits": _limits(study, reads, len(invited), removed),
    }


def _groups(study: ReaderStudy) -> Sequence[str | None]:
    return study.record["design"]["labels"] or [None]


def _table(study: ReaderStudy, reads: Sequence[Read]) -> Table:
    key, groups = study.key, list(_groups(study))
    # What a withdrawal has made black is no item any more.
    kept = np.setdiff1d(np.arange(len(key)), study.withdrawn)
    said = np.zeros((len(reads), len(key)), np.bool_)
    for row, read in enumerate(reads):
        for item, answer in read.first:
            said[row, item] = answer["answer"] == SYNTHETIC
    synthetic = np.array([item["kind"] == SYNTHETIC for item in key], np.bool_)
    classes = np.array([groups.index(item["label"]) for item in key], np.int64)
    return Table(synthetic[kept], classes[kept], said[:, kept])


def _by_kind(table: Table, rows: NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Sensitivity: synthetic images that were found out; specificity: real ones that were not."""
    rows = np.ones(len(table.synthetic), np.bool_) if rows is None else rows
    found = {}
    for name, kind in (("sensitivity", table.synthetic), ("specificity", ~table.synthetic)):
        of = rows & kind
        found[name] = mean_share(table.right[:, of], np.zeros(int(of.sum()), np.int64)).as_dict()
    return found


def _of_all(reads: Sequence[Read], table: Table, margin: float) -> dict[str, Any]:
    strata = table.synthetic.astype(np.int64)
    accuracy = mean_share(table.right, strata)
    return {
        "accuracy": accuracy.as_dict(),
        "accuracy_of_these_readers": mean_share(table.right, strata, these_readers=True).as_dict(),
        **_by_kind(table),
        "agreement": _agreement(reads, table),
        "verdict": _verdict(accuracy, margin, len(reads)),
    }


def _of_label(study: ReaderStudy, table: Table, k: int, told: bool) -> dict[str, Any]:
    rows = table.classes == k
    found = {"label": _groups(study)[k], "items": int(rows.sum())}
    if not told:
        return found | _UNTOLD
    right, strata = table.right[:, rows], table.synthetic[rows].astype(np.int64)
    return found | {"accuracy": mean_share(right, strata).as_dict(), **_by_kind(table, rows)}


def _of_one(
    study: ReaderStudy, read: Read, table: Table, row: int = 0, told: bool = True
) -> dict[str, Any]:
    mine = Table(table.synthetic, table.classes, table.said[row : row + 1])
    said, answers = dict(read.first), [answer for _, answer in read.first]
    first = np.array([said[item]["answer"] == SYNTHETIC for item, _ in read.again], np.bool_)
    second = np.array([answer["answer"] == SYNTHETIC for _, answer in read.again], np.bool_)
    same = int((first == second).sum())
    return {
        "reader": read.reader.id,
        "name": read.reader.name,
        "finished_at": read.progress.finished_at,
        "answers": len(read.progress.answers),
        **(_shares(study, read, mine) if told else _UNTOLD_OF_READER),
        "labels": [_of_label(study, mine, k, told) for k in range(len(_groups(study)))],
        "seconds_median": median([answer["milliseconds"] / 1000 for answer in answers]),
        "repeats": None
        if not len(first)
        else {
            "images": len(first),
            "same": same,
            "agreement": wilson(same, len(first)).as_dict(),
            "kappa": _finite(cohen(first, second)),
        },
    }


def _shares(study: ReaderStudy, read: Read, mine: Table) -> dict[str, Any]:
    """mine: the one reader's table."""
    right, items = int(mine.right.sum()), mine.right.size
    sure = all(answer.get("confidence") for _, answer in read.first)
    return {
        "right": right,
        "accuracy": wilson(right, items).as_dict(),
        **_by_kind(mine),
        "called_synthetic": float(np.mean(mine.said)) if items else None,
        "area": _area(study, read).as_dict() if sure else None,
    }


def _area(study: ReaderStudy, read: Read) -> Estimate:
    """From answer and confidence: surely real, …, surely synthetic."""
    key, black = study.key, set(study.withdrawn)
    kept = [(item, answer) for item, answer in read.first if item not in black]
    ratings = np.array(
        [a["confidence"] * (1 if a["answer"] == SYNTHETIC else -1) for _, a in kept], np.float64
    )
    synthetic = np.array([key[item]["kind"] == SYNTHETIC for item, _ in kept], np.bool_)
    return area(ratings, synthetic)


def _agreement(reads: Sequence[Read], table: Table) -> dict[str, Any]:
    pairs = [
        {
            "readers": [reads[i].reader.id, reads[j].reader.id],
            "same": float((table.said[i] == table.said[j]).mean()),
            "kappa": _finite(cohen(table.said[i], table.said[j])),
        }
        for i in range(len(reads))
        for j in range(i + 1, len(reads))
    ]
    fleiss = kappa_estimate(table.said, table.synthetic.astype(np.int64))
    return {"fleiss_kappa": fleiss.as_dict(), "pairs": pairs}


def _finite(number: float) -> float | None:
    return round(number, 6) if np.isfinite(number) else None


def _verdict(accuracy: Estimate, margin: float, readers: int) -> dict[str, Any] | None:
    if not readers:
        return None
    found = verdict(accuracy, margin)
    if readers == 1 and found == "indistinguishable":
        return {"verdict": "inconclusive", "text": "One reader says nothing about others."}
    return {"verdict": found, "text": _TEXTS[found]}


def _limits(
    study: ReaderStudy, reads: Sequence[Read], invited: int, removed: Sequence[Progress]
) -> list[str]:
    record, found = study.record, []
    side = int(record["resolution"])
    found.append(f"Images were {side} x {side} pixels of 8 bits, as the generator makes them.")
    if invited > len(reads):
        found.append(f"{invited - len(reads)} of {invited} readers have not judged every image.")
    if removed:
        were = "1 reader was" if len(removed) == 1 else f"{len(removed)} readers were"
        through = sum(progress.complete for progress in removed)
        found.append(f"{were} removed, {through} after they had judged every image.")
    if len(reads) == 1:
        found.append("One reader: the interval is about this reader.")
    elif 1 < len(reads) < 4:
        found.append(
            f"{len(reads)} readers: the interval for other readers is wide whatever they said."
        )
    of = [item for item in study.key if item["kind"] == REAL]
    if record["patients"] is None:
        found.append("The dataset names no patients: two real images may be of one patient.")
    elif record["patients"] < len(of):
        found.append(f"The {len(of)} real images are of {record['patients']} patients.")
    if not record["unseen"]:
        found.append("It is not known that the version was trained on none of the real images.")
    if gone := study.withdrawn:
        found.append(f"{len(gone)} images were withdrawn by patients and are not evaluated.")
    return found
