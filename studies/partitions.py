"""Who is trained on and who is tested on: drawn by patients, from the study's seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.images import Rows
from library.errors import InvalidValue
from library.studies.config import StudyConfig
from library.studies.units import Partition, partitions
from studies.images import Table

VALIDATION = 0.15  # of a fold's training patients: the generator's checkpoint is chosen by them
SMALLEST = 10  # images of a class, to train and to test on
SMALLEST_FOLD = 5  # … to test on in one fold: folds are pooled


@dataclass(frozen=True)
class Parts:
    """Rows of the table: train, test, and what of train a generator only chooses by.

    Of a usefulness study `choosing` are images of the validation split, which no classifier sees.
    """

    train: Rows
    test: Rows
    choosing: Rows


def draw(table: Table, config: StudyConfig) -> tuple[dict[str, Parts], Rows]:
    """The parts of each partition, and the large test: positives that take no part otherwise.

    Raises InvalidValue for a dataset that is too small for the study, with what would do.
    """
    if config.kind == "small_class":
        return _folds(table, config)
    if not len(test := table.rows(config.test)):
        raise InvalidValue(
            f"The dataset has no {config.test} images to test on.",
            field="config.test",
            value=config.test,
            remedy="Validate it with a split, or use a small_class study, which folds.",
        )
    found = {}
    for part in partitions(config):
        random = _random(config, 1, part.draw)  # the same patients in all sizes: they are nested
        train = _share(table, table.rows("train"), part.size, random)
        choosing = _share(table, table.rows("validation"), part.size, random)
        if config.test == "validation":
            choosing = choosing[:0]  # what is tested on chooses nothing
        found[part.name] = Parts(train, test, choosing)
        _check(table, config, part, found[part.name])
    return found, test[:0]


def _folds(table: Table, config: StudyConfig) -> tuple[dict[str, Parts], Rows]:
    rows, large = _small(table, config)
    found = {}
    for part in partitions(config):
        fold = _fold_of(table, rows, config.folds, _random(config, 2, part.repeat))
        train, test = rows[fold != part.fold], rows[fold == part.fold]
        random = _random(config, 3, part.repeat * config.folds + part.fold)
        choosing = _share(table, train, VALIDATION, random)
        found[part.name] = Parts(train, test, choosing)
        _check(table, config, part, found[part.name])
    return found, large


def _small(table: Table, config: StudyConfig) -> tuple[Rows, Rows]:
    """Rows that take part, with so many positives of whole patients; the positives left over.

    Whoever has a picture in the large test takes no other part.
    """
    rows = table.rows("train", "validation")
    images, wanted = table.images, config.small_count
    positives = rows[images.classes[rows] == table.positive]
    if not wanted:
        return rows, rows[:0]
    if len(positives) < wanted:
        raise InvalidValue(
            f"There are {len(positives)} images of {config.positive!r} outside the held-out split.",
            field="config.small_count",
            value=wanted,
            remedy="Ask for fewer, or leave it out: all take part.",
        )
    groups, sizes = np.unique(images.groups[positives], return_counts=True)
    chosen, taken = [], 0
    for i in _random(config, 4, 0).permutation(len(groups)):
        if taken + sizes[i] <= wanted:
            chosen.append(groups[i])
            taken += int(sizes[i])
    inside = np.isin(images.groups[positives], chosen)
    large = positives[~inside]
    elsewhere = np.isin(images.groups[rows], images.groups[large])
    return rows[~elsewhere], large


def set_aside(table: Table, large: Rows) -> int:
    """Images of other classes that take no part, since their patients are in the large test."""
    groups = table.images.groups
    theirs = np.isin(groups[table.rows("train", "validation")], groups[large])
    return int(theirs.sum()) - len(large)


def _share(table: Table, rows: Rows, share: float, random: np.random.Generator) -> Rows:
    """That share of the patients of each class, whole, and of one at least; the rows sorted."""
    images, taken = table.images, []
    order = random.permutation(int(images.groups.max()) + 1)  # of all, so that shares are nested
    class_of = _class_of_groups(table, rows)
    for label in range(len(table.labels)):
        groups = np.array([g for g, c in class_of.items() if c == label], np.int64)
        groups = groups[np.argsort(order[groups], kind="stable")]
        taken.append(groups[: max(1, round(share * len(groups)))])
    return rows[np.isin(images.groups[rows], np.concatenate(taken))]


def _class_of_groups(table: Table, rows: Rows) -> dict[int, int]:
    """The rarest class that each patient has images of: those are to be spread evenly."""
    images = table.images
    counts = np.bincount(images.classes[rows], minlength=len(table.labels))
    found: dict[int, int] = {}
    for label in np.argsort(-counts, kind="stable"):  # the rarest last, so that it stays
        for group in np.unique(images.groups[rows[images.classes[rows] == label]]):
            found[int(group)] = int(label)
    return dict(sorted(found.items()))


def _fold_of(
    table: Table, rows: Rows, folds: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """The fold of each row: whole patients, each class as evenly as they allow.

    Patients with many images first, each to the fold that has the fewest of its class.
    """
    images, class_of = table.images, _class_of_groups(table, rows)
    groups = np.array(list(class_of))  # sorted
    of = np.array(list(class_of.values()))
    sizes = np.zeros((len(groups), len(table.labels)))
    np.add.at(sizes, (np.searchsorted(groups, images.groups[rows]), images.classes[rows]), 1)
    own = sizes[np.arange(len(groups)), of]
    filled = np.zeros((len(table.labels), folds))
    chosen = np.zeros(len(groups), np.int64)
    for i in np.lexsort((random.permutation(len(groups)), -own)):
        fold = int((filled[of[i]] + 1e-6 * filled.sum(0)).argmin())
        filled[:, fold] += sizes[i]
        chosen[i] = fold
    return chosen[np.searchsorted(groups, images.groups[rows])]


def _check(table: Table, config: StudyConfig, part: Partition, parts: Parts) -> None:
    for name, rows in (("train", parts.train), ("test", parts.test)):
        counts = np.bincount(table.images.classes[rows], minlength=len(table.labels))
        for label, count in zip(table.labels, counts, strict=True):
            small = config.kind == "small_class"
            least = SMALLEST_FOLD if small and name == "test" else SMALLEST
            if count < least:
                field = "folds" if small else "sizes"
                raise InvalidValue(
                    f"There are {count} images of {label!r} to {name} on in part {part.name}.",
                    field=f"config.{field}",
                    value=config.folds if small else part.size,
                    remedy=f"At least {least} are needed: use "
                    + ("fewer folds." if small else "a larger size, or more images."),
                )


def _random(config: StudyConfig, stream: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[config.seed, stream << 32 | number]))
