"""Which images a step shows: a function of the run seed, the step and the dataset's classes.

With differential privacy of a secret in the run seed's place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from library.config import RunConfig
from library.decoded import Decoded
from training.privacy import Private, Use
from training.seeds import epoch_order

Rows = NDArray[np.int64]


class Natural:
    """Each epoch a permutation of all images, cut into batches; what is left over is not shown."""

    def __init__(self, data: Decoded, config: RunConfig) -> None:
        self._seed, self._batch, self._count = config.seed, config.batch_size, len(data.images)
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    def of_step(self, step: int) -> Rows:
        epoch, position = divmod(step, self._count // self._batch)
        if epoch != self._epoch:
            self._order, self._epoch = epoch_order(self._seed, epoch, self._count), epoch
        start = position * self._batch
        return self._order[start : start + self._batch]


class Balanced:
    """Each class as often as any other: they take turns, each through permutations of its own."""

    def __init__(self, data: Decoded, config: RunConfig) -> None:
        self._seed, self._batch = config.seed, config.batch_size
        self._rows = [np.flatnonzero(data.classes == c) for c in np.unique(data.classes)]
        self._orders: dict[int, tuple[int, Rows]] = {}

    def of_step(self, step: int) -> Rows:
        places = np.arange(step * self._batch, (step + 1) * self._batch)
        return np.array([self._at(int(place)) for place in places], np.int64)

    def _at(self, place: int) -> int:
        turn, which = divmod(place, len(self._rows))
        rows = self._rows[which]
        again, position = divmod(turn, len(rows))
        if self._orders.get(which, (-1,))[0] != again:
            # A counter that no other class and no other pass has.
            counter = again * len(self._rows) + which
            self._orders[which] = again, epoch_order(self._seed, counter, len(rows))
        return int(rows[self._orders[which][1][position]])


class Poisson:
    """Each image that takes part by a throw of its own, at every step: what accountants assume.

    Of the run's secret: who knows which images a step has seen, for him none is hidden by chance.
    """

    def __init__(self, private: Private) -> None:
        self._secret, self._rows, self._rate = private.secret, private.rows, private.plan.rate

    def of_step(self, step: int) -> Rows:
        """Rows of a step, in the dataset's order: any number of them, none too."""
        thrown = self._secret.generator(Use.CHOICE, step).random(len(self._rows))
        return self._rows[thrown < self._rate]
