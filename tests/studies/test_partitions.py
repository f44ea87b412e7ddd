"""Who is trained and tested on: laws that hold for every draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.images import Images
from library.errors import InvalidValue
from library.studies.config import StudyConfig
from library.studies.resolving import resolve
from library.studies.units import partitions
from studies.images import SPLITS, Table
from studies.partitions import SMALLEST, draw, set_aside


def table(seed: int, classes: int = 3, patients: int = 400) -> Table:
    """Patients with one to four images, some of them of two classes, in three splits."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), random.integers(1, 5, patients))
    main = random.choice(
        classes, patients, p=np.array([4, 3, 2][:classes]) / sum([4, 3, 2][:classes])
    )
    of = main[groups]
    other = random.random(len(of)) < 0.05
    of[other] = random.integers(0, classes, other.sum())
    split = random.choice(3, patients, p=[0.7, 0.15, 0.15])[groups]
    names = tuple(f"{i:064x}" for i in range(len(of)))
    images = Images(np.zeros((len(of), 1, 1), np.uint8), of, groups, names)
    return Table(images, split.astype(np.int8), ("A", "B", "C")[:classes], classes - 1, True)


def config(**given: object) -> StudyConfig:
    return resolve({"positive": "C", **given})


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), drawn=st.integers(0, 10_000))
def test_no_patient_is_trained_and_tested_on(seed: int, drawn: int) -> None:
    images = table(seed)
    groups = images.images.groups
    for kind in (
        {"sizes": [1.0, 0.5, 0.3], "generators": 2},
        {"kind": "small_class", "small_count": 80},
    ):
        found, large = draw(images, config(seed=drawn, **kind))
        for parts in found.values():
            assert not np.intersect1d(groups[parts.train], groups[parts.test]).size
            assert not np.intersect1d(groups[large], groups[parts.train]).size
            assert not np.intersect1d(groups[large], groups[parts.test]).size


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_image_of_a_small_class_study_is_tested_on_once_a_repeat(seed: int) -> None:
    images = table(seed)
    study = config(kind="small_class", folds=4, repeats=2, small_count=80, seed=seed)
    found, large = draw(images, study)
    of = images.images.classes
    for repeat in range(2):
        tested = np.concatenate(
            [found[p.name].test for p in partitions(study) if p.repeat == repeat]
        )
        assert len(np.unique(tested)) == len(tested)
        assert 70 <= (of[tested] == 2).sum() <= 80
        for p in partitions(study):
            if p.repeat == repeat:
                parts = found[p.name]
                assert np.array_equal(np.union1d(parts.train, parts.test), np.sort(tested))
                assert np.isin(parts.choosing, parts.train).all()
        shares = [(of[found[f"r{repeat}f{f}"].test] == 2).sum() for f in range(4)]
        assert max(shares) - min(shares) <= 6  # whole patients, of up to four images
    assert (of[large] == 2).all()
    rows = images.rows("train", "validation")
    assert set_aside(images, large) == len(rows) - len(tested) - len(large)
    assert not np.array_equal(found["r0f0"].test, found["r1f0"].test)


def test_smaller_sizes_are_parts_of_larger_ones_and_keep_the_classes_shares() -> None:
    images = table(1)
    study = config(sizes=[1.0, 0.5, 0.25], generators=2, seed=3)
    found, _ = draw(images, study)
    assert set(found) == {"s1d0", "s0.5d0", "s0.5d1", "s0.25d0", "s0.25d1"}
    assert np.isin(found["s0.25d1"].train, found["s0.5d1"].train).all()
    assert not np.array_equal(found["s0.5d0"].train, found["s0.5d1"].train)
    whole = np.bincount(images.images.classes[found["s1d0"].train])
    half = np.bincount(images.images.classes[found["s0.5d0"].train])
    assert np.abs(half / whole - 0.5).max() < 0.1
    assert np.isin(found["s0.5d0"].choosing, images.rows("validation")).all()
    assert np.array_equal(found["s0.5d0"].test, images.rows("held_out"))


def test_the_same_seed_draws_the_same_patients() -> None:
    study = config(kind="small_class", small_count=60, seed=9)
    one, other = draw(table(2), study)[0], draw(table(2), study)[0]
    assert all(np.array_equal(one[name].test, other[name].test) for name in one)


def test_what_is_tested_on_chooses_no_checkpoint() -> None:
    found, _ = draw(table(3), config(test="validation", seed=1))
    assert not len(found["s1d0"].choosing)
    assert SPLITS[1] == "validation"


def test_too_few_images_are_told_with_what_would_do() -> None:
    with pytest.raises(InvalidValue, match=f"At least {SMALLEST}") as told:
        draw(table(4, patients=60), config(sizes=[0.05], seed=1))
    assert told.value.field == "config.sizes"
    with pytest.raises(InvalidValue, match="Ask for fewer"):
        draw(table(4, patients=60), config(kind="small_class", small_count=5000, seed=1))
