"""Synthetic images for a partition: sampled of its generator, or read from the user's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.images import Images
from evaluation.reading import generated
from library.atomic import read_json
from library.datasets.index import ACCEPTED
from library.datasets.opened import Opened, open_dataset
from library.errors import Conflict, InvalidValue
from library.studies.folder import Study
from library.studies.units import GENERATOR, PREPARE, Unit
from library.versions import ModelLibrary, Version
from studies.generators import trained_version
from studies.images import read_images

APART = 1_000_000  # seeds between two generators of one version


def synthetic_images(
    study: Study,
    unit: Unit,
    labels: Sequence[str],
    counts: NDArray[np.int64],
    spare: NDArray[np.int64],
) -> Images:
    """`counts` images of each class and `spare` beside them, class by class; none is picked.

    At the study's resolution.  A folder may have fewer to spare.
    """
    chosen = study.config.generator
    if chosen.images is not None:
        return _of_folder(study, unit, labels, counts, spare, Path(chosen.images))
    if chosen.model is not None:
        version = ModelLibrary(study.data_dir / "models").find(chosen.model)
        check_version(study, version, labels)
    else:
        version = trained_version(study, f"{GENERATOR}-{unit.partition}-g{unit.generator}")
    counts = counts + spare
    most, first = int(counts.max()), unit.generator * APART
    made = generated(version, most, first)
    rows = [made.rows(version.labels.index(n))[:k] for n, k in zip(labels, counts, strict=True)]
    classes = np.repeat(np.arange(len(labels)), counts)
    return Images.of(made.levels[np.concatenate(rows)], classes)


def check_version(study: Study, version: Version, labels: Sequence[str]) -> None:
    """Raises InvalidValue for a version that cannot stand in this study."""
    config = study.config
    lacking = [label for label in labels if label not in version.labels]
    if lacking:
        raise InvalidValue(
            f"{version.reference} draws {', '.join(version.labels) or 'no classes'}, and not "
            f"{', '.join(lacking)}.",
            field="config.generator.model",
            value=version.reference,
            remedy="Name a version with the study's classes.",
        )
    if version.resolution != config.resolution:
        raise InvalidValue(
            f"{version.reference} draws {version.resolution} pixels.",
            field="config.resolution",
            value=config.resolution,
            remedy=f"Use {version.resolution}.",
        )
    if (fit := version.card["training"]["config"]["fit"]) != config.fit:
        raise InvalidValue(
            f"{version.reference} was trained on pictures made square by {fit!r}.",
            field="config.fit",
            value=config.fit,
            remedy=f"Use {fit!r}.",
        )
    trained_on = version.card["dataset"].get("fingerprint")
    if trained_on != study.record["fingerprint"]:
        raise InvalidValue(
            f"{version.reference} was trained on another dataset, or another split of this one: it "
            "may have seen the images that are tested on.",
            field="config.generator.model",
            value=version.reference,
            remedy="Name a version that was trained on this very dataset, or a preset.",
        )


def _of_folder(
    study: Study,
    unit: Unit,
    labels: Sequence[str],
    counts: NDArray[np.int64],
    spare: NDArray[np.int64],
    folder: Path,
) -> Images:
    """Another draw of the folder's images for each generator, without replacement."""
    with open_dataset(study.data_dir, folder, lambda *_: None) as dataset:
        _check_folder(study, dataset)
        _check_same(study, dataset, folder)
        there = dataset.record["labels"]
        _check_classes(labels, counts, there)
        images, names = read_images(
            dataset, sorted(set(labels) & set(there)), study.config, study.data_dir / "decoded"
        )
    key = [study.config.seed, (5 << 32) + unit.generator]
    random, rows = np.random.Generator(np.random.Philox(key=key)), []
    for label, (name, count) in enumerate(zip(labels, counts, strict=True)):
        found = images.rows(names.index(name)) if name in names else np.zeros(0, np.int64)
        if len(found) < count:
            raise InvalidValue(
                f"There are {len(found)} synthetic images of {name!r}, and {count} are needed.",
                field="config.generator.images",
                value=len(found),
                remedy="Make more of them, use a smaller ratio, or leave out the arm `synthetic`.",
            )
        rows.append(random.permutation(found)[: count + spare[label]])
    chosen = np.concatenate(rows)
    classes = np.repeat(np.arange(len(labels)), [len(each) for each in rows])
    return Images.of(np.asarray(images.levels[chosen]), classes)


def _check_same(study: Study, dataset: Opened, folder: Path) -> None:
    kept = read_json(study.unit_record(PREPARE)).get("folder")
    if kept is not None and kept["fingerprint"] != dataset.record["fingerprint"]:
        raise Conflict(
            f"The folder {str(folder)!r} is no longer what it was when the study began.",
            field="config.generator.images",
            value=str(folder),
            remedy="Bring its pictures back and resume the study, or begin a new one.",
        )


def _check_classes(labels: Sequence[str], counts: NDArray[np.int64], there: Any) -> None:
    for name, count in zip(labels, counts, strict=True):
        if count and name not in there:
            raise InvalidValue(
                f"The folder of synthetic images has none of {name!r}.",
                field="config.generator.images",
                value=sorted(there),
                remedy="Give it a folder of that name, or say which classes get synthetic images: "
                "config.synthetic_classes.",
            )


def _check_folder(study: Study, dataset: Opened) -> None:
    with np.load(study.partitions) as kept:
        real = {digest.decode() for digest in kept["sha256"]}
    same = real & {file.sha256 for file in dataset.files(None)}
    if same:
        raise InvalidValue(
            f"{len(same)} of the synthetic images are files of the real dataset.",
            field="config.generator.images",
            value=len(same),
            remedy="Give a folder of generated images alone.",
        )
    # Made larger they would be blurred, and real images are not.
    sides = dataset.index.rows("min(min(width, height)) AS side", "WHERE status = ?", ACCEPTED)
    side, needed = int(next(iter(sides))["side"]), study.config.resolution
    if side < needed:
        raise InvalidValue(
            f"The smallest synthetic image has {side} pixels, and the study {needed}.",
            field="config.resolution",
            value=needed,
            remedy=f"Use {side} or less, or give larger images.",
        )
