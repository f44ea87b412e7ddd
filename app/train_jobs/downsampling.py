"""Fewer points of a curve, with its shape kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

CURVES = ("loss_d", "loss_g", "d_x", "d_g_z1", "d_g_z2")


def thinned(lines: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """At most so many (2 or more) of the lines, in their order.

    First and last stay.  What is between is cut into even parts, and each gives the lines where
    one of the five curves is lowest or highest in it (min-max decimation): a peak of one step is
    not lost.  With room for fewer than twelve, evenly spaced ones.
    """
    count = len(lines)
    if count <= most:
        return list(lines)
    each, inner = 2 * len(CURVES), most - 2
    if inner < each:
        return [lines[index] for index in np.linspace(0, count - 1, most).astype(int)]
    values = np.array([[line[name] for name in CURVES] for line in lines], np.float64)
    kept = {0, count - 1}
    edges = np.linspace(1, count - 1, inner // each + 1).astype(int)
    for start, end in pairwise(edges):
        part = values[start:end]
        if len(part):
            kept |= {int(start + index) for index in (*part.argmin(0), *part.argmax(0))}
    return [lines[index] for index in sorted(kept)]
