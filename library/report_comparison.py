"""Two reports side by side: only where they measured the same, and no difference within noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from library.errors import Conflict

Report = Mapping[str, Any]
_HIGHER_IS_BETTER = frozenset({"precision", "density", "coverage", "laterality"})
_ERRORS = 2.1  # of both together, below which a difference is noise: 5 % of equal ones pass it
_SUBSETS = 8  # of the fakes, at most, in reports that have no errors


def compare_reports(one: Report, other: Report) -> list[dict[str, Any]]:
    """Each number of both.  Raises Conflict where the numbers cannot be compared, and why."""
    for what, mine, theirs in (
        ("extractors", one["protocol"]["extractor"], other["protocol"]["extractor"]),
        ("resolutions", one["protocol"]["native_resolution"],
         other["protocol"]["native_resolution"]),
        ("numbers of images", one["protocol"]["n"], other["protocol"]["n"]),
        ("reference images", one["data"]["reference_sha256"], other["data"]["reference_sha256"]),
    ):  # fmt: skip
        if mine != theirs:
            raise Conflict(
                f"The two reports have different {what}: {mine} and {theirs}.",
                field="other",
                value=other["id"],
                remedy="Make both anew with the same dataset and count: POST "
                "/models/NAME@VERSION/reports.",
            )
    names = [*one["protocol"]["metrics"], *sorted(_HIGHER_IS_BETTER), "duplicates", "msssim"]
    found = []
    for label, mine in one["fidelity"].items():
        theirs = other["fidelity"][label]
        for name in names:
            key = "msssim_fake" if name == "msssim" else name
            if mine.get(key) is None or theirs.get(key) is None:
                continue
            noise = _ERRORS * math.hypot(_error(mine, name), _error(theirs, name))
            apart = mine[key] - theirs[key]
            wins = apart > 0 if name in _HIGHER_IS_BETTER else apart < 0
            found.append(
                {
                    "metric": name,
                    "label": label,
                    "one": mine[key],
                    "other": theirs[key],
                    "floor": mine[f"{name}_floor"],
                    "better": "none" if abs(apart) <= noise else "one" if wins else "other",
                }
            )
    return found


def _error(found: Mapping[str, Any], name: str) -> float:
    """Standard error of a number over other seeds.

    Reports of protocol synthorax-1 have the deviation between subsets of few seeds, if there were
    several, and that of real sets about the floor, which is often smaller: both together.
    """
    if f"{name}_error" in found:
        return float(found[f"{name}_error"])
    subsets = max(1, min(_SUBSETS, found["n_fake"] // found["n"]))
    between = (found[f"{name}_spread"] or 0.0) / math.sqrt(subsets)
    return math.hypot(between, found[f"{name}_sd"])
