"""How much a study is to do, counted before it begins."""

from __future__ import annotations

from collections import Counter

from library.studies.config import StudyConfig
from library.studies.runs import runs
from library.studies.units import RUNS, runs_without_synthetic, units


def units_by_kind(config: StudyConfig) -> dict[str, int]:
    """prepare, generator, runs, results: how many there are of each."""
    return dict(Counter(unit.kind for unit in units(config)))


def classifier_runs(config: StudyConfig) -> int:
    """How many classifiers are trained in all."""
    of_runs = [unit for unit in units(config) if unit.kind == RUNS]
    return sum(len(runs(config, runs_without_synthetic(config, unit))) for unit in of_runs)
