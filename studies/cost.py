"""What a study will take on this machine: a few seconds of each of its steps, timed."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluation.probe import fitted as fitted_probe
from features.extractors import efficientnet_lite0
from library import cpus
from library.config import resolve
from library.studies.config import NETWORK, PROBE, StudyConfig
from library.studies.runs import Run, runs
from library.studies.units import GENERATOR, PREPARE, RESULTS, RUNS, partitions, units
from library.studies.units import generators_of as generators
from studies.arms import BATCH, Shown, steps, wanted_of_each
from studies.images import chosen_labels
from studies.network import Pictures, fitted
from training.cost import cost as training_cost
from training.precision import choose_device, prepare

MEASURED_STEPS = 12
TRAINING_SECONDS = 15.0
_DECODED = 0.004  # s an image, where none was decoded before
_SAMPLED = 0.01  # s a synthetic image of 64 pixels
_CONCLUDED = 90.0  # s, about: intervals and pages


def cost_of(config: StudyConfig, record: dict[str, Any], data_dir: Path) -> dict[str, Any]:
    """Units by kind, classifier runs, and seconds: of each kind's typical unit, and of the whole
    with one worker a queue.  Raises InvalidValue for classes that are not there."""
    del data_dir  # nothing is read of it: what was decoded before makes it cheaper
    labels = chosen_labels(config, record["labels"])
    images = {n: int(record["splits"][n]["images"]) for n in record["splits"]}
    of_class = {n: split["labels"] for n, split in record["splits"].items()}
    count = Counter(unit.kind for unit in units(config))
    real = training_images(config, of_class, labels)
    threads = cpus.available()
    of_run = _run_seconds(config, len(labels))
    with_real, without = (runs(config, flag) for flag in (True, False))
    each: dict[str, float] = {PREPARE: _DECODED * sum(images.values()), RESULTS: _CONCLUDED}
    each[GENERATOR] = _generator_seconds(config, real[0], len(labels)) if count[GENERATOR] else 0.0
    total_runs, seconds = 0, 0.0
    for part, n in zip(partitions(config), real, strict=True):
        for place, _ in enumerate(generators(config, part)):
            unit = with_real if place == 0 else without
            total_runs += len(unit)
            seconds += _unit_seconds(config, labels, unit, n, of_run, threads)
    each[RUNS] = seconds / count[RUNS]
    lightly = each[PREPARE] + seconds + each[RESULTS]
    trained = sum(each[GENERATOR] * n / real[0] for n in _of_generators(config, real))
    return {
        "units": dict(count),
        "generators": count[GENERATOR],
        "classifier_runs": total_runs,
        "seconds": {
            "prepare": round(each[PREPARE], 1),
            "generator_each": round(each[GENERATOR], 1),
            "runs_each": round(each[RUNS], 1),
            "results": round(each[RESULTS], 1),
        },
        "total_seconds": round(lightly + trained, 1),
        "threads": threads,
    }


def training_images(
    config: StudyConfig, splits: Mapping[str, Mapping[str, int]], labels: Sequence[str]
) -> list[int]:
    """Real training images of each partition, about: who is of the large test is not known yet.

    splits: images of each class in each split of the dataset; labels: those that take part.
    """
    folds = config.kind == "small_class"
    among = [splits.get(name, {}) for name in (("train", "validation") if folds else ("train",))]
    of = {label: sum(split.get(label, 0) for split in among) for label in labels}
    if folds and config.small_count:
        of[config.positive] = min(of[config.positive], config.small_count)
    whole = sum(of.values())
    shares = (1 - 1 / config.folds if folds else part.size for part in partitions(config))
    return [round(share * whole) for share in shares]


def _of_generators(config: StudyConfig, real: list[int]) -> list[int]:
    """Real training images of each generator that is trained."""
    if not config.generator.trained:
        return []
    parts = zip(partitions(config), real, strict=True)
    return [n for part, n in parts for _ in generators(config, part)]


def _generator_seconds(config: StudyConfig, images: int, classes: int) -> float:
    assert config.generator.preset is not None
    given = {"conditional": True, "resolution": config.resolution, "seed": 0}
    run = resolve(config.generator.preset, {**config.generator.config, **given})
    device = choose_device(os.environ.get("SYNTHORAX_TRAIN_DEVICE", "auto"))
    prepare(device, run.threads or cpus.available())
    return float(training_cost(run, images, classes, device, TRAINING_SECONDS)["seconds"])


def _run_seconds(config: StudyConfig, classes: int) -> dict[str, float]:
    """Of one step of the network, of a probe's fit by its image, and of an image's features."""
    random, side = np.random.default_rng(0), config.resolution
    levels = random.integers(0, 256, (4 * BATCH, side, side), dtype=np.uint8)
    of = np.arange(len(levels)) % classes
    torch.set_num_threads(1)
    found = {"network": 0.0, "probe": 0.0}
    if NETWORK in config.classifiers:
        pictures = Pictures(levels, of, levels[:0], of[:0])
        shown = Shown(np.arange(len(levels)), np.zeros(0, np.int64))
        fitted(pictures, shown, classes, 2, 0)
        took = _timed(lambda: fitted(pictures, shown, classes, MEASURED_STEPS, 0))
        found["network"] = took / MEASURED_STEPS
    extractor = efficientnet_lite0()
    extractor.features(levels[:8])
    found["features"] = _timed(lambda: extractor.features(levels[:64])) / 64
    if PROBE in config.classifiers:
        x = random.normal(size=(1024, 1280)).astype(np.float32)
        y = np.arange(1024) % classes
        found["probe"] = _timed(lambda: fitted_probe(x, y, classes)) / 1024
    return found


def _unit_seconds(
    config: StudyConfig,
    labels: list[str],
    unit: list[Run],
    real: int,
    of_run: dict[str, float],
    threads: int,
) -> float:
    """Of one unit of runs: its synthetic images, their features, its classifiers on all cores."""
    share = np.full(len(labels), real // len(labels))
    made = int(wanted_of_each(config, labels, share).sum())
    size = (config.resolution / 64) ** 2
    before = made * (_SAMPLED * size + of_run["features"])
    each = {NETWORK: steps(config, real) * of_run["network"], PROBE: 2 * real * of_run["probe"]}
    return before + sum(each[run.classifier] for run in unit) / threads


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
