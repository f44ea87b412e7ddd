"""From images and their features to everything that a report says, and its lights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.conditioning import Margin, agreement, kid_matrix, margins
from evaluation.copies import ClassCopies, class_copies
from evaluation.fidelity import ClassFidelity, as_fields, class_fidelity
from evaluation.floors import Measured
from evaluation.images import Protocol, Subject, drawn, halves
from evaluation.laterality import laterality
from evaluation.lights import (
    AMBER,
    GREEN,
    GREY,
    RED,
    Check,
    copying,
    fidelity_checks,
    patient_checks,
    privacy_checks,
    usefulness_checks,
    worst,
)
from evaluation.membership import attack, black_box
from evaluation.usefulness import usefulness
from evaluation.views import Views

Features = NDArray[np.float32]
Tell = Callable[[str, float], None]  # words, and the fraction of this part
FIXED = {
    True: "Similarity and membership tests found evidence of copying. They do not prove anonymity.",
    False: "Similarity and membership tests did not find evidence of copying. They do not prove "
    "anonymity.",
}
Rulers = Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class FeatureSets:
    fakes: Features
    reference: Features
    train: Features | None


@dataclass(frozen=True)
class Measurements:
    """The parts of a report; `copies` for the operator's own pages."""

    fidelity: dict[str, Any]
    conditioning: dict[str, Any] | None
    usefulness: dict[str, Any]
    privacy: dict[str, Any]
    checks: list[Check]
    lights: dict[str, str]
    copies: dict[str, ClassCopies]
    classes: list[ClassFidelity]


def floor_source(subject: Subject, features: FeatureSets, protocol: Protocol) -> tuple[Any, Any]:
    """(pool, its features), (reference, its features): floors come from the training images, or
    from one half of the reference where those are not known."""
    if subject.train is not None:
        assert features.train is not None
        return (subject.train, features.train), (subject.reference, features.reference)
    random = np.random.default_rng([protocol.seed, 1])
    one, other = (
        (subject.reference.taken(rows), features.reference[rows])
        for rows in halves(random, subject.reference)
    )
    return one, other


def class_sets(
    subject: Subject, features: FeatureSets, label: int, protocol: Protocol
) -> tuple[Views, Views, Views]:
    """One class: pool (cut to its largest size by whole patients), reference, fakes."""
    (pool, pool_f), (reference, reference_f) = floor_source(subject, features, protocol)
    random = np.random.default_rng([protocol.seed, 2, label])
    own = drawn(random, pool.rows(label), pool.groups, protocol.pool)
    real, made = reference.rows(label), subject.fakes.rows(label)
    return (
        Views.of(pool.taken(own), pool_f[own]),
        Views.of(reference.taken(real), reference_f[real]),
        Views.of(subject.fakes.taken(made), features.fakes[made]),
    )


def all_classes(
    subject: Subject, features: FeatureSets, extractor: str, protocol: Protocol, tell: Tell
) -> list[ClassFidelity]:
    found, total = [], len(subject.labels) * protocol.draws
    for label in range(len(subject.labels)):
        done = 0

        def tick(before: int = label * protocol.draws) -> None:
            nonlocal done
            done += 1
            tell("Floors and fidelity", (before + done) / total)

        random = np.random.default_rng([protocol.seed, 3, label])
        sets = class_sets(subject, features, label, protocol)
        name = subject.labels[label]
        found.append(class_fidelity(name, *sets, extractor, protocol, random, tick))
    return found


