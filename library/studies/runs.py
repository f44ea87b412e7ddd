"""The runs of a unit: each one classifier, trained on one arm with one seed."""

from __future__ import annotations

from dataclasses import dataclass

from library.studies.config import (
    EVERY_CLASS_ONLY,
    NETWORK_ONLY,
    PROBE,
    WITH_SYNTHETIC,
    StudyConfig,
)

RATIO_ARMS = ("duplicates", "real_synthetic", "augmented_synthetic", "pretrained", "one_class")
OTHER_RATIO_ARMS = ("duplicates", "real_synthetic")  # those that also have the other ratios


@dataclass(frozen=True)
class Run:
    """One classifier of one arm; seed: which of the study's classifier seeds."""

    classifier: str
    arm: str
    ratio: float | None
    seed: int

    @property
    def key(self) -> str:
        """Of its predictions, which all seeds share."""
        ratio = "" if self.ratio is None else f"@{self.ratio:g}"
        return f"{self.classifier}/{self.arm}{ratio}"


def runs(config: StudyConfig, with_real: bool) -> list[Run]:
    """Runs of a unit; with_real: also those of arms that need no synthetic images."""
    found = []
    for classifier in config.classifiers:
        for arm in config.arms:
            if classifier == PROBE and arm in NETWORK_ONLY:
                continue
            if arm not in WITH_SYNTHETIC and not with_real:
                continue
            if arm in EVERY_CLASS_ONLY and config.synthetic_classes:
                continue
            ratios: tuple[float | None, ...] = (None,)
            if arm in RATIO_ARMS:
                ratios = config.ratios if arm in OTHER_RATIO_ARMS else (config.ratio,)
            # A probe has one optimum: only what is duplicated can differ.
            one = classifier == PROBE and arm != "duplicates"
            seeds = range(1 if one else config.seeds)
            found += [Run(classifier, arm, k, s) for k in ratios for s in seeds]
    return found
