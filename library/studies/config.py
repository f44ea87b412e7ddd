"""The configuration of a study: fixed before the first run, so that no result can choose it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

KINDS = ("usefulness", "small_class")
METRICS = ("auroc", "auprc")
PROBE, NETWORK = "probe", "network"
CLASSIFIERS = (PROBE, NETWORK)
YOURS = "yours"  # a model of the user's own: its predictions are scored
SEED_MAX = 2**31 - 1

# What a classifier is trained on.  `ratio` (k) synthetic images, or duplicates, for each real one.
ARMS = {
    "real": "real images alone",
    "duplicates": "real images and k times as many duplicates of them",
    "synthetic": "synthetic images alone, as many of each class as there are real ones",
    "real_synthetic": "real images and k times as many synthetic ones, in every class",
    "augmented": "real images, each turned, cropped, scaled and flipped anew when it is shown",
    "weighted": "real images, the classes' losses weighted to be equal",
    "oversampled": "real images, each class shown as often as any other",
    "augmented_synthetic": "real and synthetic images, augmented as in `augmented`",
    "pretrained": "synthetic images for the first half of the budget, then real ones",
    "one_class": "real images, and synthetic ones in the positive class alone",
}
NEEDED_ARMS = ("real", "duplicates", "real_synthetic")
WITH_SYNTHETIC = frozenset(
    {"synthetic", "real_synthetic", "augmented_synthetic", "pretrained", "one_class"}
)
# Where some classes alone get synthetic images there is nothing to compare these with.
EVERY_CLASS_ONLY = frozenset({"synthetic", "pretrained", "one_class"})
# A linear probe sees features, which no augmentation reaches, and has one optimum, which no
# pretraining and no way of drawing batches moves.
NETWORK_ONLY = frozenset({"augmented", "augmented_synthetic", "pretrained", "oversampled"})


@dataclass(frozen=True)
class Generator:
    """Where synthetic images come from: one of a training (preset, config), a published version
    (model), or a folder of pictures in folders of the same classes (images)."""

    preset: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    images: str | None = None

    @property
    def trained(self) -> bool:
        """By the study itself, once for each partition."""
        return self.model is None and self.images is None


def _number(default: float, low: float, high: float, help: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "help": help})


def _choice(default: str, allowed: tuple[str, ...], help: str) -> Any:
    return field(default=default, metadata={"allowed": allowed, "help": help})


def _names(default: tuple[str, ...], allowed: tuple[str, ...] | None, help: str) -> Any:
    return field(default=default, metadata={"names": allowed, "help": help})


def _numbers(default: tuple[float, ...], low: float, high: float, most: int, help: str) -> Any:
    return field(default=default, metadata={"each": (low, high), "most": most, "help": help})


@dataclass(frozen=True)
class StudyConfig:
    """A resolved configuration.  library.studies.resolving makes one; nothing else should."""

    kind: str = _choice(
        "usefulness", KINDS, "whole data set, or a class of few by cross-validation"
    )
    positive: str = field(default="", metadata={"text": 200, "help": "class that is to be told"})
    labels: tuple[str, ...] = _names((), None, "classes that take part; empty: all")
    generator: Generator = field(default_factory=Generator)
    generators: int = _number(3, 1, 20, "trained anew with other seeds, a partition")
    classifiers: tuple[str, ...] = _names(CLASSIFIERS, CLASSIFIERS, "what is trained on the arms")
    seeds: int = _number(3, 1, 50, "classifiers of each kind, an arm and a generator")
    synthetic_classes: tuple[str, ...] = _names(
        (), None, "classes that get synthetic images; empty: all, so that none stands for a class"
    )
    arms: tuple[str, ...] = _names(tuple(ARMS), tuple(ARMS), "empty: all")
    ratio: float = _number(1.0, 0.1, 10.0, "k of the primary contrast")
    other_ratios: tuple[float, ...] = _numbers(
        (), 0.1, 10.0, 5, "further k, beside the primary one"
    )
    sizes: tuple[float, ...] = _numbers((1.0,), 0.01, 1.0, 6, "shares of the training patients")
    folds: int = _number(5, 2, 10, "of a small_class study, by patients")
    repeats: int = _number(2, 1, 20, "of a small_class study: times that it is folded")
    small_count: int = _number(0, 0, 10_000, "images of `positive` that take part; 0: all")
    metric: str = _choice("auroc", METRICS, "of the primary contrast")
    primary_classifier: str = _choice(NETWORK, CLASSIFIERS, "of the primary contrast")
    smallest_useful_effect: float = _number(0.01, 0.0001, 0.5, "of the metric, fixed beforehand")
    specificity: float = _number(0.9, 0.5, 0.999, "at which sensitivity is told")
    epochs: float = _number(8, 0.1, 1000, "of the real images: the budget of every arm")
    steps_min: int = _number(500, 1, 100_000, "of 64 images: the least budget, where they are few")
    test: str = _choice("held_out", ("held_out", "validation"), "split that is tested on")
    resolution: int = _number(64, 32, 512, "pixels at which all images are compared")
    fit: str = _choice("crop", ("crop", "pad", "stretch"), "how a picture becomes square")
    seed: int = _number(0, 0, SEED_MAX, "of everything that is drawn")
    name: str = field(default="", metadata={"text": 200, "help": "for people"})

    def as_dict(self) -> dict[str, Any]:
        found = asdict(self)
        found["generator"]["config"] = dict(self.generator.config)
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in found.items()
        }

    @property
    def negatives_alone(self) -> bool:
        """Synthetic images are of other classes than `positive`, and can stand for not being it."""
        return are_negatives(self.synthetic_classes, self.positive)

    @property
    def ratios(self) -> tuple[float, ...]:
        """The primary one first."""
        return (self.ratio, *(k for k in self.other_ratios if k != self.ratio))


def are_negatives(synthetic_classes: Sequence[str], positive: str) -> bool:
    """Whether some classes alone get synthetic images, and the positive one is not among them."""
    return bool(synthetic_classes) and positive not in synthetic_classes
