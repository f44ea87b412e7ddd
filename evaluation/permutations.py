"""How often does chance reach what was observed, when membership is dealt anew over patients?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evaluation.images import Rows

PERMUTATIONS = 1999
_ENOUGH = 100  # that reach it: more tell nothing new (Besag and Clifford, 1991)


def permuted(
    values: NDArray[np.float64], member: NDArray[np.bool_], groups: Rows,
    statistic: Callable[[float, float], float], random: np.random.Generator,
    level: float = 1.0,
) -> float:  # fmt: skip
    """p of statistic(sum of the members' values, how many there are); a large one is unusual.

    level: at which p will be read.  There are enough permutations to come below it; those of a p
    that is far above it end early, so that many tests cost little.
    """
    _, group = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(group, values), np.bincount(group).astype(np.float64)
    inside = np.bincount(group, member) > 0

    def of(chosen: NDArray[np.bool_]) -> float:
        return statistic(float(sums[chosen].sum()), float(sizes[chosen].sum()))

    observed, reached = of(inside), 0
    most = max(PERMUTATIONS, int(np.ceil(2 / level)))
    for done in range(1, most + 1):
        reached += of(random.permutation(inside)) >= observed
        if reached == _ENOUGH:
            return reached / done
    return (1 + reached) / (1 + most)
