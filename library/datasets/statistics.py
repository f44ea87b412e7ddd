"""What a dataset holds, in numbers: what its record shows, and the report draws."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any, Literal

import numpy as np

from library.datasets.choices import SPLITS
from library.datasets.index import ACCEPTED, LEFT_OUT, REFUSED, Index, shown_path
from library.decoding.look import BINS

LISTED = 1000  # files with their reasons that a record names; the index has all
_VALUES_SHOWN = 30


def counts(index: Index) -> dict[str, Any]:
    """Images and patients, by label and by split; patients are null where none are known."""
    known = bool(index.one("SELECT COUNT(patient) FROM files WHERE status = ?", ACCEPTED))

    def counted(column: Literal["label", "split"]) -> dict[str, dict[str, Any]]:
        tallies = f"{column} AS name, COUNT(*) AS n, COUNT(DISTINCT patient) AS p"
        rows = index.rows(
            tallies, f"WHERE status = ? GROUP BY {column} ORDER BY {column}", ACCEPTED
        )
        return {row["name"]: _tally(row["n"], row["p"], known) for row in rows}

    splits = counted("split")
    in_split = index.query(
        "SELECT split, label, COUNT(*) AS n FROM files WHERE status = ? GROUP BY split, label "
        "ORDER BY label", ACCEPTED,
    )  # fmt: skip
    for row in in_split:
        splits[row["split"]].setdefault("labels", {})[row["label"]] = row["n"]
    total = index.query(
        "SELECT COUNT(*) AS n, COUNT(DISTINCT patient) AS p FROM files WHERE status = ?", ACCEPTED
    )
    whole = next(total)
    return {
        "images": whole["n"],
        "patients": whole["p"] if known else None,
        "labels": counted("label"),
        "splits": {split: splits[split] for split in SPLITS if split in splits},
    }


def _tally(images: int, patients: int, known: bool) -> dict[str, Any]:
    return {"images": images, "patients": patients if known else None}


def reasons(index: Index) -> dict[str, Any]:
    """Refused and left-out files: how many, why, and the first of them by name."""
    found: dict[str, Any] = {}
    for status in (REFUSED, LEFT_OUT):
        tally = index.query(
            "SELECT reason, COUNT(*) AS n FROM files WHERE status = ? GROUP BY reason "
            "ORDER BY n DESC, reason LIMIT ?", status, _VALUES_SHOWN,
        )  # fmt: skip
        listed = index.rows(
            "path, reason", "WHERE status = ? ORDER BY path LIMIT ?", status, LISTED
        )
        found[status] = [{"file": shown_path(r["path"]), "reason": r["reason"]} for r in listed]
        found[f"{status}_count"] = index.one("SELECT COUNT(*) FROM files WHERE status = ?", status)
        found[f"{status}_reasons"] = {row["reason"]: row["n"] for row in tally}
    return found


def shapes(index: Index) -> dict[str, Any]:
    """Formats, depths, sizes, greys by label, covariates by label: of what is accepted."""
    sizes = np.fromiter(
        (
            n
            for row in index.rows("width, height", "WHERE status = ?", ACCEPTED)
            for n in (row["width"], row["height"])
        ),
        np.int32,
    ).reshape(-1, 2)
    return {
        "formats": _tallied(index, "kind"),
        "depths": {str(depth): n for depth, n in _tallied(index, "depth").items()},
        "widths": _quartiles(sizes[:, 0]),
        "heights": _quartiles(sizes[:, 1]),
        "aspects": _quartiles(np.round(sizes[:, 0] / np.maximum(1, sizes[:, 1]), 3)),
        "said_inverted": index.one(
            "SELECT COUNT(*) FROM files WHERE status = ? AND inverted", ACCEPTED
        ),
        "histograms": _histograms(index),
        "covariates": _covariates(index),
    }


def _tallied(index: Index, column: str) -> dict[Any, int]:
    groups = f"WHERE status = ? GROUP BY {column} ORDER BY n DESC, {column}"
    rows = index.rows(f"{column} AS name, COUNT(*) AS n", groups, ACCEPTED)
    return {row["name"]: row["n"] for row in rows}


def _quartiles(values: Any) -> dict[str, float]:
    """Smallest, quartiles and largest."""
    if not len(values):
        return {}
    names = ("min", "q1", "median", "q3", "max")
    found = np.percentile(values, (0, 25, 50, 75, 100))
    return {name: float(value) for name, value in zip(names, found, strict=True)}


def _histograms(index: Index) -> dict[str, list[float]]:
    """The mean histogram of each label, in thousandths."""
    sums: defaultdict[str, Any] = defaultdict(lambda: np.zeros(BINS))
    numbers: Counter[str] = Counter()
    for row in index.pictures("label, histogram", "WHERE status = ?", ACCEPTED):
        sums[row["label"]] += np.frombuffer(row["histogram"], "<u2")
        numbers[row["label"]] += 1
    return {
        label: [round(float(n), 1) for n in total / numbers[label]]
        for label, total in sorted(sums.items())
    }


def _covariates(index: Index) -> dict[str, dict[str, dict[str, int]]]:
    """covariate -> value -> label -> images; rare values of a covariate are one."""
    found: defaultdict[str, defaultdict[str, Counter[str]]] = defaultdict(
        lambda: defaultdict(Counter)
    )
    for row in index.rows("label, covariates", "WHERE status = ?", ACCEPTED):
        for name, value in json.loads(row["covariates"] or "{}").items():
            found[name][str(value)][row["label"]] += 1
    shown: dict[str, dict[str, dict[str, int]]] = {}
    for name, values in sorted(found.items()):
        common = sorted(values, key=lambda value: (-sum(values[value].values()), value))
        kept = {value: dict(values[value]) for value in sorted(common[:_VALUES_SHOWN])}
        rest: Counter[str] = Counter()
        for value in common[_VALUES_SHOWN:]:
            rest.update(values[value])
        shown[name] = {**kept, **({"other": dict(rest)} if rest else {})}
    return shown


def duplicates(index: Index) -> dict[str, Any]:
    """Identical files that were left out, and groups of near-duplicates, the first by name."""
    identical = index.one(
        "SELECT COUNT(*) FROM files WHERE status = ? AND reason LIKE '%the same file%'", LEFT_OUT
    )
    names: defaultdict[int, set[str]] = defaultdict(set)
    pairs = index.query(
        "SELECT a.path AS one, b.path AS other, a.grp AS grp, correlation FROM near "
        "JOIN files a ON a.id = near.one JOIN files b ON b.id = near.other "
        "ORDER BY a.path, b.path"
    )
    number = 0
    listed: list[dict[str, Any]] = []
    for pair in pairs:
        number += 1
        names[pair["grp"]] |= {pair["one"], pair["other"]}
        if len(listed) < LISTED:
            files = [shown_path(pair["one"]), shown_path(pair["other"])]
            listed.append({"files": files, "correlation": pair["correlation"]})
    images = sum(len(files) for files in names.values())
    return {"identical": identical, "near_pairs": number, "near_images": images, "near": listed}
