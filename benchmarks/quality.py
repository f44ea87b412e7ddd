"""How good are the generators: one protocol for all versions, in docs/quality.md.

    python -m benchmarks.quality --data-dir DATA --dataset ds-… --split held_out NAME@VERSION …

Real images through the generator's own resolution and bit depth, equal n a class; beside each
value its floor (real training images of other patients against the same reference).  Two feature
spaces: EfficientNet-Lite0 (ImageNet; no family trains on it) and a small classifier trained here
on the real training images (radiographs; no generator has seen it), whose floor is between halves
of the reference, since it knows the training images.  It also says whether a sample shows the
class that was asked for; one like it is trained on samples alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # faster here: the matrices are small

import numpy as np
from numpy.typing import NDArray

from benchmarks.classifier import Classifier, fitted, seen
from evaluation.copies import beyond, nearest
from evaluation.fidelity import class_fidelity
from evaluation.images import Images, Protocol, halves
from evaluation.probe import macro_auroc
from evaluation.reading import generated, split_images
from evaluation.views import Views
from features import distances
from features.extractors import FeatureCache, efficientnet_lite0
from library.atomic import write_bytes
from library.datasets.opened import open_dataset
from library.images import Fit
from library.versions import ModelLibrary, Version

RESAMPLES, HALVINGS = 1000, 50
BARS = (400, 200, 150, 100, 75)
COLUMNS = (
    "version", "label", "KID×1000 (floor)", "of KID between classes", "coverage/floor",
    "MS-SSIM (real)", "KID×1000, radiograph features (floor)", "label agreement",
    "flagged as copies (held-out)",
)  # fmt: skip


def kid(one: NDArray[Any], other: NDArray[Any]) -> float:
    return 1000 * distances.kid(one, other)


def between_halves(found: NDArray[Any], images: Images, label: int) -> tuple[float, float]:
    """KID x 1000 of two halves of a class by whole patients: mean and spread over halvings."""
    own, random = images.rows(label), np.random.default_rng(0)
    chosen = images.taken(own)
    each = [
        kid(found[own[one]], found[own[other]])
        for one, other in (halves(random, chosen) for _ in range(HALVINGS))
    ]
    return float(np.mean(each)), float(np.std(each))


def auroc(probabilities: NDArray[Any], reference: Images) -> dict[str, float]:
    """Macro AUROC with its 95% interval over patients."""
    random = np.random.default_rng(0)
    groups, number = np.unique(reference.groups, return_inverse=True)
    found = []
    for _ in range(RESAMPLES):
        weights = np.bincount(random.integers(0, len(groups), len(groups)), minlength=len(groups))
        found.append(macro_auroc(probabilities, reference.classes, weights[number].astype(float)))
    low, high = np.quantile(found, [0.025, 0.975])
    return {"auroc": macro_auroc(probabilities, reference.classes), "low": low, "high": high}


@dataclass(frozen=True)
class Real:
    """The images of a dataset at one resolution, and the classifier that they train."""

    labels: tuple[str, ...]
    train: Images
    reference: Images
    patients_known: bool
    classifier: Classifier
    seen_reference: NDArray[Any]
    baseline: dict[str, float]
    accuracy: dict[str, float]


def real_images(
    data_dir: Path,
    dataset: str,
    labels: tuple[str, ...],
    resolution: int,
    fit: Fit,
    splits: list[str],
) -> Real:
    cache = data_dir / "decoded"
    with open_dataset(data_dir, dataset, lambda *_: None) as opened:
        known = opened.record["patients_by"] != "none"
        train = split_images(opened, "train", labels, resolution, fit, cache)
        parts = [split_images(opened, s, labels, resolution, fit, cache) for s in splits]
    reference = Images(
        np.concatenate([p.levels for p in parts]), np.concatenate([p.classes for p in parts]),
        np.concatenate([p.groups for p in parts]), tuple(d for p in parts for d in p.sha256),
    )  # fmt: skip
    network = fitted(train, len(labels), 1)
    seen_reference, probabilities = seen(network, reference.levels)
    right = probabilities.argmax(1) == reference.classes
    accuracy = {n: float(right[reference.rows(k)].mean()) for k, n in enumerate(labels)}
    return Real(labels, train, reference, known, network, seen_reference,
                auroc(probabilities, reference), accuracy)  # fmt: skip


def flagged(train: Views, reference: Views, fakes: Views) -> tuple[float, float]:
    """Shares of fakes, and of held-out images, that lie nearer to training images than the
    nearest 1% of the held-out ones, by thumbnails or by features."""
    made, real = nearest(fakes, train), nearest(reference, train)
    bars = [beyond(one, other)[0] for one, other in (
        (made.correlation, real.correlation), (-made.distance, -real.distance))]  # fmt: skip
    return tuple(
        float(((each.correlation > bars[0]) | (-each.distance > bars[1])).mean())
        for each in (made, real)
    )  # type: ignore[return-value]


def of_labels(images: Images, theirs: Sequence[str], labels: Sequence[str]) -> Images:
    """Those of some labels, in their order."""
    rows = [images.rows(theirs.index(name)) for name in labels]
    classes = np.repeat(np.arange(len(labels)), [len(each) for each in rows])
    return replace(images.taken(np.concatenate(rows)), classes=classes)


def measured(version: Version, real: Real, features: FeatureCache, count: int) -> dict[str, Any]:
    """Everything that the table says of a version."""
    protocol = Protocol()
    fakes = generated(version, count, 0)
    if version.labels:
        fakes = of_labels(fakes, version.labels, real.labels)
    else:  # one distribution over all images: each class is asked of all samples
        everything = np.resize(np.arange(len(fakes)), len(real.labels) * len(fakes))
        fakes = Images(
            fakes.levels[everything],
            np.repeat(np.arange(len(real.labels)), len(fakes)),
            np.arange(len(everything)),
        )
    sets = [
        (images, features.features(images.levels)) for images in (real.train, real.reference, fakes)
    ]
    seen_fakes, probabilities = seen(real.classifier, fakes.levels)
    by_label = {}
    for k, name in enumerate(real.labels):
        views = [Views.of(i.taken(i.rows(k)), f[i.rows(k)]) for i, f in sets]
        random = np.random.default_rng([protocol.seed, 3, k])
        pool, reference, own = views
        found = class_fidelity(
            name, pool, reference, own, "lite0", protocol, random, lambda: None
        ).as_dict()
        copies, baseline = flagged(*views)
        rows = fakes.rows(k)
        others = [j for j in range(len(real.labels)) if j != k]
        references = [sets[1][1][real.reference.rows(j)] for j in range(len(real.labels))]
        by_label[name] = {
            "n": found["n"],
            "kid": 1000 * found["kid_lite0"],
            "kid_floor": 1000 * found["kid_lite0_floor"],
            "coverage_ratio": found["coverage_ratio"],
            "msssim": found["msssim_fake"],
            "msssim_real": found["msssim_real"],
            "kid_radiograph": kid(real.seen_reference[real.reference.rows(k)], seen_fakes[rows]),
            "kid_radiograph_floor": between_halves(real.seen_reference, real.reference, k),
            "agreement": float((probabilities[rows].argmax(1) == k).mean()),
            "kid_to_others": {real.labels[j]: kid(references[j], sets[2][1][rows]) for j in others},
            "flagged": copies,
            "flagged_held_out": baseline,
        }
    synthetic = fitted(fakes, len(real.labels), 1) if version.labels else None
    return {
        "model": version.reference,
        "images": version.card["training"]["images"],
        "hours": version.card["training"]["seconds"] / 3600,
        "by_label": by_label,
        "tstr": None
        if synthetic is None
        else auroc(seen(synthetic, real.reference.levels)[1], real.reference),
    }


def between_classes(real: Real, features: FeatureCache) -> float:
    """KID x 1000 of the first two classes' real reference images."""
    found = features.features(real.reference.levels)
    return kid(found[real.reference.rows(0)], found[real.reference.rows(1)])


