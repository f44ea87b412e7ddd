"""How much a study is to do, counted before it begins."""

from __future__ import annotations

from collections import Counter

from library.studies.config import NETWORK_ONLY, PROBE, WITH_SYNTHETIC, StudyConfig
from library.studies.units import RUNS, runs_without_synthetic, units

WITH_RATIO = frozenset(
    {"duplicates", "real_synthetic", "augmented_synthetic", "pretrained", "one_class"}
)


def units_by_kind(config: StudyConfig) -> dict[str, int]:
    """prepare, generator, runs, results: how many there are of each."""
    return dict(Counter(unit.kind for unit in units(config)))


def classifier_runs(config: StudyConfig) -> int:
    """How many classifiers are trained in all."""
    total = 0
    for unit in units(config):
        if unit.kind != RUNS:
            continue
        alone = runs_without_synthetic(config, unit)
        for arm in config.arms:
            if arm not in WITH_SYNTHETIC and not alone:
                continue
            classifiers = [c for c in config.classifiers if c != PROBE or arm not in NETWORK_ONLY]
            ratios = len(config.ratios) if arm in WITH_RATIO else 1
            total += len(classifiers) * ratios * config.seeds
    return total
