"""Each planted fault raises its light, and the check that names it; no fault raises none.

Chest-like pictures of 90 patients a class; docs/evaluation.md has the same of real X-rays.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation import damage
from evaluation.copies import class_copies
from evaluation.images import Images, Protocol, Subject
from evaluation.lights import AMBER, GREEN, RED, Check, copying, privacy_checks, worst
from evaluation.measuring import FeatureSets, Measurements, measure
from evaluation.views import Views
from features.extractors import Extractor, Features, efficientnet_lite0
from tests.evaluation.pictures import SIDE, real

PROTOCOL = Protocol(draws=60, no_verdict=100)


@cache
def extractor() -> Extractor:
    return efficientnet_lite0()


@cache
def sets() -> tuple[Images, Images, Images]:
    """Training images, reference and stand-ins for fakes: real ones of other patients."""
    return real(1, 270), real(2, 90, first=1000), real(3, 95, first=2000)


SEEN: dict[bytes, Features] = {}  # most faults leave most images as they were


def features(levels: NDArray[np.uint8]) -> Features:
    new = [image for image in levels if image.tobytes() not in SEEN]
    if new:
        found = extractor().features(np.stack(new))
        SEEN.update(zip((image.tobytes() for image in new), found, strict=True))
    return np.stack([SEEN[image.tobytes()] for image in levels])


def measured(fakes: Images, *, reference: Images | None = None) -> Measurements:
    train, held, _ = sets()
    made = Images.of(fakes.levels, fakes.classes)
    subject = Subject(("HEALTHY", "SHADOW"), made, reference or held, train, True)
    known = FeatureSets(*(features(images.levels) for images in (made, subject.reference, train)))
    return measure(subject, known, "lite0", PROTOCOL, {})


def named(found: Measurements, light: str) -> set[str]:
    return {c.check for c in found.checks if c.light == light and c.verdict in (AMBER, RED)}


def test_real_images_of_other_patients_raise_nothing() -> None:
    found = measured(sets()[2])
    assert found.lights["fidelity"] == GREEN
    assert found.lights["privacy"] == GREEN
    assert found.privacy["sentence"] == (
        "Similarity and membership tests did not find evidence of copying. They do not prove "
        "anonymity."
    )
    texts = [c.text for c in found.checks if c.light == "fidelity" and "floor" in c.text]
    assert texts
    assert all("no difference detected at n = " in text for text in texts)


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("flip", "laterality"),
        ("lower resolution", "kid_lite0"),
        pytest.param("blur", "fd_lite0", marks=pytest.mark.long),
        pytest.param("noise", "kid_lite0", marks=pytest.mark.long),
        ("shuffle", "coverage"),
        ("collapse", "duplicates"),
    ],
)
def test_damage_is_named_by_fidelity(kind: str, check: str) -> None:
    fakes, random = sets()[2], np.random.default_rng(0)
    changed = {
        "flip": lambda x: damage.flipped(x),
        "lower resolution": lambda x: damage.lower_resolution(x),
        "blur": lambda x: damage.blurred(x),
        "noise": lambda x: damage.noisy(x, 8.0, random),
        "shuffle": lambda x: damage.shuffled(x, random),
    }
    if kind == "collapse":
        rows = np.concatenate([np.resize(fakes.rows(k)[:10], len(fakes.rows(k))) for k in (0, 1)])
        made = fakes.taken(rows)
    else:
        made = replace(fakes, levels=changed[kind](fakes.levels))
    found = measured(made)
    assert check in named(found, "fidelity")
    assert found.lights["fidelity"] in (AMBER, RED)
    assert "near-copies" not in named(found, "privacy")


def test_other_class_and_swapped_labels_are_named() -> None:
    fakes, random = sets()[2], np.random.default_rng(0)
    found = measured(replace(fakes, classes=1 - fakes.classes))
    assert found.lights["fidelity"] == RED
    assert {"class KID", "label_agreement"} <= named(found, "fidelity")
    fifth = random.random(len(fakes)) < 0.2
    swapped = np.where(fifth, 1 - fakes.classes, fakes.classes)
    found = measured(replace(fakes, classes=swapped))
    assert "label_agreement" in named(found, "fidelity")


@pytest.mark.parametrize("share", [0.05, pytest.param(1.0, marks=pytest.mark.long)])
def test_copies_of_training_images_are_red(share: float) -> None:
    train, _, fakes = sets()
    random = np.random.default_rng(0)
    levels = fakes.levels.copy()
    for k in (0, 1):
        rows = fakes.rows(k)
        rows = rows[random.random(len(rows)) < share]
        levels[rows] = train.levels[random.permutation(train.rows(k))[: len(rows)]]
    found = measured(replace(fakes, levels=levels))
    assert found.lights["privacy"] == RED
    assert "near-copies" in named(found, "privacy")
    assert found.privacy["sentence"].startswith(
        "Similarity and membership tests found evidence of copying."
    )


@pytest.mark.parametrize(
    "how", [pytest.param("half the pixels", marks=pytest.mark.long), "rotated"]
)
def test_changed_copies_are_found(how: str) -> None:
    train, _, fakes = sets()
    levels = np.concatenate([train.levels[train.rows(k)[: len(fakes.rows(k))]] for k in (0, 1)])
    changed = damage.lower_resolution(levels) if how != "rotated" else damage.rotated(levels, 2.0)
    found = measured(replace(fakes, levels=changed))
    assert found.lights["privacy"] in (AMBER, RED)
    assert named(found, "privacy") & {"near-copies", "nearest is train", "membership, black box"}


def test_a_patient_in_both_splits_is_red_for_usefulness_and_privacy() -> None:
    train, held, fakes = sets()
    groups = held.groups.copy()
    groups[:2] = train.groups[0]
    found = measured(fakes, reference=replace(held, groups=groups))
    for light in ("usefulness", "privacy"):
        assert found.lights[light] == RED
        assert "patients" in named(found, light)


def test_closest_pairs_are_the_copies() -> None:
    train, _, fakes = sets()
    levels = fakes.levels.copy()
    mine, theirs = fakes.rows(1)[7], train.rows(1)[11]
    levels[mine] = train.levels[theirs]
    found = measured(replace(fakes, levels=levels))
    first = max(found.copies["SHADOW"].pairs, key=lambda pair: pair["correlation"])
    assert (first["fake"], first["train"]) == (7, 11)
    assert first["correlation"] == pytest.approx(1.0, abs=1e-6)


@cache
def drawings() -> tuple[Images, Images, Images]:
    """Enough of one class that a tenth of the fakes is many: training, reference, stand-ins."""
    parts = real(4, 400, 1), real(5, 150, 1, first=1000), real(6, 300, 1, first=2000)
    return parts[0], parts[1], Images.of(parts[2].levels, parts[2].classes)


def privacy_of(fakes: NDArray[np.uint8], reference: Images | None = None) -> list[Check]:
    """Checks of copies, with random projections of the pixels for features."""
    train, held, _ = drawings()
    axes = np.random.default_rng(0).normal(size=(SIDE * SIDE, 64)).astype(np.float32) / SIDE

    def views(images: Images) -> Views:
        pixels = images.levels.reshape(len(images), -1) @ axes
        return Views.of(images, pixels.astype(np.float32))

    made = views(Images.of(fakes, np.zeros(len(fakes), int)))
    random = np.random.default_rng(0)
    found = class_copies(made, views(train), views(reference or held), PROTOCOL, 1, random).numbers
    return privacy_checks({"HEALTHY": found}, {"black box": None}, PROTOCOL)


def with_copies(share: float, noise: float) -> NDArray[np.uint8]:
    train, _, fakes = drawings()
    random, levels = np.random.default_rng(1), fakes.levels.copy()
    rows = np.flatnonzero(random.random(len(levels)) < share)
    copied = train.levels[random.permutation(len(train))[: len(rows)]]
    levels[rows] = damage.noisy(copied, noise, random)
    return levels


def test_a_tenth_of_noisy_copies_is_evidence_and_blurred_pictures_are_not() -> None:
    checks = privacy_of(with_copies(0.1, 6.0))
    assert copying(checks)
    assert [c.verdict for c in checks if c.check == "near-copies"] == [RED]
    checks = privacy_of(damage.blurred(drawings()[2].levels, 1.2))
    assert worst(checks) == AMBER
    assert not copying(checks)
    assert "it is not shown" in checks[0].text


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_duplicates_of_training_images_in_the_reference_hide_no_copies(share: float) -> None:
    train, held, _ = drawings()
    levels = held.levels.copy()
    levels[:4] = train.levels[:4]
    checks = privacy_of(with_copies(share, 1.0), replace(held, levels=levels))
    assert worst(checks) == (RED if share else GREEN)
    assert checks[0].text.endswith("copies of training images, too: 4.")