def table(results: list[dict[str, Any]], real: Real, distance: float) -> str:
    head = "| " + " | ".join(COLUMNS) + " |"
    lines = [head, "|" + "---|" * len(COLUMNS)]
    for each in results:
        for name, m in each["by_label"].items():
            lines.append(
                f"| {each['model']} | {name} | {m['kid']:.1f} ({m['kid_floor']:.1f}) | "
                f"{m['kid'] / distance:.2f} | {m['coverage_ratio']:.2f} | {m['msssim']:.3f} "
                f"({m['msssim_real']:.3f}) | {m['kid_radiograph']:.2f} "
                f"({m['kid_radiograph_floor'][0]:.2f} ± {m['kid_radiograph_floor'][1]:.2f}) | "
                f"{100 * m['agreement']:.0f}% | "
                f"{100 * m['flagged']:.1f}% ({100 * m['flagged_held_out']:.1f}%) |"
            )
    lines += [
        "",
        "| trained on | AUROC on real test images (95% interval by patients) |",
        "|---|---|",
    ]
    arms = [("real images", real.baseline)] + [
        (f"samples of {each['model']}", each["tstr"]) for each in results if each["tstr"]
    ]
    for name, found in arms:
        lines.append(
            f"| {name} | {found['auroc']:.3f} ({found['low']:.3f} to {found['high']:.3f}) |"
        )
    return "\n".join(lines)


