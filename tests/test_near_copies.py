"""Near-copies: known correlations, the same answer in any company, replacement seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.errors import Unusable
from library.latents import SEED_MAX, replacement_seed
from library.near_copies import NearCopies, read, thumbnail, write

# docs/latents.md
VECTORS = [42, 1705741466250379, 3613194305562428, 5177883469772603]


def pictures(seed: int, n: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side), np.uint8)


def known(levels: np.ndarray, threshold: float = 0.95) -> NearCopies:
    return NearCopies(np.stack([thumbnail(each) for each in levels]), threshold)


def test_a_copy_correlates_with_1_and_its_negative_with_minus_1() -> None:
    levels = pictures(0, 1)
    assert known(levels).nearest(levels) == pytest.approx([1.0])
    assert known(levels).nearest(255 - levels) == pytest.approx([-1.0], abs=1e-3)
    assert known(levels).flagged(levels).all()
    assert not known(levels).flagged(pictures(1, 5)).any()


def test_brightness_and_contrast_change_little_and_a_flat_picture_correlates_with_nothing() -> None:
    levels = pictures(0, 4)
    paler = (levels * 0.5 + 60).astype(np.uint8)
    assert known(levels).nearest(paler).min() > 0.99
    assert known(levels).nearest(np.full((1, 64, 64), 9, np.uint8)).tolist() == [0.0]
    assert known(np.full((1, 64, 64), 9, np.uint8)).nearest(levels).tolist() == [0.0] * 4


def test_it_agrees_with_numpys_correlation() -> None:
    train, asked = pictures(2, 7), pictures(3, 3)
    expected = [
        max(np.corrcoef(thumbnail(a).ravel(), thumbnail(t).ravel())[0, 1] for t in train)
        for a in asked
    ]
    np.testing.assert_allclose(known(train).nearest(asked), expected, rtol=1e-9)


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_company_changes_no_bit(seed: int, asked: int, train: int) -> None:
    copies, levels = known(pictures(seed, train, 32)), pictures(seed + 1, asked, 32)
    together = copies.nearest(levels)
    alone = np.concatenate([copies.nearest(levels[i : i + 1]) for i in range(asked)])
    np.testing.assert_array_equal(together, alone)


def test_a_file_is_the_same_bytes_each_time_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    small = np.stack([thumbnail(each) for each in pictures(5, 3)])
    write(tmp_path / "one.npz", small, 0.9, 64)
    write(tmp_path / "other.npz", small, 0.9, 64)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()
    found = read(tmp_path / "one.npz")
    assert found.threshold == 0.9
    assert found.nearest(pictures(5, 3)) == pytest.approx([1.0] * 3)
    whole = (tmp_path / "one.npz").read_bytes()
    for damaged in (b"PK nothing", b"", whole[: len(whole) // 2]):
        (tmp_path / "one.npz").write_bytes(damaged)
        with pytest.raises(Unusable, match="cannot be read"):
            read(tmp_path / "one.npz")


def test_the_closest_is_named_and_placed_among_unseen_images(tmp_path: Path) -> None:
    train = pictures(6, 9)
    small = np.stack([thumbnail(each) for each in train])
    write(tmp_path / "copies.npz", small, 0.9, 64, np.array([0.4, 0.1, 0.3, 0.2]))
    found = read(tmp_path / "copies.npz")
    correlation, index = found.closest(train[4])
    assert correlation == pytest.approx(1.0)
    assert index == 4
    assert [found.percentile(c) for c in (0.05, 0.25, 0.4, 0.9)] == [0, 50, 75, 100]
    assert NearCopies(small, 0.9).percentile(0.5) is None


def test_replacement_seeds_are_those_of_the_document() -> None:
    assert [replacement_seed(42, k) for k in range(4)] == VECTORS
    assert replacement_seed(SEED_MAX, 0) == SEED_MAX


@given(st.integers(0, SEED_MAX), st.integers(1, 16))
@settings(max_examples=50, deadline=None)
def test_replacement_seeds_are_seeds_and_differ(seed: int, attempt: int) -> None:
    found = replacement_seed(seed, attempt)
    assert 0 <= found <= SEED_MAX
    assert found == replacement_seed(seed, attempt)
    assert found not in (seed, replacement_seed(seed, attempt + 1))
