"""How much a study is to do, counted before it begins."""

from __future__ import annotations

from collections import Counter

from library.studies.config import NETWORK_ONLY, PROBE, WITH_SYNTHETIC, StudyConfig
from library.studies.units import RUNS, runs_without_synthetic, units

_WITH_OTHER_RATIOS = ("duplicates", "real_synthetic")


def units_by_kind(config: StudyConfig) -> dict[str, int]:
    """prepare, generator, runs, results: how many there are of each."""
    return dict(Counter(unit.kind for unit in units(config)))


def classifier_runs(config: StudyConfig) -> int:
    """How many classifiers are trained in all."""
    of_runs = [unit for unit in units(config) if unit.kind == RUNS]
    return sum(_of_unit(config, runs_without_synthetic(config, unit)) for unit in of_runs)


def _of_unit(config: StudyConfig, alone: bool) -> int:
    """alone: also those of arms that need no synthetic images."""
    total = 0
    for arm in config.arms:
        if not alone and arm not in WITH_SYNTHETIC:
            continue
        ratios = len(config.ratios) if arm in _WITH_OTHER_RATIOS else 1
        for classifier in config.classifiers:
            if classifier == PROBE and arm in NETWORK_ONLY:
                continue
            # A probe has one optimum: only what is duplicated can differ.
            one = classifier == PROBE and arm != "duplicates"
            total += ratios * (1 if one else config.seeds)
    return total
