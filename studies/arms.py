"""What each arm is trained on: rows of real and synthetic images, and how they are shown.

Every arm has the same budget: the same number of steps of the same size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.images import Rows
from library.config import Augmentation
from library.studies.config import StudyConfig
from library.studies.runs import Run
from studies.partitions import Parts

BATCH = 64
# The paper's traditional augmentation (its figure 2): rotation, crop, scale, flip.
PAPER = Augmentation(rotation=30.0, crop=0.2, scale=0.1, flip=True)


@dataclass(frozen=True)
class Shown:
    """What a run is trained on.  Rows are into the study's table (real) and the unit's synthetic
    images; `first`: of the first half of the steps, where it differs."""

    real: Rows
    synthetic: Rows
    first: tuple[Rows, Rows] | None = None
    balanced: bool = False  # each class as often as any other
    weighted: bool = False  # each class's loss as heavy as any other's
    augmentation: Augmentation | None = None


def with_synthetic(config: StudyConfig, labels: Sequence[str]) -> list[int]:
    """Numbers of the classes that get synthetic images, and as many duplicates in the control."""
    chosen = config.synthetic_classes or labels
    return [number for number, label in enumerate(labels) if label in chosen]


def wanted_of_each(
    config: StudyConfig, labels: Sequence[str], counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Synthetic images of each class that a partition with `counts` real ones needs."""
    most = max(config.ratios)
    if "synthetic" in config.arms:
        most = max(most, 1.0)
    wanted = np.zeros(len(labels), np.int64)
    chosen = with_synthetic(config, labels)
    wanted[chosen] = np.ceil(most * counts[chosen])
    return wanted


def shown(
    run: Run,
    config: StudyConfig,
    labels: Sequence[str],
    parts: Parts,
    classes: Rows,
    synthetic: Rows,
) -> Shown:
    """classes: of the table's images; synthetic: classes of the synthetic images, class by class.

    Which duplicates there are depends on the run's seed, all else on nothing.
    """
    real, none = parts.train, np.zeros(0, np.int64)
    of, chosen = classes[real], with_synthetic(config, labels)

    def made(ratio: float, among: Sequence[int] = chosen) -> Rows:
        """The first of each class: in the same shares as the real images are."""
        found = []
        for label in among:
            rows = np.flatnonzero(synthetic == label)
            found.append(rows[: round(ratio * int((of == label).sum()))])
        return np.concatenate(found)

    match run.arm:
        case "real":
            return Shown(real, none)
        case "duplicates":
            assert run.ratio is not None
            return Shown(np.concatenate([real, _duplicates(run, config, real, of, chosen)]), none)
        case "synthetic":
            return Shown(none, made(1.0))
        case "augmented":
            return Shown(real, none, augmentation=PAPER)
        case "weighted":
            return Shown(real, none, weighted=True)
        case "oversampled":
            return Shown(real, none, balanced=True)
    assert run.ratio is not None
    match run.arm:
        case "real_synthetic":
            return Shown(real, made(run.ratio))
        case "augmented_synthetic":
            return Shown(real, made(run.ratio), augmentation=PAPER)
        case "one_class":
            return Shown(real, made(run.ratio, [labels.index(config.positive)]))
        case "pretrained":
            return Shown(real, none, first=(none, made(run.ratio)))
    raise ValueError(run.arm)


def _duplicates(run: Run, config: StudyConfig, real: Rows, of: Rows, among: Sequence[int]) -> Rows:
    """k times as many of each class: whole copies, then some drawn without replacement."""
    assert run.ratio is not None
    key = [config.seed, (6 << 32) + run.seed]
    random, chosen = np.random.Generator(np.random.Philox(key=key)), []
    for label in among:
        rows = real[of == label]
        count = round(run.ratio * len(rows))
        whole, rest = divmod(count, len(rows))
        chosen += [rows] * whole + [random.permutation(rows)[:rest]]
    return np.concatenate(chosen)


def steps(config: StudyConfig, images: int) -> int:
    """The budget of every arm of a partition with so many real training images."""
    return max(config.steps_min, round(config.epochs * images / BATCH))
