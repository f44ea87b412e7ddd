"""What each arm is trained on: counts, shares, and one budget for all."""

from __future__ import annotations

import numpy as np
import pytest

from library.studies.config import ARMS, NETWORK_ONLY, WITH_SYNTHETIC
from library.studies.resolving import resolve
from library.studies.runs import Run, runs
from studies.arms import shown, steps, wanted_of_each
from studies.partitions import Parts

CLASSES = np.repeat([0, 1, 2], [300, 200, 60])
NONE = np.zeros(0, np.int64)
PARTS = Parts(np.arange(len(CLASSES)), NONE, NONE)
CONFIG = resolve({"positive": "C", "other_ratios": [0.5, 2.5], "seed": 1})
LABELS = ["A", "B", "C"]
MADE = np.repeat([0, 1, 2], wanted_of_each(CONFIG, LABELS, np.bincount(CLASSES)))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.5])
def test_synthetic_images_and_duplicates_are_as_many_of_every_class(ratio: float) -> None:
    expected = [round(ratio * n) for n in (300, 200, 60)]
    mixed = shown(Run("network", "real_synthetic", ratio, 0), CONFIG, LABELS, PARTS, CLASSES, MADE)
    assert np.array_equal(mixed.real, PARTS.train)
    assert np.bincount(MADE[mixed.synthetic]).tolist() == expected
    assert len(np.unique(mixed.synthetic)) == len(mixed.synthetic)
    twice = shown(Run("network", "duplicates", ratio, 0), CONFIG, LABELS, PARTS, CLASSES, MADE)
    added = np.bincount(CLASSES[twice.real]) - np.bincount(CLASSES)
    assert added.tolist() == expected
    shown_times = np.bincount(twice.real)
    assert shown_times.max() - shown_times.min() <= 1  # nobody more than once more than another


def test_one_class_adds_to_the_positive_class_alone() -> None:
    found = shown(Run("network", "one_class", 1.0, 0), CONFIG, LABELS, PARTS, CLASSES, MADE)
    assert set(MADE[found.synthetic]) == {2}
    assert len(found.synthetic) == 60


def test_pretrained_begins_with_synthetic_images_and_ends_with_real_ones() -> None:
    found = shown(Run("network", "pretrained", 1.0, 0), CONFIG, LABELS, PARTS, CLASSES, MADE)
    assert found.first is not None
    assert not len(found.first[0])
    assert len(found.first[1]) == len(CLASSES)
    assert not len(found.synthetic)


def test_every_arm_is_run_as_often_as_it_says() -> None:
    whole = runs(CONFIG, with_real=True)
    assert {run.arm for run in whole} == set(ARMS)
    assert len(whole) == len(set(whole))
    probes = {run.arm for run in whole if run.classifier == "probe"}
    assert probes == set(ARMS) - NETWORK_ONLY
    assert {run.ratio for run in whole if run.arm == "real_synthetic"} == {1.0, 0.5, 2.5}
    assert {run.ratio for run in whole if run.arm == "pretrained"} == {1.0}
    later = runs(CONFIG, with_real=False)
    assert {run.arm for run in later} == set(WITH_SYNTHETIC)
    seeds = [run.seed for run in later if run.key == "network/one_class@1"]
    assert seeds == [0, 1, 2]


def test_the_budget_depends_on_the_real_images_alone() -> None:
    assert steps(CONFIG, 4000) == 500
    assert steps(CONFIG, 8000) == 1000
    assert steps(CONFIG, 100) == 500


def test_where_one_class_gets_synthetic_images_its_control_is_duplicated_alone() -> None:
    config = resolve({"positive": "C", "synthetic_classes": ["C"], "seed": 1})
    wanted = wanted_of_each(config, LABELS, np.bincount(CLASSES))
    assert wanted.tolist() == [0, 0, 60]
    made = np.repeat([0, 1, 2], wanted)
    mixed = shown(Run("network", "real_synthetic", 1.0, 0), config, LABELS, PARTS, CLASSES, made)
    twice = shown(Run("network", "duplicates", 1.0, 0), config, LABELS, PARTS, CLASSES, made)
    assert np.bincount(made[mixed.synthetic], minlength=3).tolist() == [0, 0, 60]
    assert (np.bincount(CLASSES[twice.real]) - np.bincount(CLASSES)).tolist() == [0, 0, 60]
    assert not {run.arm for run in runs(config, True)} & {"synthetic", "pretrained", "one_class"}
