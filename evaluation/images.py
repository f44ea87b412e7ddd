"""What is compared: images with their classes and patients, and the protocol of the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.errors import InvalidValue

Rows = NDArray[np.int64]
NO_VERDICT, FEW = 200, 500  # images a class: below, no light; below, a warning


@dataclass(frozen=True)
class Images:
    """levels (n, r, r) uint8; classes (n,); groups (n,): what belongs together, as a patient's
    images do (each image its own, where that is not known); sha256 of the files, if there are."""

    levels: NDArray[np.uint8]
    classes: Rows
    groups: Rows
    sha256: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.levels)

    def rows(self, label: int) -> Rows:
        return np.flatnonzero(self.classes == label)

    def taken(self, rows: Rows) -> Images:
        chosen = tuple(self.sha256[i] for i in rows) if self.sha256 else ()
        return Images(self.levels[rows], self.classes[rows], self.groups[rows], chosen)

    @classmethod
    def of(cls, levels: NDArray[np.uint8], classes: Rows | Sequence[int]) -> Images:
        """Images of which each stands alone, as generated ones do."""
        return cls(levels, np.asarray(classes, np.int64), np.arange(len(levels)))


@dataclass(frozen=True)
class Subject:
    """Fakes, real images that their generator has not seen, and those it was trained on.

    train: None when they are not known; delivery: train and reference at the size at which images
    are used (None: native size alone).  Groups of `train` and `reference` share their numbers.
    """

    labels: tuple[str, ...]
    fakes: Images
    reference: Images
    train: Images | None
    patients_known: bool
    delivery: tuple[Images, Images] | None = None
    member_scores: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)  # for `data` and `identity`

    def check(self) -> None:
        """Raises InvalidValue for what cannot be compared, with the reason."""
        sets = {"real": self.reference, "fake": self.fakes}
        if self.train is not None:
            sets["training"] = self.train
        sides = {images.levels.shape[1:] for images in sets.values()}
        if len(sides) != 1:
            raise InvalidValue(
                f"The sets have different sizes: {sorted(sides)}.",
                field="resolution",
                remedy="Give one resolution and one fit for all of them.",
            )
        for index, label in enumerate(self.labels):
            for name, images in sets.items():
                if len(images.rows(index)) < SMALLEST:
                    raise InvalidValue(
                        f"There are {len(images.rows(index))} {name} images of {label!r}.",
                        field="label",
                        value=label,
                        remedy=f"Give at least {SMALLEST} of each; {NO_VERDICT} or more for a "
                        "light.",
                    )
        if self.train is None:
            return
        same = set(self.train.sha256) & set(self.reference.sha256)
        if same:
            raise InvalidValue(
                f"{len(same)} of the real images are among those that the generator was trained "
                "on: measured against them, whatever copies them looks best.",
                field="reference",
                value=len(same),
                remedy="Compare with images that were held out from its training.",
            )

    @property
    def patients_in_both(self) -> int:
        if self.train is None:
            return 0
        return len(np.intersect1d(self.train.groups, self.reference.groups))


SMALLEST = 20  # images of a class that can be compared at all


@dataclass(frozen=True)
class Protocol:
    """How a report is made; all of it is printed there."""

    seed: int = 0
    draws: int = 200  # floors: real sets of the same size against the reference
    largest: int = 1000  # images a side, of one class, at most
    pool: int = 2000  # training images a class from which floors are drawn
    pairs: int = 100  # for MS-SSIM, a set
    no_verdict: int = NO_VERDICT
    level: float = 0.05  # false alarms that a light may raise where nothing is wrong
    fd_ratio_fail: float = 8.0
    coverage_fail: float = 0.3
    msssim_fail: float = 0.2
    duplicates_fail: float = 0.2
    agreement_fail: float = 0.3
    flagged_fail: float = 0.05
    membership_warn: float = 0.55
    membership_fail: float = 0.65
    discriminator_warn: float = 0.60
    discriminator_fail: float = 0.75
    copy_correlation: float = 0.999

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def preference_level(self, classes: int) -> float:
        """Of a permutation test: a quarter of the level, two detectors for each class."""
        return 0.25 * self.level / (2 * classes)


def drawn(random: np.random.Generator, rows: Rows, groups: Rows, count: int) -> Rows:
    """`count` of the rows by whole groups, in a random order (the last group may be cut)."""
    _, member = np.unique(groups[rows], return_inverse=True)
    keys = random.permutation(member.max() + 1)
    order = np.argsort(keys[member], kind="stable")
    return rows[order[:count]]


def halves(random: np.random.Generator, images: Images) -> tuple[Rows, Rows]:
    """Rows of two halves without a group in common, each class about evenly."""
    order = drawn(random, np.arange(len(images)), images.groups, len(images))
    first = np.zeros(len(images), bool)
    for label in np.unique(images.classes):
        rows = order[images.classes[order] == label]
        groups = list(dict.fromkeys(images.groups[rows].tolist()))
        chosen = set(groups[: len(groups) // 2])
        first[[i for i in rows if images.groups[i] in chosen]] = True
    # A group with images of two classes goes to one side.
    both = np.intersect1d(images.groups[first], images.groups[~first])
    first[np.isin(images.groups, both)] = True
    return np.flatnonzero(first), np.flatnonzero(~first)
