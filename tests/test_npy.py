"""NPY and NPZ answers, sent in parts, read by numpy and by `unzip`."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.formats.encoding import Encoded
from app.formats.npy import NpyForm, NpzForm
from library.identity import Identity, Origin
from library.latents import SEED_MAX

ORIGIN = Origin("chest@1", "a" * 64, "b" * 64, "torch", "bfloat16", 0.7)

# numpy's text ends at its last character that is not NUL, which no folder's name can hold.
labels = st.none() | st.text(st.characters(min_codepoint=1, exclude_categories=[]), max_size=12)
identities = st.lists(
    st.builds(Identity, st.just(ORIGIN), labels, st.integers(0, SEED_MAX)), min_size=1, max_size=20
)
cuts = st.lists(st.integers(1, 7), max_size=8)  # lengths of the parts; the rest comes at once


def noise(count: int, side: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), np.uint8)


def answer(
    form: NpyForm | NpzForm,
    levels: NDArray[np.uint8],
    samples: Sequence[Identity],
    lengths: Sequence[int] = (),
) -> bytes:
    """The whole body, its images made in parts."""
    body, start = [form.head()], 0
    for length in (*lengths, len(levels)):
        stop = min(start + length, len(levels))
        if start < stop:
            body.append(form.chunk(Encoded(start, samples[start:stop], levels[start:stop], ())))
        start = stop
    return b"".join((*body, *form.tail()))


@settings(max_examples=60)
@given(samples=identities, side=st.integers(1, 9), lengths=cuts)
def test_npy_is_the_array(samples: list[Identity], side: int, lengths: list[int]) -> None:
    levels = noise(len(samples), side)
    body = answer(NpyForm(len(samples), side), levels, samples, lengths)
    loaded = np.load(io.BytesIO(body), allow_pickle=False)
    assert loaded.dtype == np.uint8
    assert np.array_equal(loaded, levels)
    written = io.BytesIO()
    np.save(written, levels, allow_pickle=False)
    assert body == written.getvalue()


@settings(max_examples=60)
@given(samples=identities, side=st.integers(1, 9), lengths=cuts)
def test_npz_holds_images_seeds_labels_and_provenance(
    samples: list[Identity], side: int, lengths: list[int]
) -> None:
    levels = noise(len(samples), side)
    body = answer(NpzForm(ORIGIN, len(samples), side), levels, samples, lengths)
    with np.load(io.BytesIO(body), allow_pickle=False) as loaded:
        assert set(loaded.files) == {"images", "seeds", "labels", "provenance"}
        assert loaded["images"].dtype == np.uint8
        assert np.array_equal(loaded["images"], levels)
        assert loaded["seeds"].dtype == np.uint64
        assert loaded["seeds"].tolist() == [sample.seed for sample in samples]
        assert loaded["labels"].tolist() == [sample.label or "" for sample in samples]
        told = json.loads(str(loaded["provenance"]))
    # With its label and seed, each image's own facts.
    for sample in samples:
        assert {**told, "label": sample.label, "seed": sample.seed} == sample.facts()


@given(lengths=cuts)
def test_npz_is_the_same_bytes_however_it_was_cut(lengths: list[int]) -> None:
    samples = [Identity(ORIGIN, f"class {i % 3}", i) for i in range(20)]
    levels = noise(20, 4)
    whole = answer(NpzForm(ORIGIN, 20, 4), levels, samples)
    assert answer(NpzForm(ORIGIN, 20, 4), levels, samples, lengths) == whole


def test_levels_that_are_not_contiguous_are_sent_as_they_are_read() -> None:
    samples = [Identity(ORIGIN, None, i) for i in range(3)]
    levels = noise(3, 8)[:, ::2, ::-2].transpose(0, 2, 1)
    body = answer(NpyForm(3, 4), levels, samples)
    assert np.array_equal(np.load(io.BytesIO(body), allow_pickle=False), levels)


def test_npz_has_no_checksum_that_differs() -> None:
    samples = [Identity(ORIGIN, None, i) for i in range(5)]
    body = answer(NpzForm(ORIGIN, 5, 16), noise(5, 16), samples, [2])
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None


@pytest.mark.skipif(shutil.which("unzip") is None, reason="no unzip here")
def test_unzip_takes_an_npz_apart(tmp_path: Path) -> None:
    samples = [Identity(ORIGIN, "NORMAL", i) for i in range(5)]
    levels = noise(5, 16)
    (tmp_path / "answer.npz").write_bytes(answer(NpzForm(ORIGIN, 5, 16), levels, samples, [1, 3]))
    subprocess.run(["unzip", "-q", "answer.npz"], cwd=tmp_path, check=True)
    assert np.array_equal(np.load(tmp_path / "images.npy", allow_pickle=False), levels)
