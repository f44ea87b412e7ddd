"""Distances between sets of feature vectors, all from their inner products.

One Gram matrix of everything that is compared makes each of hundreds of resamples cheap.
Index arrays `real` and `fake` choose rows of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
NEIGHBOURS = 5  # k of precision, density and coverage, as in Naeem et al.


def kernel_of(products: Array, dimensions: int) -> Array:
    """KID's kernel, (x.y / d + 1)^3, from inner products."""
    kernel: Array = (products / dimensions + 1.0) ** 3
    return kernel


def mean_of_pairs(kernel: Array) -> float:
    """Mean of a square kernel but for its diagonal, where vectors meet themselves."""
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


class Gram:
    """Inner products of feature vectors (n, d), in float64."""

    def __init__(self, features: NDArray[np.float32]) -> None:
        vectors = features.astype(np.float64)
        # Distances do not change, and a mean far from zero costs digits.
        self.centre = vectors.mean(0)
        centred = vectors - self.centre
        self.dimensions = features.shape[1]
        self.products: Array = centred @ centred.T
        self.norms: Array = np.einsum("ij,ij->i", centred, centred)
        raw = vectors @ self.centre  # undoes the centring where the kernel needs it
        self._raw, self._centre_norm = raw, float(self.centre @ self.centre)

    def kernel(self, one: Rows, other: Rows) -> Array:
        """KID's kernel of the vectors as they came."""
        raw = (
            self.products[np.ix_(one, other)]
            + self._raw[one][:, None]
            + self._raw[other][None]
            - self._centre_norm
        )
        return kernel_of(raw, self.dimensions)

    def distances(self, one: Rows, other: Rows) -> Array:
        """Euclidean distances, (n, m)."""
        squares = (
            self.norms[one][:, None]
            + self.norms[other][None]
            - 2 * self.products[np.ix_(one, other)]
        )
        return np.sqrt(np.maximum(squares, 0.0))

    def kid(self, real: Rows, fake: Rows) -> float:
        """Kernel inception distance: the unbiased estimate of MMD^2 (Binkowski et al., 2018)."""
        within = mean_of_pairs(self.kernel(real, real)) + mean_of_pairs(self.kernel(fake, fake))
        return float(within - 2 * self.kernel(real, fake).mean())

    def fd(self, real: Rows, fake: Rows) -> float:
        """Frechet distance of two Gaussians (Heusel et al., 2017), exact also for n < d.

        tr (S_r S_f)^(1/2) is the nuclear norm of the centred cross products: with n vectors
        a side that is n by n, however many dimensions there are.
        """
        means = self.products[np.ix_(real, real)].mean() + self.products[np.ix_(fake, fake)].mean()
        cross = self.products[np.ix_(real, fake)]
        means -= 2 * cross.mean()
        spread = self._variance(real) + self._variance(fake)
        centred = cross - cross.mean(0) - cross.mean(1)[:, None] + cross.mean()
        if len(real) > len(fake):
            centred = centred.T
        squares = np.linalg.eigvalsh(centred @ centred.T)
        nuclear = np.sqrt(np.maximum(squares, 0.0)).sum()
        nuclear /= np.sqrt((len(real) - 1) * (len(fake) - 1))
        return float(means + spread - 2 * nuclear)

    def _variance(self, rows: Rows) -> float:
        """Trace of the covariance matrix."""
        mean_square = self.products[np.ix_(rows, rows)].mean()
        return float((self.norms[rows].mean() - mean_square) * len(rows) / (len(rows) - 1))

    def prdc(self, real: Rows, fake: Rows, neighbours: int = NEIGHBOURS) -> dict[str, float]:
        """precision (Kynkaanniemi et al., 2019), density and coverage (Naeem et al., 2020)."""
        return prdc(self.distances(real, real), self.distances(real, fake), neighbours)


def prdc(within: Array, across: Array, neighbours: int = NEIGHBOURS) -> dict[str, float]:
    """From distances real-real (n, n) and real-fake (n, m)."""
    k = min(neighbours, len(within) - 1)
    radii = np.partition(within, k, axis=1)[:, k]  # place 0 is the image itself
    inside = across < radii[:, None]
    return {
        "precision": float(inside.any(0).mean()),
        "density": float(inside.sum(0).mean() / k),
        "coverage": float((across.min(1) < radii).mean()),
    }


def kid(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Kernel inception distance of two sets of feature vectors, (n, d) and (m, d)."""
    rows = np.arange(len(one) + len(other))
    return Gram(np.concatenate([one, other])).kid(rows[: len(one)], rows[len(one) :])
