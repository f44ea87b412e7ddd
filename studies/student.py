"""Student's t, for any positive number of degrees of freedom: numpy has none.

The distribution function is the regularised incomplete beta function, here by its continued
fraction (Abramowitz & Stegun 26.5.8 and 26.7.1), evaluated from the front as Lentz does.
"""

from __future__ import annotations

import math
from statistics import NormalDist

_TINY = 1e-300
_LARGE = 1e6  # degrees of freedom from which on the normal distribution is the same to 6 digits


def beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for x in [0, 1]."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly its mirror does not
        return 1 - beta(1 - x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(front + a * math.log(x) + b * math.log1p(-x)) / a
    above, below = 1.0, 1 / _kept(1 - (a + b) * x / (a + 1))
    found = below
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            below = 1 / _kept(1 + term * below)
            above = _kept(1 + term / above)
            found *= above * below
        if abs(above * below - 1) < 1e-14:
            break
    return front * found


def _kept(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def both_tails(t: float, df: float) -> float:
    """P(|T| > |t|): the p value of a two-sided test."""
    if df > _LARGE:
        return 2 * NormalDist().cdf(-abs(t))
    return beta(df / (df + t * t), df / 2, 0.5)


def quantile(share: float, df: float) -> float:
    """t with P(T < t) = share, for share in [0.5, 1); by halving, to 12 digits."""
    if df > _LARGE:
        return NormalDist().inv_cdf(share)
    tails, low, high = 2 * (1 - share), 0.0, 1.0
    while both_tails(high, df) > tails:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        if both_tails(middle, df) > tails:
            low = middle
        else:
            high = middle
        if high - low <= 1e-12 * high:
            break
    return (low + high) / 2
