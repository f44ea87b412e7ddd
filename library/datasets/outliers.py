"""Pictures that are unlike a radiograph, or unlike the others: flagged, with what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from library.datasets.index import ACCEPTED, LEFT_OUT, Index
from library.decoding.look import BINS, SIGNATURE

# What a flag means, as it is shown.
FLAGS = {
    "tiny": "a side is shorter than 64 pixels",
    "blank": "nearly one grey: the 1st and 99th percentile are within 12 levels",
    "saturated": "more than 30% of the pixels are white, or more than 70% black",
    "colour": "its channels differ by more than 12 levels in the mean",
    "histogram": "its grey levels are unlike those of the others",
    "inverted": "dark where the others are bright: its greys may be inverted",
    "unlike": "its shape is unlike that of the others",
}
TINY, BLANK, WHITE, BLACK, COLOUR = 64, 12, 0.3, 0.7, 12.0
INVERTED, UNLIKE = -0.3, 0.1  # correlation with the mean picture
FAR, DEVIATIONS = 0.12, 6.0  # distance of histograms: at least, and in robust deviations
_FEWEST = 8  # pictures, for there to be others

Greys = NDArray[np.float64]


def flag(index: Index) -> dict[str, int]:
    """Write flags of accepted files into the index; returns how many files have each."""
    counts = dict.fromkeys(FLAGS, 0)
    mean_picture, mean_histogram = _means(index)
    limit = _far(index, mean_histogram)
    changes = []
    for row in index.rows(
        "id, width, height, low, high, white, black, colour, histogram, signature",
        "WHERE status = ? ORDER BY id",
        ACCEPTED,
    ):
        flags = []
        if min(row["width"], row["height"]) < TINY:
            flags.append("tiny")
        if row["high"] - row["low"] < BLANK:
            flags.append("blank")
        elif row["white"] > WHITE or row["black"] > BLACK:
            flags.append("saturated")
        if row["colour"] > COLOUR:
            flags.append("colour")
        if mean_picture is not None and "blank" not in flags:
            alike = _alike(_greys(row["signature"]), mean_picture)
            if alike < INVERTED:
                flags.append("inverted")
            elif alike < UNLIKE:
                flags.append("unlike")
            if _distance(json.loads(row["histogram"]), mean_histogram) > limit:
                flags.append("histogram")
        for name in flags:
            counts[name] += 1
        if flags:
            changes.append((f" {' '.join(flags)} ", row["id"]))
    index.change("UPDATE files SET flags = ? WHERE id = ?", changes)
    return counts


def leave_out(index: Index) -> None:
    """Use no file that has a flag."""
    rows = list(index.rows("id, flags", "WHERE status = ? AND flags != ''", ACCEPTED))
    reasons = ((f"is an outlier ({', '.join(row['flags'].split())})", row["id"]) for row in rows)
    index.set_status(LEFT_OUT, reasons)


def _means(index: Index) -> tuple[Greys | None, Greys]:
    """The mean of all signatures, each of mean 0 and deviation 1; the mean histogram."""
    picture, histogram, count = np.zeros(SIGNATURE**2), np.zeros(BINS), 0
    for row in index.rows("signature, histogram", "WHERE status = ?", ACCEPTED):
        picture += _standard(_greys(row["signature"]))
        histogram += json.loads(row["histogram"])
        count += 1
    if count < _FEWEST:
        return None, histogram / max(1, count)
    return picture / count, histogram / count


def _far(index: Index, mean: Greys) -> float:
    """The distance of histograms beyond which one is far: robustly, whatever the outliers are."""
    distances = np.fromiter(_distances(index, mean), np.float64)
    if not len(distances):
        return 1.0
    median = float(np.median(distances))
    deviation = 1.4826 * float(np.median(np.abs(distances - median)))
    return max(FAR, median + DEVIATIONS * deviation)


def _distances(index: Index, mean: Greys) -> Iterator[float]:
    for row in index.rows("histogram", "WHERE status = ?", ACCEPTED):
        yield _distance(json.loads(row["histogram"]), mean)


def _distance(histogram: list[int], mean: Greys) -> float:
    """Earth mover's distance, as a fraction of the range of greys."""
    one = np.cumsum(np.asarray(histogram, np.float64) / max(1, sum(histogram)))
    other = np.cumsum(mean / max(1e-9, mean.sum()))
    return float(np.abs(one - other).mean())


def _greys(blob: bytes) -> Greys:
    return np.frombuffer(blob, np.uint8).astype(np.float64)


def _standard(greys: Greys) -> Greys:
    moved = greys - greys.mean()
    deviation = float(moved.std())
    return np.asarray(moved / deviation) if deviation else moved


def _alike(greys: Greys, mean: Greys) -> float:
    """Pearson's correlation."""
    a, b = _standard(greys), _standard(mean)
    return float(a @ b) / len(a)
