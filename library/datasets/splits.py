"""Train, validation and held-out: never a patient, or a near-duplicate, on both sides."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from library.datasets.choices import SPLITS, Choices
from library.datasets.index import ACCEPTED, LEFT_OUT, Index

_HELD_OUT_MOST = ("held_out", "validation", "train")


class Union:
    """Disjoint sets of numbers below `count` (Tarjan's union-find, with path halving)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, item: int) -> int:
        while self._parent[item] != item:
            self._parent[item] = self._parent[self._parent[item]]
            item = self._parent[item]
        return item

    def join(self, one: int, other: int) -> None:
        a, b = self.find(one), self.find(other)
        if a != b:
            self._parent[max(a, b)] = min(a, b)


def groups(count: int, sames: Iterable[Sequence[int]]) -> list[int]:
    """The group of each of `count` items; items that stand in one of `sames` share theirs."""
    union = Union(count)
    for items in sames:
        for other in items[1:]:
            union.join(items[0], other)
    return [union.find(item) for item in range(count)]


@dataclass(frozen=True, slots=True)
class Group:
    """name: decides ties, by its hash; sizes: images of each label."""

    name: str
    sizes: Mapping[str, int]


def assign(parts: Sequence[Group], fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """The split of each group: whole groups, every label by its fractions, the same each time.

    Large groups first, then by a hash of seed and name; each goes where it is missed most (the
    method of Sainte-Lague, over labels).  A fraction of 0 gets nothing.
    """
    totals: Counter[str] = Counter()
    for part in parts:
        totals.update(part.sizes)
    splits = sorted((s for s in SPLITS if fractions[s] > 0), key=lambda s: -fractions[s])
    filled = {split: Counter[str]() for split in splits}

    def order(part: Group) -> tuple[int, str]:
        digest = hashlib.sha256(f"{seed}:{part.name}".encode()).hexdigest()
        return -sum(part.sizes.values()), digest

    found = {}
    for part in sorted(parts, key=order):

        def fullness(split: str, part: Group = part) -> float:
            return sum(
                n * (filled[split][label] + n / 2) / (fractions[split] * totals[label])
                for label, n in part.sizes.items()
            )

        chosen = min(splits, key=fullness)
        filled[chosen].update(part.sizes)
        found[part.name] = chosen
    return found


def split_index(index: Index, choices: Choices) -> str:
    """Write groups and splits of all accepted files; returns given, random or none."""
    rows = list(
        index.rows(
            "id, sha256, patient, given, label", "WHERE status = ? ORDER BY sha256", ACCEPTED
        )
    )
    place = {row["id"]: i for i, row in enumerate(rows)}
    number = groups(len(rows), _sames(index, rows, place))
    given = sum(row["given"] is not None for row in rows)
    kind = choices.split
    if kind == "auto":
        kind = "given" if given else "random"
    if kind == "given":
        split = _given(index, rows, number)
    elif kind == "random":
        split = _random(rows, number, choices)
    else:
        split = {group: "train" for group in set(number)}
    changes = (
        (group, split.get(group), row["id"]) for row, group in zip(rows, number, strict=True)
    )
    index.change("UPDATE files SET grp = ?, split = ? WHERE id = ?", changes)
    index.execute("UPDATE files SET split = NULL WHERE status != ?", ACCEPTED)
    return kind


def _sames(index: Index, rows: Sequence[Any], place: Mapping[int, int]) -> Iterable[Sequence[int]]:
    """What must stay together: a patient's, near-duplicates, and patients who share a file."""
    by: defaultdict[Hashable, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        if row["patient"] is not None:
            by[row["patient"]].append(i)
    # A file that stands there twice under two patients makes them one.
    twice = list(
        index.rows(
            "sha256, patient", "WHERE status = ? AND patient IS NOT NULL AND sha256 IN "
            "(SELECT sha256 FROM files GROUP BY sha256 HAVING COUNT(*) > 1)", LEFT_OUT,
        )
    )  # fmt: skip
    wanted = {row["sha256"] for row in twice}
    at = {row["sha256"]: i for i, row in enumerate(rows) if row["sha256"] in wanted}
    for row in twice:
        if row["sha256"] in at:
            by[row["patient"]].append(at[row["sha256"]])
    yield from by.values()
    for pair in index.query("SELECT one, other FROM near"):
        if pair["one"] in place and pair["other"] in place:
            yield place[pair["one"]], place[pair["other"]]


def _random(rows: Sequence[Any], number: Sequence[int], choices: Choices) -> dict[int, str]:
    sizes: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for row, group in zip(rows, number, strict=True):
        sizes[group][row["label"]] += 1
    # A group is named by its smallest digest: the same wherever, and in whatever order, it lies.
    parts = [Group(rows[group]["sha256"], labels) for group, labels in sizes.items()]
    apart = choices.validation + choices.held_out
    fractions = {
        "train": 1 - apart, "validation": choices.validation, "held_out": choices.held_out
    }  # fmt: skip
    found = assign(parts, fractions, choices.seed)
    return {group: found[rows[group]["sha256"]] for group in sizes}


def _given(index: Index, rows: Sequence[Any], number: Sequence[int]) -> dict[int, str]:
    """The split that each group is given; what leaks into another one is left out."""
    theirs: defaultdict[int, set[str]] = defaultdict(set)
    for row, group in zip(rows, number, strict=True):
        if row["given"] is not None:
            theirs[group].add(row["given"])
    split = {
        group: next(s for s in _HELD_OUT_MOST if s in found) for group, found in theirs.items()
    }
    reasons = []
    for row, group in zip(rows, number, strict=True):
        if row["given"] is None:
            reasons.append(("is given no split where other files are", row["id"]))
        elif row["given"] != split[group]:
            where = split[group].replace("_", "-")
            reasons.append(
                (f"its patient, or a near-duplicate of it, is in the {where} split", row["id"])
            )
    index.set_status(LEFT_OUT, reasons)
    return split
