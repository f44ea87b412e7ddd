"""What is to be evaluated, found: a published version and its dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.images import NO_VERDICT, Images, Rows, Subject, drawn
from evaluation.reading import generated, split_images
from library.datasets.opened import Opened, open_dataset
from library.datasets.records import read_record
from library.errors import Conflict, InvalidValue, NotFound
from library.images import Fit
from library.manifests import read_manifest
from library.runs import RunFolder, run_folder
from library.versions import Version

DELIVERY = 224  # pixels: what extractors and most classifiers take
DELIVERY_POOL = 1000  # training images a class: floors need no more
ALL = "all"  # the one class of a model without labels

Tell = Callable[[str, float], None]


def version_subject(
    version: Version, data_dir: Path, dataset: str | None, count: int, seed: int, tell: Tell
) -> Subject:
    """A version against the held-out images of a dataset, by default the one it was trained on.

    Of a dataset that is known to lack images it was trained on, `train` is None.
    Raises InvalidValue or Conflict for a dataset that has none, or whose images it was trained on.
    """
    identity = dataset or _own_dataset(version, data_dir)
    run = _run_of(version, data_dir)

    def reading(words: str, done: int, total: int) -> None:
        tell(words, 0.02 * done / max(total, 1))

    with open_dataset(data_dir, identity, reading) as opened:
        labels = _labels(version, opened)
        fit: Fit = version.card["training"]["config"]["fit"]
        cache, side = data_dir / "decoded", version.resolution

        def read(splits: Sequence[str], resolution: int) -> Images:
            # Without labels: all the classes that it was trained on, as one.
            taken = labels or sorted(version.card["dataset"].get("labels") or [])
            found = _joined(
                [split_images(opened, split, taken, resolution, fit, cache) for split in splits]
            )
            return found if labels else replace(found, classes=np.zeros(len(found), np.int64))

        splits = _reference_splits(opened, labels)
        train, reference = read(["train"], side), read(splits, side)
        record = opened.record
        same = version.card["dataset"].get("fingerprint") == record["fingerprint"]
        seen = _trained_on(run)
        _refuse_trained_on(seen, reference, opened)
        verified = same or (bool(seen) and seen <= set(train.sha256))
        delivery = None
        if side < DELIVERY:
            large = read(["train"], DELIVERY)
            delivery = (large.taken(_few(large)), read(splits, DELIVERY))
    named = tuple(labels) if labels else (ALL,)
    made = generated(version, count, seed, lambda d, t: tell("Generating", 0.02 + 0.03 * d / t))
    scores = None
    if run is not None and verified:
        from evaluation.discriminator import member_scores

        scores = member_scores(run, train, reference)
    # Where it is known that it was trained on others, copies of these say nothing.
    known = verified or not seen
    return Subject(
        named, made, reference, train if known else None, record["patients_by"] != "none",
        delivery, scores, _facts(version, record, splits, fit, count, seed, verified),
    )  # fmt: skip


def _own_dataset(version: Version, data_dir: Path) -> str:
    identity = version.card["dataset"].get("id")
    if identity is not None:
        try:
            return str(read_record(data_dir, str(identity))["id"])
        except NotFound:
            pass
    raise Conflict(
        f"The dataset of {version.reference} is not on this server.",
        field="dataset",
        value=identity,
        remedy="Name one that holds its training images and images held out from them.",
    )


def _labels(version: Version, dataset: Opened) -> list[str]:
    wanted = version.labels or sorted(version.card["dataset"].get("labels") or [])
    missing = [label for label in wanted if label not in dataset.record["labels"]]
    if missing:
        raise InvalidValue(
            f"The dataset {dataset.identity} has no images of {', '.join(map(repr, missing))}.",
            field="dataset",
            value=dataset.identity,
            remedy=f"Name one with the labels {', '.join(wanted)}.",
        )
    return list(version.labels)


def _reference_splits(dataset: Opened, labels: Sequence[str]) -> list[str]:
    """The held-out images; the validation ones with them, where they alone are too few."""
    splits = dataset.record["splits"]
    if not splits.get("held_out", {}).get("images"):
        raise InvalidValue(
            f"The dataset {dataset.identity} has no held-out images: measured against the images "
            "that it was trained on, a generator that copies them looks best.",
            field="dataset",
            value=dataset.identity,
            remedy="Validate the dataset with a split (train, validation, held-out) and train on "
            "that, or name a dataset that has one.",
        )
    held = splits["held_out"]["labels"]
    counts = [held.get(label, 0) for label in labels] or [splits["held_out"]["images"]]
    few = min(counts) < NO_VERDICT
    if few and splits.get("validation", {}).get("images"):
        return ["held_out", "validation"]
    return ["held_out"]


def _joined(parts: Sequence[Images]) -> Images:
    if len(parts) == 1:
        return parts[0]
    return Images(
        np.concatenate([part.levels for part in parts]),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.groups for part in parts]),
        tuple(digest for part in parts for digest in part.sha256),
    )


def _few(images: Images) -> Rows:
    """Some of each class, by whole patients."""
    random = np.random.default_rng(0)
    chosen = [
        drawn(random, images.rows(int(label)), images.groups, DELIVERY_POOL)
        for label in np.unique(images.classes)
    ]
    return np.sort(np.concatenate(chosen))


def _run_of(version: Version, data_dir: Path) -> RunFolder | None:
    job = version.card.get("job")
    if job is None:
        return None
    run = run_folder(data_dir, str(job))
    return run if run.files.is_file() else None


def _trained_on(run: RunFolder | None) -> set[str]:
    """Digests of a run's training images; none where it is not known."""
    if run is None:
        return set()
    return {digest for _, digest in read_manifest(run.files).values()}


