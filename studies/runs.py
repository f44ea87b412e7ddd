"""A unit of runs: the classifiers of one partition and one generator, and what they predict.

Each run is a pure function of the study, so that what a killed process had done is taken over.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import cached_property
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.images import Images, Rows
from evaluation.probe import fitted as fitted_probe
from features.extractors import FeatureCache, efficientnet_lite0
from library import cpus
from library.atomic import read_json
from library.digest import digest_json
from library.studies.config import PROBE, StudyConfig
from library.studies.folder import Study
from library.studies.runs import Run, runs
from library.studies.units import PREPARE, Unit, runs_without_synthetic
from studies import network
from studies.arms import shown, steps, wanted_of_each
from studies.arrays import write_array, write_arrays
from studies.preparing import Tell, levels_path, read_parts
from studies.stopping import Stopped, Stopping
from studies.synthetic import synthetic_images
from studies.told_apart import told_apart

SPARE = 200  # synthetic images of a class that no classifier sees: for the shortcut
_SHORTCUT = ("one_class", "real_synthetic")
_LOOK_SECONDS = 0.5  # between two looks at whether to go on
_FEATURES = 0.15  # of a unit's time, about


def run_unit(
    study: Study, unit: Unit, tell: Tell, stopping: Stopping, processes: int | None = None
) -> dict[str, Any]:
    """Write a unit's predictions; what its record is to say.  Raises Stopped, InvalidValue.

    processes: of the classifiers, as many as cores if left out; 0: in this one.
    """
    assert unit.partition is not None
    folder = study.parts(unit.name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    tell("Synthetic images", 0.0)
    synthetic = _synthetic(study, unit, folder)
    apart = _told_apart(study, unit, synthetic, tell, stopping)
    wanted = runs(study.config, runs_without_synthetic(study.config, unit))
    done = {run: folder / f"{run.key.replace('/', '-')}-{run.seed}.npz" for run in wanted}
    missing = [run for run, path in done.items() if not path.is_file()]
    if processes == 0:
        _do_here(study, unit, missing, done, tell, stopping)
    else:
        _do_all(study, unit, missing, done, tell, stopping, processes or cpus.available())
    found: dict[str, NDArray[Any]] = {**apart}
    for key in dict.fromkeys(run.key for run in wanted):
        parts = [dict(np.load(done[run])) for run in wanted if run.key == key]
        for name in parts[0]:
            prefix = "" if name == "test" else f"{name}/"
            found[f"{prefix}{key}"] = np.stack([part[name] for part in parts])
    write_arrays(study.unit_arrays(unit.name), found)
    parts_of, labels = read_parts(study, unit.partition), _labels(study)
    counts = np.bincount(synthetic.classes, minlength=len(labels)).tolist()
    return {
        "runs": len(wanted),
        "steps": steps(study.config, len(parts_of.train)),
        "synthetic": dict(zip(labels, counts, strict=True)),
    }


def _labels(study: Study) -> list[str]:
    labels: list[str] = read_json(study.unit_record(PREPARE))["labels"]
    return labels


def _synthetic(study: Study, unit: Unit, folder: Path) -> Images:
    """Made once a unit, and left in its folder for the processes of its runs."""
    levels, classes = folder / "synthetic.npy", folder / "classes.npy"
    if not (levels.is_file() and classes.is_file()):
        assert unit.partition is not None
        prepared = read_json(study.unit_record(PREPARE))
        with np.load(study.partitions) as kept:
            real = np.bincount(kept["classes"][kept[f"train/{unit.partition}"]])
        labels, spare = prepared["labels"], np.zeros(len(real), np.int64)
        spare[_shown_spare(study.config, labels)] = SPARE
        counts = wanted_of_each(study.config, labels, real)
        made = synthetic_images(study, unit, labels, counts, spare)
        write_array(levels, made.levels)
        write_array(classes, made.classes)
    return Images.of(np.load(levels), np.load(classes))


def _shown_spare(config: StudyConfig, labels: Sequence[str]) -> list[int]:
    """Numbers of the classes that “synthetic”, if it was learned, would make look like others."""
    return [
        number
        for number, label in enumerate(labels)
        if (label == config.positive) == config.negatives_alone
    ]


def _told_apart(
    study: Study, unit: Unit, synthetic: Images, tell: Tell, stopping: Stopping
) -> dict[str, NDArray[Any]]:
    """Can a linear probe tell real from synthetic?  Features are kept for the runs, too."""
    assert unit.partition is not None
    cache = FeatureCache(efficientnet_lite0(), study.data_dir / "features")

    def features(levels: NDArray[np.uint8], words: str, at: float) -> NDArray[np.float32]:
        def told(done: int, total: int) -> None:
            tell(words, _FEATURES * (at + 0.5 * done / total))
            stopping.check()

        return cache.features(levels, told)

    real = features(np.load(levels_path(study), mmap_mode="r"), "Features of real images", 0.0)
    made = features(synthetic.levels, "Features of synthetic images", 0.5)
    with np.load(study.partitions) as kept:
        rows = kept[f"train/{unit.partition}"]
        table = Images(kept["classes"], kept["classes"], kept["groups"]).taken(rows)
    random = np.random.Generator(np.random.Philox(key=[study.config.seed, 8 << 32]))
    return told_apart(real[rows], table, made, synthetic, random)


def _do_all(
    study: Study, unit: Unit, missing: list[Run], done: Mapping[Run, Path], tell: Tell,
    stopping: Stopping, processes: int,
) -> None:  # fmt: skip
    """Each run in a process of its own, with one thread."""
    processes = min(processes, len(missing))
    if not processes:
        return
    # The longest first, so that all end together.
    missing.sort(key=lambda run: run.classifier == PROBE)
    started, began = len(done) - len(missing), os.getpid()
    with ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_begin, initargs=(str(study.path), began)
    ) as pool:
        with _later(signal.SIGINT):  # the processes begin deaf to it: this one ends them
            waiting = {pool.submit(_do, unit.name, run, str(done[run])) for run in missing}
        try:
            while waiting:
                ended, waiting = wait(waiting, _LOOK_SECONDS, FIRST_COMPLETED)
                for future in ended:
                    future.result()
                stopping.check()
                if stopping.turn_over:  # what is under way is finished
                    waiting -= {future for future in waiting if future.cancel()}
                share = (started + len(missing) - len(waiting)) / len(done)
                tell("Classifiers", _FEATURES + (1 - _FEATURES) * share)
        except BaseException:
            for process in active_children():  # what they were at is done again
                process.kill()
            raise
    if not all(done[run].is_file() for run in missing):
        raise Stopped


@contextmanager
def _later(number: signal.Signals) -> Iterator[None]:
    """Hold a signal back; a process that is started meanwhile does so for good."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])


