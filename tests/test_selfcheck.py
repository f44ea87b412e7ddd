"""The self-check: which batch sizes are used together, so that a sample is one whatever its batch.

The backends here are small and wrong in known ways; a grey level is the last byte of an output's
float32, so that one unit in the last place shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.engine.sampler import Sampler, chunks, engine_digest
from app.engine.selfcheck import SEEDS, NotReproducible, prove
from library.versions import Version

Floats = NDArray[np.float32]
SIZES = (1, 2, 4, 8, 16)
LABELS = ["NORMAL", "PNEUMONIA", "OTHER"]


def version_of(labels: list[str]) -> Version:
    card = {
        "digest": "a" * 64,
        "resolution": 2,
        "architecture": {"latent_dim": 5},
        "labels": labels,
        "label_frequencies": [1 / len(LABELS)] * len(labels),
        "files": {},
    }
    return Version("fake", 1, Path("nowhere"), card)


class Exact:
    """Agrees everywhere: its arithmetic is elementwise, by powers of two."""

    name = "fake"
    precision = "float32"
    sizes: tuple[int, ...] = SIZES

    def __init__(self) -> None:
        self.software: dict[str, Any] = {"device": "none"}
        self.warmed = False
        self.called: list[int] = []  # batch sizes

    def warm(self) -> None:
        self.warmed = True

    def outputs(self, z: Floats, label: NDArray[np.int64]) -> Floats:
        assert self.warmed
        self.called.append(len(z))
        made = z[:, :4] / np.float32(8) + (label[:, None] / 4).astype(np.float32)
        return self.wrong(made).reshape(-1, 2, 2)

    def levels(self, z: Floats, label: NDArray[np.int64]) -> NDArray[np.uint8]:
        words = np.ascontiguousarray(self.outputs(z, label)).view(np.uint32)
        return (words & 0xFF).astype(np.uint8)

    def wrong(self, made: Floats) -> Floats:
        return made


class OneUlp(Exact):
    """Other kernels for some sizes: their results are one unit in the last place off."""

    def __init__(self, *odd: int) -> None:
        super().__init__()
        self._odd = odd

    def wrong(self, made: Floats) -> Floats:
        return np.nextafter(made, np.float32(9)) if len(made) in self._odd else made


class ByPlace(Exact):
    """The last image of a batch is computed by another path."""

    def wrong(self, made: Floats) -> Floats:
        if len(made) > 1:
            made[-1] = np.nextafter(made[-1], np.float32(9))
        return made


class ByNeighbours(Exact):
    """Each image sees a little of the next."""

    def wrong(self, made: Floats) -> Floats:
        return made + np.roll(made, 1, axis=0) * np.float32(2**-12)


class Random(Exact):
    """Never the same twice."""

    def __init__(self) -> None:
        super().__init__()
        self._generator = np.random.default_rng(0)

    def wrong(self, made: Floats) -> Floats:
        return made + self._generator.random(made.shape, np.float32) * np.float32(2**-12)


class RandomLarge(Random):
    """Sums in an order of its own where there is enough to share."""

    def wrong(self, made: Floats) -> Floats:
        return super().wrong(made) if len(made) > 4 else made


BACKENDS: list[tuple[Callable[[], Exact], tuple[int, ...]]] = [
    (Exact, SIZES),
    (lambda: OneUlp(16), (1, 2, 4, 8)),
    (lambda: OneUlp(8), (1, 2, 4, 16)),
    (lambda: OneUlp(2, 8), (1, 4, 16)),
    (lambda: OneUlp(8, 16), (1, 2, 4)),  # a quarter of the largest: nothing is padded
    (lambda: OneUlp(4, 8, 16), (4, 8, 16)),  # batches of 2 at most would be slow
    (lambda: OneUlp(1), (2, 4, 8, 16)),
    (ByPlace, (1,)),
    (ByNeighbours, (1,)),
    (RandomLarge, (1, 2, 4)),
]
every = pytest.mark.parametrize(("build", "sizes"), BACKENDS)


def proved(build: Callable[[], Exact], labels: list[str] = LABELS) -> Sampler:
    return Sampler(version_of(labels), build())


@every
def test_sizes_that_agree_are_used_together(
    build: Callable[[], Exact], sizes: tuple[int, ...]
) -> None:
    sampler = proved(build)
    proof = sampler.proof
    assert proof.sizes == sizes
    assert proof.tried == SIZES
    assert proof.seeds == SEEDS
    assert proof.exact == (sizes == SIZES)
    assert sampler.batch_max == sizes[-1]
    used = ", ".join(map(str, sizes))
    if sizes[0] == 1:
        assert proof.told == f"batches of {used} agree with batch 1 on {SEEDS} seeds"
    else:
        assert f"padded to one of {used}" in proof.told
        assert "batch 1 differs" in proof.told


@every
def test_what_was_checked_is_what_the_used_sizes_give(
    build: Callable[[], Exact], sizes: tuple[int, ...]
) -> None:
    sampler = proved(build)
    labels = np.arange(SEEDS, dtype=np.int64) % len(LABELS)
    z = sampler.latents(range(SEEDS))
    size = sizes[-1]
    again = [
        sampler.backend.outputs(z[at : at + size], labels[at : at + size])
        for at in range(0, SEEDS, size)
    ]
    assert np.array_equal(sampler.checked, np.concatenate(again))


def test_an_engine_that_is_random_is_refused() -> None:
    with pytest.raises(NotReproducible) as refused:
        proved(Random)
    assert refused.value.remedy


def test_sizes_may_be_given_and_the_seeds_fill_the_largest() -> None:
    backend = Exact()
    backend.warm()
    proof, checked = prove(backend, 5, 0, sizes=(1, 100))
    assert proof.sizes == proof.tried == (1, 100)
    assert len(checked) == proof.seeds == 100
    assert set(backend.called) == {1, 100}


samples = st.lists(
    st.tuples(
        st.integers(0, 2**53 - 1),
        st.integers(0, len(LABELS) - 1),
        st.sampled_from([1.0, 0.5, 0.7]),
    ),
    min_size=1,
    max_size=40,
)


@every
@settings(max_examples=40)
@given(drawn=samples)
def test_a_sample_is_the_same_alone_and_in_any_batch(
    build: Callable[[], Exact], sizes: tuple[int, ...], drawn: list[tuple[int, int, float]]
) -> None:
    sampler = proved(build)
    backend = sampler.backend
    assert isinstance(backend, Exact)
    backend.called.clear()
    seeds, classes, truncations = (list(column) for column in zip(*drawn, strict=True))
    together = sampler.levels(seeds, classes, np.array(truncations, np.float32))
    assert together.shape == (len(drawn), 2, 2)
    for made, (seed, index, truncation) in zip(together, drawn, strict=True):
        assert np.array_equal(made, sampler.levels([seed], [index], truncation)[0])
    assert set(backend.called) <= set(sizes)


def test_the_last_bit_would_show() -> None:
    """The test above can fail: sizes that differ in the last place give other grey levels."""
    right, wrong = Exact(), OneUlp(1)
    right.warm()
    wrong.warm()
    z, label = np.ones((1, 5), np.float32), np.zeros(1, np.int64)
    assert not np.array_equal(right.levels(z, label), wrong.levels(z, label))


def test_a_null_label_is_drawn_and_a_given_one_kept() -> None:
    sampler = proved(Exact)
    drawn = sampler.classes(range(50), [None] * 50)
    assert set(drawn) == {0, 1, 2}
    given_some = sampler.classes(range(50), [1 if i % 2 else None for i in range(50)])
    assert given_some == [1 if i % 2 else drawn[i] for i in range(50)]
    assert sampler.classes([1, 2], [2, 0]) == [2, 0]
    assert proved(Exact, []).classes([1, 2, 3], [None] * 3) == [0, 0, 0]


@given(
    count=st.integers(1, 200),
    sizes=st.sets(st.integers(1, 40), min_size=1, max_size=6).map(sorted),
)
def test_chunks_cover_everything_once(count: int, sizes: list[int]) -> None:
    parts = chunks(count, sizes)
    assert [i for start, stop, _ in parts for i in range(start, stop)] == list(range(count))
    assert all(size in sizes and 0 < stop - start <= size for start, stop, size in parts)
    assert all(stop - start == size for start, stop, size in parts[:-1])
    start, stop, size = parts[-1]
    if sizes[0] == 1:
        assert stop - start == size
    elif stop - start < size:
        assert size == sizes[0]


def test_an_engine_that_leaves_batch_1_out_has_another_digest() -> None:
    digest = proved(Exact).digest
    # The same bits as batch 1's: the same engine.
    assert proved(lambda: OneUlp(16)).digest == digest
    assert proved(ByPlace).digest == digest
    padded = proved(lambda: OneUlp(1)).digest
    larger = proved(lambda: OneUlp(4, 8, 16)).digest
    assert len({digest, padded, larger}) == 3


@pytest.mark.parametrize("what", ["name", "precision", "software"])
def test_what_decides_bits_is_in_the_digest(what: str) -> None:
    backend = Exact()
    before = engine_digest(backend, 1)
    setattr(backend, what, {"device": "another"} if what == "software" else "another")
    assert engine_digest(backend, 1) != before