def _refuse_trained_on(seen: set[str], reference: Images, dataset: Opened) -> None:
    both = seen & set(reference.sha256)
    if both:
        raise InvalidValue(
            f"{len(both)} of the {len(reference)} held-out images of {dataset.identity} are among "
            "those that the version was trained on.",
            field="dataset",
            value=dataset.identity,
            remedy="Name a dataset whose held-out images were kept from its training.",
        )


def _facts(
    version: Version, record: dict[str, Any], splits: Sequence[str], fit: str, count: int,
    seed: int, verified: bool,
) -> dict[str, Any]:  # fmt: skip
    card = version.card
    training = card["training"]
    return {
        "model": {
            "reference": version.reference,
            "digest": version.digest,
            "labels": version.labels,
            "resolution": version.resolution,
            "family": card["architecture"]["family"],
            "created": card["created"],
            "private": version.private,
            "attribution": card.get("attribution"),
            "privacy": card.get("privacy"),
            "dataset": {key: card["dataset"].get(key) for key in ("fingerprint", "images")},
            "training": {
                key: training.get(key) for key in ("preset", "images", "steps", "seconds", "config")
            },
        },
        "data": {
            "dataset": record["id"],
            "name": record["name"],
            "fingerprint": record["fingerprint"],
            "splits": {
                name: {key: tally[key] for key in ("images", "patients", "labels")}
                for name, tally in record["splits"].items()
            },
            "split_by": record["split_by"],
            "patients_by": record["patients_by"],
            "reference_splits": list(splits),
            "chosen_on_reference": training.get("chosen") is not None and "validation" in splits,
            "training_known": True,
            "training_verified": verified,
            "duplicates_removed": record["duplicates"]["identical"],
            "choices": record["choices"],
            "attribution": card.get("attribution"),
        },
        "protocol": {
            "loader": {"fit": fit, "resize": "Pillow bicubic, antialiased", "levels": "8 bit grey"},
            "generated_a_label": count,
            "seeds": [seed, seed + count - 1],
            "truncation": 1.0,
        },
        "training": {"last_epoch": training.get("last_epoch")},
        "provenance": {
            "synthetic": True,
            "marking": "PNG text, IPTC digital source type, DICOM (0008,001C) YES",
            "registry": "POST /verify",
        },
    }