def reached(versions: list[Version]) -> str:
    """How long each took to come to a KID on the validation images, from its own curve."""
    head = ["version", *(f"KID×1000 ≤ {bar}" for bar in BARS)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for version in versions:
        training = version.card["training"]
        minutes = training["seconds"] / 60 / training["images"]  # an image, on average
        curve = training.get("validation", [])
        cells = []
        for bar in BARS:
            first = next((each for each in curve if 1000 * each["kid"] <= bar), None)
            cells.append(
                "–" if first is None
                else f"{first['images'] / 1000:.0f} kimg, {first['images'] * minutes:.0f} min"
            )  # fmt: skip
        lines.append(f"| {version.reference} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", metavar="NAME@VERSION")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--library", type=Path, help="folder of models ({data dir}/models)")
    parser.add_argument("--dataset", required=True, help="id, with a split by patients")
    parser.add_argument("--labels", default="NORMAL,PNEUMONIA")
    parser.add_argument("--fit", default="pad", choices=("pad", "crop", "stretch"))
    parser.add_argument(
        "--split", action="append", help="reference: validation while choosing, held_out once"
    )
    parser.add_argument("--count", type=int, default=1000, help="samples of each label")
    parser.add_argument("--json", type=Path, help="also write every number there")
    arguments = parser.parse_args()
    library = ModelLibrary(arguments.library or arguments.data_dir / "models")
    versions = [library.find(name) for name in arguments.models]
    features = FeatureCache(efficientnet_lite0(), arguments.data_dir / "features")
    labels, results = tuple(arguments.labels.split(",")), []
    splits = arguments.split or ["validation"]
    by_side: dict[int, Real] = {}
    for version in versions:
        side = version.resolution
        if side not in by_side:
            by_side[side] = real_images(
                arguments.data_dir, arguments.dataset, labels, side, arguments.fit, splits
            )
        print(f"measuring {version.reference}", file=sys.stderr, flush=True)
        results.append(measured(version, by_side[side], features, arguments.count))
        if arguments.json:  # after each: a version takes minutes
            text = json.dumps(results, indent=1, default=float)
            write_bytes(arguments.json.absolute(), text.encode())
    for side, real in by_side.items():
        distance = between_classes(real, features)
        chosen = [r for r, v in zip(results, versions, strict=True) if v.resolution == side]
        told = ", ".join(f"{n} {100 * a:.0f}%" for n, a in real.accuracy.items())
        print(f"\n{side} pixels, reference {'+'.join(splits)}: KID×1000 of {labels[0]} to")
        print(f"{labels[1]} {distance:.1f}; the real images' classifier is right on {told}.\n")
        print(table(chosen, real, distance))
    print(f"\n{reached(versions)}")


if __name__ == "__main__":
    main()