def measure(
    subject: Subject,
    features: FeatureSets,
    extractor: str,
    protocol: Protocol,
    rulers: Rulers,
    tell: Tell = lambda _words, _fraction: None,
) -> Measurements:
    """Everything that is measured at the generator's own resolution."""
    subject.check()
    several, train = len(subject.labels) > 1, subject.train
    classes = all_classes(subject, features, extractor, protocol, tell)
    pool, reference = floor_source(subject, features, protocol)
    random = np.random.default_rng([protocol.seed, 7])
    sides = laterality(subject, pool[0], reference[0], protocol, random)
    random = np.random.default_rng([protocol.seed, 4])
    matrix, judged = None, None
    agreed: list[Measured] = []
    apart: list[Margin] = []
    if several:
        tell("Conditioning", 0.0)
        matrix = kid_matrix(subject, features.reference, features.fakes, extractor, random)
        if train is not None:
            assert features.train is not None
            judged, agreed = agreement(
                subject, features.train, features.reference, features.fakes, protocol, random
            )
        random = np.random.default_rng([protocol.seed, 8])
        apart = margins(subject, features.fakes, pool, reference, protocol, random)
    checks = fidelity_checks(classes, [*sides, *agreed], apart, dict(rulers), protocol)
    if matrix is not None:
        matrix["nearest"] = _nearest_classes(apart, checks)
    useful, why_not = None, ""
    if not several:
        why_not = "One class: there is nothing to classify."
    elif train is None:
        why_not = "The training images were not given: there is nothing to add to."
    else:
        assert features.train is not None
        tell("Usefulness", 0.0)
        random = np.random.default_rng([protocol.seed, 5])
        useful = usefulness(subject, features.train, features.reference, features.fakes, random)
    fewest = int(np.bincount(subject.reference.classes, minlength=len(subject.labels)).min())
    checks += usefulness_checks(useful, fewest, why_not, protocol)
    tell("Copies and membership", 0.0)
    copies, attacks = _privacy(subject, features, protocol)
    found = {name: each.numbers for name, each in copies.items()}
    shown = {name: {**each.numbers, "nearest": each.histograms} for name, each in copies.items()}
    private = privacy_checks(found if train is not None else None, attacks, protocol)
    checks += private
    if train is not None:
        checks += patient_checks(subject.patients_known, subject.patients_in_both)
    privacy = {
        "sentence": FIXED[copying(private)] if train is not None else None,
        "near_copies": shown,
        "membership": attacks,
        "patients": None
        if train is None or not subject.patients_known
        else len(np.unique(train.groups)),
        "differential_privacy": "none",
    }
    lights = {
        light: worst(check for check in checks if check.light == light)
        for light in ("fidelity", "usefulness", "privacy")
    }
    return Measurements(
        fidelity={
            each.label: {**each.as_dict(), **as_fields(side)}
            for each, side in zip(classes, sides, strict=True)
        },
        conditioning=None if matrix is None else {"kid": matrix, "labels": judged},
        usefulness={"probe": useful, "why_not": why_not or None},
        privacy=privacy,
        checks=checks,
        lights=lights,
        copies=copies,
        classes=classes,
    )


def _nearest_classes(found: list[Margin], checks: list[Check]) -> dict[str, dict[str, Any]]:
    """Which class the fakes of each lie nearest to, as its check says."""
    words = {GREEN: "own", AMBER: "tie", RED: "other"}
    verdicts = {c.label: words[c.verdict] for c in checks if c.check == "class KID"}
    labels = [each.measured.label for each in found]
    return {
        label: each.as_dict(verdicts.get(label, GREY))
        for label, each in zip(labels, found, strict=True)
    }


def _privacy(
    subject: Subject, features: FeatureSets, protocol: Protocol
) -> tuple[dict[str, ClassCopies], dict[str, dict[str, Any] | None]]:
    if subject.train is None:
        return {}, {"black box": None, "discriminator": None}
    assert features.train is not None
    random = np.random.default_rng([protocol.seed, 6])
    fakes = Views.of(subject.fakes, features.fakes)
    train = Views.of(subject.train, features.train)
    reference = Views.of(subject.reference, features.reference)
    copies = {}
    for index, label in enumerate(subject.labels):
        parts = [views.taken(views.images.rows(index)) for views in (fakes, train, reference)]
        copies[label] = class_copies(
            parts[0], parts[1], parts[2], protocol, len(subject.labels), random
        )
    known = subject.member_scores
    return copies, {
        "black box": black_box(fakes, train, reference, random),
        "discriminator": None
        if known is None
        else attack(train, reference, known[0], known[1], random),
    }