def _do_here(
    study: Study, unit: Unit, missing: list[Run], done: Mapping[Run, Path], tell: Tell,
    stopping: Stopping,
) -> None:  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        material = Material(study, unit)
        for number, run in enumerate(missing, len(done) - len(missing)):
            stopping.check()
            tell("Classifiers", _FEATURES + (1 - _FEATURES) * number / len(done))
            write_arrays(done[run], material.predictions(run))
            if stopping.turn_over and run != missing[-1]:
                raise Stopped
    finally:
        torch.set_num_threads(threads)


def _begin(path: str, parent: int) -> None:
    torch.set_num_threads(1)
    _Here.study = Study(Path(path))
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A process of the pool must not outlive the unit's, however that ends."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def network_seed(seed: int, unit: Unit, number: int) -> int:
    """Of a network's first weights and order of images: one for the arms of a unit, no two units'.

    Were a seed the same in two draws, what it does to an arm would be in both, and look like the
    arm's own (studies.intervals has seeds within draws).
    """
    return int(digest_json([seed, unit.name, number])[:8], 16)


class _Here:
    """What a process of the pool is at; the arrays are read once."""

    study: Study
    loaded: Material | None = None


def _do(unit: str, run: Run, path: str) -> None:
    if _Here.loaded is None or _Here.loaded.unit.name != unit:
        _Here.loaded = Material(_Here.study, _Here.study.unit(unit))
    write_arrays(Path(path), _Here.loaded.predictions(run))


class Material:
    """Images and features of a unit, and what a run makes of them."""

    def __init__(self, study: Study, unit: Unit) -> None:
        assert unit.partition is not None
        self.study, self.unit = study, unit
        self.parts = read_parts(study, unit.partition)
        with np.load(study.partitions) as kept:
            self.classes: Rows = kept["classes"]
            self.large: Rows = kept["large"]
        folder = study.parts(unit.name)
        self.real = np.load(levels_path(study), mmap_mode="r")
        self.made, self.made_classes = (
            np.load(folder / "synthetic.npy", mmap_mode="r"), np.load(folder / "classes.npy")
        )  # fmt: skip
        prepared = read_json(study.unit_record(PREPARE))
        self.labels, self.positive = prepared["labels"], int(prepared["positive"])

    @cached_property
    def features(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Of real and synthetic images: both were computed before the runs began."""
        cache = FeatureCache(efficientnet_lite0(), self.study.data_dir / "features")
        return cache.features(self.real), cache.features(self.made)

    @property
    def spare(self) -> Rows:
        """Synthetic images that no run is trained on."""
        rows, config = [], self.study.config
        real = np.bincount(self.classes[self.parts.train])
        counts = wanted_of_each(config, self.labels, real)
        for label in _shown_spare(config, self.labels):
            rows.append(np.flatnonzero(self.made_classes == label)[counts[label] :])
        return np.concatenate(rows)

    def predictions(self, run: Run) -> dict[str, NDArray[np.float32]]:
        """P(positive) of the test images, and of the large test and the spare ones if wanted."""
        config = self.study.config
        given = shown(run, config, self.labels, self.parts, self.classes, self.made_classes)
        count = len(self.labels)
        if run.classifier == PROBE:
            real, made = self.features
            x = np.concatenate([real[given.real], made[given.synthetic]])
            y = np.concatenate([self.classes[given.real], self.made_classes[given.synthetic]])
            probe = fitted_probe(x, y, count, balanced=given.weighted)

            def scores(of: Any, rows: Rows) -> NDArray[np.float32]:
                features = real if of is self.real else made
                return probe.probabilities(features[rows])[:, self.positive].astype(np.float32)
        else:
            pictures = network.Pictures(self.real, self.classes, self.made, self.made_classes)
            budget = steps(config, len(self.parts.train))
            seed = network_seed(config.seed, self.unit, run.seed)
            trained = network.fitted(pictures, given, count, budget, seed)

            def scores(of: Any, rows: Rows) -> NDArray[np.float32]:
                found = network.probabilities(trained, of[rows])
                return found[:, self.positive].astype(np.float32)

        found = {"test": scores(self.real, self.parts.test)}
        if len(self.large):
            found["large"] = scores(self.real, self.large)
        if run.arm in _SHORTCUT and run.ratio == config.ratio and len(self.spare):
            found["shortcut"] = scores(self.made, self.spare)
        return found
