"""How much of a privacy budget steps spend: opacus' accountant, and what follows for a patient.

A function of (sampling rate, noise multiplier, steps taken): nothing is counted while a run trains,
so a run that is stopped, killed and resumed cannot count a step twice, or not at all.

Of opacus' accountants the one by Renyi divergence (Mironov 2017; Mironov, Talwar and Zhang 2019):
an upper bound at every order, without a numerical error of its own; the one by privacy loss
distributions needs 3 to 9% less noise, and estimates its error (docs/training.md).
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from library.errors import Unavailable

PIP = "pip install -c constraints.txt -e '.[dp]'"
NOISE_MAX = 1e4
_DIGITS = 5e-4  # the noise is found to this fraction, a group's logarithm of delta to this
_LEAST = -690.0  # logarithm of the least delta of an image: below, a float is zero


def opacus_there() -> str:
    """opacus' version.  Raises Unavailable with the command that installs it."""
    try:
        from opacus import __version__
    except ImportError:
        raise Unavailable(
            "Training with differential privacy needs opacus, which is not installed here.",
            field="config.privacy.epsilon",
            remedy=f"Run {PIP} where the trainer runs, or set config.privacy.epsilon to 0.",
        ) from None
    return str(__version__)


@lru_cache(maxsize=64)
def _divergence(rate: float, noise: float) -> NDArray[np.float64]:
    """Renyi divergence of one step, at each of the accountant's orders; those of steps add up."""
    opacus_there()
    from opacus.accountants import RDPAccountant
    from opacus.accountants.analysis import rdp

    orders = RDPAccountant.DEFAULT_ALPHAS
    found = rdp.compute_rdp(q=rate, noise_multiplier=noise, steps=1, orders=orders)
    return np.asarray(found, np.float64)


def _epsilon(divergence: NDArray[np.float64], delta: float) -> float:
    """The accountant's conversion (Balle et al. 2020, theorem 21)."""
    from opacus.accountants import RDPAccountant
    from opacus.accountants.analysis import rdp

    with warnings.catch_warnings():
        # That the best order is the last one it tries: the bound holds, it is only not the least.
        warnings.filterwarnings("ignore", message="Optimal order is the")
        epsilon, _ = rdp.get_privacy_spent(
            orders=RDPAccountant.DEFAULT_ALPHAS, rdp=divergence, delta=delta
        )
    return max(0.0, float(epsilon))


def spent(rate: float, noise: float, steps: int, delta: float) -> float:
    """Epsilon of one image after `steps`: add or remove it, and at most so much changes.

    rate: with which an image is in a step's batch; noise: multiplier of the clip norm.
    """
    return spent_of_patient(rate, noise, steps, delta, 1)


def spent_of_patient(rate: float, noise: float, steps: int, delta: float, images: int) -> float:
    """Epsilon, at the same delta, of a patient of whom at most `images` take part.

    Group privacy (Vadhan 2017, lemma 2.2): what is (e, d) for one image is
    (k e, d (1 + exp(e) + ... + exp((k - 1) e))) for k of them.  The d is chosen so that the second
    is `delta`; since e grows as d shrinks, it is found by halving.
    """
    if not steps:
        return 0.0
    divergence, most = steps * _divergence(rate, noise), math.log(delta)
    if images == 1:
        return _epsilon(divergence, delta)

    def of_group(log_d: float) -> float:
        return log_d + _log_sum(_epsilon(divergence, math.exp(log_d)), images)

    low, high = _LEAST, most
    if of_group(low) > most:
        return math.inf
    while high - low > _DIGITS:
        middle = (low + high) / 2
        low, high = (middle, high) if of_group(middle) <= most else (low, middle)
    return images * _epsilon(divergence, math.exp(low))


def noise_for(epsilon: float, rate: float, steps: int, delta: float, images: int = 1) -> float:
    """The least noise multiplier under which a patient's epsilon stays within the budget.

    inf: no noise up to NOISE_MAX is enough.
    """
    low, high = 0.0, 1.0
    while spent_of_patient(rate, high, steps, delta, images) > epsilon:
        low, high = high, 2 * high
        if high > NOISE_MAX:
            return math.inf
    while high - low > _DIGITS * high:
        middle = (low + high) / 2
        if spent_of_patient(rate, middle, steps, delta, images) > epsilon:
            low = middle
        else:
            high = middle
    return high


def _log_sum(epsilon: float, count: int) -> float:
    """log(1 + exp(e) + ... + exp((count - 1) e)), without overflow."""
    largest = (count - 1) * epsilon
    return largest + math.log(sum(math.exp(i * epsilon - largest) for i in range(count)))
