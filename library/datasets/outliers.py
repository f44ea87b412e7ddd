"""Pictures that are unlike a radiograph, or unlike the others: flagged, with what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

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
_TOGETHER = 512  # looked at together

Greys = NDArray[np.float64]


def flag(index: Index) -> dict[str, int]:
    """Write flags of accepted files into the index; returns how many files have each."""
    counts = dict.fromkeys(FLAGS, 0)
    means = _means(index)
    limit = _far(index, means[1]) if means else 0.0
    changes = []
    for rows, signatures, histograms in _parts(index):
        alike = (
            _standard(signatures) @ _standard(means[0])[0] / signatures.shape[1] if means else ()
        )
        far = _distances(histograms, means[1]) > limit if means else ()
        for i, row in enumerate(rows):
            flags = _by_numbers(row)
            if means and "blank" not in flags:
                if alike[i] < INVERTED:
                    flags.append("inverted")
                elif alike[i] < UNLIKE:
                    flags.append("unlike")
                if far[i]:
                    flags.append("histogram")
            for name in flags:
                counts[name] += 1
            if flags:
                changes.append((f" {' '.join(flags)} ", row["id"]))
    index.change("UPDATE files SET flags = ? WHERE id = ?", changes)
    return counts


def _by_numbers(row: Any) -> list[str]:
    """Flags that a file has whatever the others are."""
    flags = []
    if min(row["width"], row["height"]) < TINY:
        flags.append("tiny")
    if row["high"] - row["low"] < BLANK:
        flags.append("blank")
    elif row["white"] > WHITE or row["black"] > BLACK:
        flags.append("saturated")
    if row["colour"] > COLOUR:
        flags.append("colour")
    return flags


def leave_out(index: Index) -> None:
    """Use no file that has a flag."""
    rows = list(index.rows("id, flags", "WHERE status = ? AND flags != ''", ACCEPTED))
    reasons = ((f"is an outlier ({', '.join(row['flags'].split())})", row["id"]) for row in rows)
    index.set_status(LEFT_OUT, reasons)


def _parts(index: Index) -> Iterator[tuple[list[Any], Greys, Greys]]:
    """Accepted files, a part of them at a time: rows, signatures (n, 1024), histograms (n, 32)."""
    found = index.pictures(
        "id, width, height, low, high, white, black, colour, histogram, signature",
        "WHERE status = ? ORDER BY id",
        ACCEPTED,
    )
    while rows := list(islice(found, _TOGETHER)):
        signatures = np.frombuffer(b"".join(row["signature"] for row in rows), np.uint8)
        histograms = np.frombuffer(b"".join(row["histogram"] for row in rows), "<u2")
        yield (
            rows,
            signatures.reshape(len(rows), SIGNATURE**2).astype(np.float64),
            histograms.reshape(len(rows), BINS).astype(np.float64),
        )


def _means(index: Index) -> tuple[Greys, Greys] | None:
    """The mean of all signatures (1, 1024), each of mean 0 and deviation 1, and of all histograms
    (32,); None where there are too few for others to be unlike."""
    picture, histogram, count = np.zeros(SIGNATURE**2), np.zeros(BINS), 0
    for rows, signatures, histograms in _parts(index):
        picture += _standard(signatures).sum(0)
        histogram += histograms.sum(0)
        count += len(rows)
    return None if count < _FEWEST else (picture[None] / count, histogram / count)


def _far(index: Index, mean: Greys) -> float:
    """The distance of histograms beyond which one is far: robustly, whatever the outliers are."""
    distances = np.concatenate([_distances(part, mean) for _, _, part in _parts(index)])
    median = float(np.median(distances))
    deviation = 1.4826 * float(np.median(np.abs(distances - median)))
    return max(FAR, median + DEVIATIONS * deviation)


def _distances(histograms: Greys, mean: Greys) -> Greys:
    """Earth mover's distances of histograms (n, 32), as fractions of the range of greys."""
    cumulative = np.cumsum(histograms, axis=1)
    cumulative /= np.maximum(1.0, cumulative[:, -1:])
    other = np.cumsum(mean) / max(1e-9, float(mean.sum()))
    return np.asarray(np.abs(cumulative - other).mean(axis=1))


def _standard(greys: Greys) -> Greys:
    """Rows of mean 0 and deviation 1; one grey stays 0."""
    moved = greys - greys.mean(axis=1, keepdims=True)
    deviation = moved.std(axis=1, keepdims=True)
    return np.asarray(moved / np.where(deviation > 0, deviation, 1.0))
