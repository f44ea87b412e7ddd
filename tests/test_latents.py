"""A seed's latents: Philox against its known answers, the rest against a second implementation."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.latents import SEED_MAX, between, drawn_labels, latents
from library.philox import philox4x32

DOCUMENT = Path(__file__).parent.parent / "docs" / "latents.md"
ROW = re.compile(r"^\| (\d+) \| (\d) \| `(-?[0-9.]+)` \| `([0-9a-f]{8})` \|$", re.MULTILINE)

seeds = st.integers(0, SEED_MAX)
dims = st.integers(1, 37)


def words_by_hand(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox4x32-10 on plain integers, from the paper's definition."""
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * x0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * x2, 2**32)
        x0, x1, x2, x3 = high1 ^ x1 ^ k0, low1, high0 ^ x3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return x0, x1, x2, x3


def words_by_numpy(counter: list[int], key: list[int]) -> tuple[int, ...]:
    c = np.array(counter, np.uint64).reshape(4, 1, 1)
    even, odd = philox4x32(np.array(key, np.uint64).reshape(2, 1, 1), c[0::2], c[1::2])
    return tuple(int(x[i, 0, 0]) for i in range(2) for x in (even, odd))


def latents_by_hand(seed: int, dim: int) -> list[float]:
    """The definition in docs/latents.md up to its rounding: float64."""
    values: list[float] = []
    block = 0
    while len(values) < dim:
        w = words_by_hand((block, 0, 0, 0), (seed % 2**32, seed // 2**32))
        for a, b in (w[:2], w[2:]):
            radius = math.sqrt(-2 * math.log((a + 1) / 2**32))
            angle = b * (2 * math.pi / 2**32)
            values += [radius * math.cos(angle), radius * math.sin(angle)]
        block += 1
    return values[:dim]


def rounded(value: float) -> float:
    single: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return single


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_gives_the_known_answers_of_random123(counter: str, key: str, answer: str) -> None:
    def words(text: str) -> list[int]:
        return [int(word, 16) for word in text.split()]

    assert words_by_numpy(words(counter), words(key)) == tuple(words(answer))


@given(
    counter=st.tuples(*[st.integers(0, 2**32 - 1)] * 4),
    key=st.tuples(*[st.integers(0, 2**32 - 1)] * 2),
)
def test_philox_equals_plain_integers(counter: tuple[int, ...], key: tuple[int, int]) -> None:
    assert words_by_numpy(list(counter), list(key)) == words_by_hand(counter, key)


@given(seed=seeds, dim=dims)
def test_latents_equal_the_second_implementation(seed: int, dim: int) -> None:
    mine = latents([seed], dim)
    assert mine.shape == (1, dim)
    assert mine.dtype == np.float32
    for value, exact in zip(mine[0].tolist(), latents_by_hand(seed, dim), strict=True):
        # Two libraries' cos may differ in the last bits of the float64, so both roundings count.
        assert value in {rounded(exact * (1 + sign * 2**-50)) for sign in (-1, 0, 1)}


def test_the_published_vectors_are_what_the_code_gives() -> None:
    rows = ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert {int(row[0]) for row in rows} == {0, 1, 42, 2**53 - 1}
    assert len(rows) == 4 * 4
    for seed, index, decimal, bits in rows:
        value = latents([int(seed)], 4)[0, int(index)]
        assert f"{value.view(np.uint32):08x}" == bits
        assert np.format_float_positional(value, unique=True) == decimal


@given(batch=st.lists(seeds, min_size=1, max_size=9), dim=dims, data=st.data())
def test_a_row_is_a_function_of_its_seed_alone(
    batch: list[int], dim: int, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(batch) - 1))
    alone = latents([batch[position]], dim)[0]
    assert latents(batch, dim)[position].tobytes() == alone.tobytes()


@given(seed=seeds, short=dims, more=dims)
def test_a_larger_dimension_only_adds_latents(seed: int, short: int, more: int) -> None:
    long = latents([seed], short + more)
    assert long[:, :short].tobytes() == latents([seed], short).tobytes()


@given(seed=seeds, truncation=st.floats(2**-10, 1))
def test_truncation_scales_and_one_is_the_identity(seed: int, truncation: float) -> None:
    plain = latents([seed], 10)
    assert latents([seed], 10, 1.0).tobytes() == plain.tobytes()
    scaled = latents([seed], 10, truncation)
    assert scaled.dtype == np.float32
    assert scaled.tobytes() == (plain * np.float32(truncation)).tobytes()


def test_latents_are_standard_normal() -> None:
    z = latents(range(20_000), 8).astype(np.float64)
    count = z.size
    # Bounds of five standard errors: fixed seeds, so this holds always or never.
    assert abs(z.mean()) < 5 / math.sqrt(count)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / count)
    assert abs((z**3).mean()) < 5 * math.sqrt(15 / count)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / count)
    correlations = np.corrcoef(z, rowvar=False) - np.eye(8)
    assert np.abs(correlations).max() < 5 / math.sqrt(len(z))
    neighbours = np.corrcoef(z[:-1, 0], z[1:, 0])[0, 1]
    assert abs(neighbours) < 5 / math.sqrt(len(z))


@given(st.lists(seeds, min_size=2, max_size=20, unique=True))
def test_different_seeds_have_different_latents(batch: list[int]) -> None:
    assert len({row.tobytes() for row in latents(batch, 4)}) == len(batch)


@given(
    batch=st.lists(seeds, min_size=1, max_size=9),
    frequencies=st.lists(st.floats(0, 1), min_size=1, max_size=5).filter(lambda f: sum(f) > 0.01),
)
def test_a_drawn_label_is_the_first_whose_cumulative_frequency_is_above_the_draw(
    batch: list[int], frequencies: list[float]
) -> None:
    drawn = drawn_labels(batch, frequencies).tolist()
    for seed, label in zip(batch, drawn, strict=True):
        u = words_by_hand((0, 0, 1, 0), (seed % 2**32, seed // 2**32))[0] / 2**32
        below = math.fsum(frequencies[:label]) / math.fsum(frequencies)
        above = math.fsum(frequencies[: label + 1]) / math.fsum(frequencies)
        assert below - 1e-12 <= u <= above + 1e-12


def test_labels_are_drawn_by_their_frequencies() -> None:
    frequencies = [0.25, 0.0, 0.65, 0.1]
    count = 40_000
    drawn = np.bincount(drawn_labels(range(count), frequencies), minlength=4) / count
    assert drawn[1] == 0
    for share, frequency in zip(drawn, frequencies, strict=True):
        assert abs(share - frequency) <= 5 * math.sqrt(frequency * (1 - frequency) / count)


def test_frequencies_need_not_add_up_to_one() -> None:
    counted = drawn_labels(range(500), [3.0, 9.0]).tolist()
    assert counted == drawn_labels(range(500), [0.25, 0.75]).tolist()
    assert set(counted) == {0, 1}


def test_a_way_between_nothing_is_nothing() -> None:
    way = between(1, 2, 5, 8, truncation=1e-323)
    assert way.shape == (5, 8)
    assert not way.any()
