"""KID and FD against torchmetrics; precision, density, coverage on sets with known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from features.distances import Gram, prdc


def vectors(seed: int, n: int, d: int, shift: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (np.abs(random.normal(size=(n, d))) + shift * random.random(d)).astype(np.float32)


@pytest.mark.parametrize("d", [32, 1280])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_kid_and_fd_agree_with_torchmetrics(d: int, shift: float) -> None:
    a, b = vectors(1, 150, d), vectors(2, 150, d, shift)
    gram = Gram(np.concatenate([a, b]))
    one, other = np.arange(150), np.arange(150, 300)
    x, y = torch.from_numpy(a).double(), torch.from_numpy(b).double()
    kid = poly_mmd(x, y, 3, None, 1.0).item()
    fd = _compute_fid(x.mean(0), x.T.cov(), y.mean(0), y.T.cov()).item()
    # KID of equal distributions is near 0: what is compared is a difference of kernels near 1.
    assert gram.kid(one, other) == pytest.approx(kid, rel=1e-4, abs=1e-9)
    assert gram.fd(one, other) == pytest.approx(fd, rel=1e-4)


def test_fd_of_sets_of_two_sizes_agrees_too() -> None:
    a, b = vectors(3, 60, 16), vectors(4, 200, 16, 0.5)
    gram = Gram(np.concatenate([a, b]))
    x, y = torch.from_numpy(a).double(), torch.from_numpy(b).double()
    fd = _compute_fid(x.mean(0), x.T.cov(), y.mean(0), y.T.cov()).item()
    assert gram.fd(np.arange(60), np.arange(60, 260)) == pytest.approx(fd, rel=1e-4)
    assert gram.fd(np.arange(60, 260), np.arange(60)) == pytest.approx(fd, rel=1e-4)


def test_fd_of_two_gaussians_on_a_line_has_its_closed_form() -> None:
    points = np.array([[0.0], [2.0], [10.0], [16.0]], np.float32)  # means 1 and 13, sd √2 and √18
    found = Gram(points).fd(np.arange(2), np.arange(2, 4))
    assert found == pytest.approx(12**2 + (np.sqrt(2) - np.sqrt(18)) ** 2)


@given(st.integers(0, 2**32), st.integers(4, 30), st.integers(2, 40))
@settings(max_examples=40, deadline=None)
def test_the_laws_of_distances(seed: int, n: int, d: int) -> None:
    gram = Gram(np.concatenate([vectors(seed, n, d), vectors(seed + 1, n, d, 0.4)]))
    one, other = np.arange(n), np.arange(n, 2 * n)
    assert gram.kid(one, other) == pytest.approx(gram.kid(other, one), abs=1e-9)
    assert gram.fd(one, other) == pytest.approx(gram.fd(other, one), rel=1e-6, abs=1e-6)
    shuffled = np.random.default_rng(seed).permutation(other)
    assert gram.kid(one, shuffled) == pytest.approx(gram.kid(one, other), abs=1e-9)
    assert gram.fd(one, one) == pytest.approx(0, abs=1e-5 * (1 + d))
    assert gram.fd(one, other) >= -1e-6


def on_a_line(*points: float) -> np.ndarray:
    return np.array(points)[:, None]


def test_precision_density_and_coverage_have_their_reference_values() -> None:
    """Real 0, 1, 2, 3 with k = 1: balls of radius 1 about each."""
    real, fake = on_a_line(0, 1, 2, 3), on_a_line(0.5, 0.6, 9.0)
    within = np.abs(real - real.T)
    across = np.abs(real - fake.T)
    # 0.5 and 0.6 lie in the balls of 0 and 1 alone (the border of a ball is outside); 9 in none.
    assert prdc(within, across, 1) == {
        "precision": pytest.approx(2 / 3),
        "density": pytest.approx(4 / 3),
        "coverage": pytest.approx(2 / 4),
    }


def test_the_real_set_itself_is_covered_and_a_far_one_is_not() -> None:
    real = vectors(5, 50, 8)
    gram = Gram(np.concatenate([real, real, real + 100]))
    same, far = np.arange(50, 100), np.arange(100, 150)
    found = gram.prdc(np.arange(50), same)
    assert (found["precision"], found["coverage"]) == (1.0, 1.0)
    assert set(gram.prdc(np.arange(50), far).values()) == {0.0}


def test_one_repeated_image_is_precise_and_covers_little() -> None:
    real = vectors(6, 100, 8)
    repeated = np.repeat(real[:1], 100, 0)
    found = Gram(np.concatenate([real, repeated])).prdc(np.arange(100), np.arange(100, 200))
    assert found["precision"] == 1.0
    assert found["coverage"] < 0.3
