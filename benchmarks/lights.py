"""How often do the lights alarm where nothing is wrong, and what do they find?

    python -m benchmarks.lights REAL [--trials 200] [--part false-alarms|power|faults]

REAL: a folder of real images with classes (train/val/test or not).  Patients are dealt anew to
training, reference and "generated" in each trial: real images of other patients stand in for
fakes, so that every alarm is a false one; then the same with known damage.  Tables:
docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # trials run side by side

import numpy as np

from evaluation import damage
from evaluation.fidelity import Comparison, equal_n
from evaluation.floors import bar
from evaluation.images import Images, Protocol, Rows, Subject
from evaluation.measuring import FeatureSets, Measurements, measure
from evaluation.reading import split_images
from evaluation.views import Views
from features.extractors import FeatureCache, efficientnet_lite0
from library.datasets.choices import resolve
from library.datasets.opened import open_dataset
from library.datasets.records import begin

SIDE = 64
TRAIN = 800  # training images a class, at most
Part = tuple[Images, Any]  # images and their features
_real: Part
_labels: tuple[str, ...]
_damaged: dict[str, Part]
DAMAGE: dict[str, Callable[[Any], Any]] = {
    "flip": damage.flipped,
    "lower resolution": damage.lower_resolution,
    "blur": lambda levels: damage.blurred(levels, 0.5),
    "noise 1": lambda levels: damage.noisy(levels, 1.0, np.random.default_rng(0)),
    "noise 5": lambda levels: damage.noisy(levels, 5.0, np.random.default_rng(0)),
    "shuffle": lambda levels: damage.shuffled(levels, np.random.default_rng(0)),
}
POWER = ("flip", "noise 1", "blur")


def prepare(real: Path, work: Path) -> tuple[Part, tuple[str, ...], dict[str, Part]]:
    begin(work, real, resolve({"split": "none"}))
    with open_dataset(work, real, lambda *_: None) as dataset:
        labels = tuple(sorted(dataset.record["labels"]))
        images = split_images(dataset, "train", labels, SIDE, "crop", work / "decoded")
    images = replace(images, levels=np.array(images.levels))
    cache = FeatureCache(efficientnet_lite0(), work / "features")
    changed = {name: np.asarray(change(images.levels)) for name, change in DAMAGE.items()}
    damaged = {
        name: (replace(images, levels=levels), cache.features(levels))
        for name, levels in changed.items()
    }
    return (images, cache.features(images.levels)), labels, damaged


def dealt(random: np.random.Generator, n: int, classes: int) -> tuple[Rows, Rows, Rows]:
    """Rows of training, reference and stand-ins, n of each class in the last two, by patients."""
    images = _real[0]
    _, member = np.unique(images.groups, return_inverse=True)
    order = np.argsort(random.permutation(member.max() + 1)[member], kind="stable")
    parts: list[list[Rows]] = [[], [], []]
    taken = np.zeros(member.max() + 1, np.int64)  # which part a patient has gone to
    for label in range(classes):
        own = order[images.classes[order] == label]
        for part in (1, 2):
            free = own[np.isin(taken[member[own]], (0, part))][:n]
            taken[member[free]] = part
            parts[part].append(free)
    rest = [
        np.array([row for row in order[images.classes[order] == k] if not taken[member[row]]])[
            :TRAIN
        ]
        for k in range(classes)
    ]
    return np.concatenate(rest), np.concatenate(parts[1]), np.concatenate(parts[2])


def taken(part: Part, rows: Rows) -> Part:
    return part[0].taken(rows), part[1][rows]


def measured(train: Part, reference: Part, fakes: Part, protocol: Protocol) -> Measurements:
    made = Images.of(fakes[0].levels, fakes[0].classes)
    labels = _labels[: int(fakes[0].classes.max()) + 1]
    subject = Subject(labels, made, reference[0], train[0], True)
    features = FeatureSets(fakes[1], reference[1], train[1])
    return measure(subject, features, "lite0", protocol, {})


def false_alarm(task: tuple[int, int, int]) -> tuple[dict[str, str], list[str]]:
    seed, n, classes = task
    random = np.random.default_rng([seed, n])
    train, reference, fakes = (taken(_real, rows) for rows in dealt(random, n, classes))
    # Which comes first is chance alone; a report's own seed is, too.
    found = measured(train, reference, fakes, Protocol(seed=seed, no_verdict=2))
    lights = {light: found.lights[light] for light in found.lights}
    named = [f"{c.light}: {c.check}" for c in found.checks if c.verdict in ("amber", "red")]
    return lights, named


def power(task: tuple[int, int]) -> dict[str, bool]:
    """Which damage the fidelity numbers of the last class see at n."""
    seed, n = task
    random = np.random.default_rng([seed, n, 1])
    protocol, label = Protocol(), len(_labels) - 1
    rows = [r[_real[0].classes[r] == label] for r in dealt(random, n, len(_labels))]
    pool, reference = (Views.of(*taken(_real, r)) for r in rows[:2])
    pool = pool.taken(np.arange(min(len(pool.images), protocol.pool)))
    size = equal_n(len(reference.images), n, len(pool.images), protocol)
    comparison = Comparison(reference, size, "lite0", protocol, random)
    floors = comparison.floors(pool, lambda: None)
    others = np.flatnonzero(_real[0].classes != label)
    kinds = {name: taken(_damaged[name], rows[2]) for name in POWER}
    for share in (0.05, 0.1, 0.2):
        mixed = rows[2].copy()
        mixed[: round(share * n)] = random.choice(others, round(share * n), replace=False)
        kinds[f"{share:.0%} other class"] = taken(_real, random.permutation(mixed))
    kinds["50 images repeated"] = taken(_real, rows[2][np.arange(n) % 50])
    found = {}
    for name, part in kinds.items():
        made = Views.of(Images.of(part[0].levels, part[0].classes), part[1])
        numbers = comparison.measured(_labels[label], made, floors, size / len(pool.images))
        each = list(numbers.values())
        found[name] = max(m.z for m in each) > bar(each, protocol.level)
    return found


def faults(cache: FeatureCache) -> dict[str, Measurements]:
    """Each planted fault through the whole of what a report measures."""
    random = np.random.default_rng(5)
    classes = len(_labels)
    smallest = min(int((_real[0].classes == k).sum()) for k in range(classes))
    rest, held, made = dealt(random, min(500, smallest // 4), classes)
    train, reference, fakes = (taken(_real, rows) for rows in (rest, held, made))
    kinds: dict[str, Part] = {"none": fakes}
    kinds |= {name: taken(_damaged[name], made) for name in DAMAGE}

    def changed(levels: Any) -> Part:
        return replace(fakes[0], levels=levels), cache.features(levels)

    wanted = fakes[0].classes
    swapped = (wanted + 1) % classes
    rows = np.arange(len(made))
    kinds["other class"] = (replace(fakes[0], classes=swapped), fakes[1])
    fifth = random.random(len(made)) < 0.2
    kinds["20% swapped labels"] = (
        replace(fakes[0], classes=np.where(fifth, swapped, wanted)), fakes[1]
    )  # fmt: skip
    kept = np.concatenate([rows[wanted == k][:50] for k in range(classes)])
    again = np.concatenate([random.choice(kept[wanted[kept] == k], (wanted == k).sum())
                            for k in range(classes)])  # fmt: skip
    kinds["mode collapse of 50 images"] = taken(fakes, again)
    copied = np.concatenate([
        random.choice(train[0].rows(k), int((wanted == k).sum()), replace=False)
        for k in range(classes)
    ])  # fmt: skip
    copies = taken(train, copied)[0].levels
    few = fakes[0].levels.copy()
    chosen = random.random(len(few)) < 0.05
    few[chosen] = copies[chosen]
    kinds["5% exact copies"] = changed(few)
    kinds["copies of training images"] = changed(copies)
    kinds["copies through half the pixels"] = changed(damage.lower_resolution(copies))
    kinds["rotated copies, 5°"] = changed(damage.rotated(copies))
    some = fakes[0].levels.copy()
    chosen = random.random(len(some)) < 0.1
    some[chosen] = damage.noisy(copies[chosen], 6.0, random)
    kinds["10% noisy copies"] = changed(some)
    found = {name: measured(train, reference, part, Protocol()) for name, part in kinds.items()}
    # The reference gets images of patients that are in training.
    leaked = replace(reference[0], groups=reference[0].groups.copy())
    leaked.groups[:5] = train[0].groups[:5]
    found["a patient in both"] = measured(train, (leaked, reference[1]), fakes, Protocol())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("real", type=Path)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--part", choices=("false-alarms", "power", "faults"))
    parser.add_argument("--work", type=Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    global _real, _labels, _damaged
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).absolute()
        _real, _labels, _damaged = prepare(arguments.real.absolute(), work)
        if arguments.part in (None, "faults"):
            _print_faults(faults(FeatureCache(efficientnet_lite0(), work / "features")))
    with multiprocessing.get_context("fork").Pool(arguments.jobs, _one_thread) as pool:
        if arguments.part in (None, "false-alarms"):
            for n, classes in ((120, 2), (200, 2), (340, 2)):
                tasks = [(seed, n, classes) for seed in range(arguments.trials)]
                _print_alarms(n, classes, list(pool.imap_unordered(false_alarm, tasks)))
        if arguments.part in (None, "power"):
            for n in (120, 200, 500):
                seeds = [(seed, n) for seed in range(arguments.trials)]
                _print_power(n, list(pool.imap_unordered(power, seeds)))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _print_alarms(n: int, classes: int, found: list[tuple[dict[str, str], list[str]]]) -> None:
    print(f"\nfalse alarms, n = {n} a class, {classes} classes, {len(found)} trials")
    for light in ("fidelity", "usefulness", "privacy"):
        tally = Counter(lights[light] for lights, _ in found)
        print(f"| {light} | " + ", ".join(f"{k} {v / len(found):.1%}" for k, v in
                                          sorted(tally.items())) + " |")  # fmt: skip
    print("  by check:", dict(Counter(name for _, names in found for name in names)), flush=True)


def _print_power(n: int, found: list[dict[str, bool]]) -> None:
    for name in found[0]:
        print(f"| {n} | {name} | {np.mean([each[name] for each in found]):.0%} |", flush=True)


def _print_faults(found: dict[str, Measurements]) -> None:
    print("| fault | fidelity | usefulness | privacy | named |")
    for name, each in found.items():
        named = sorted({f"{c.check}" for c in each.checks if c.verdict in ("amber", "red")})
        lights = " | ".join(each.lights[k] for k in ("fidelity", "usefulness", "privacy"))
        print(f"| {name} | {lights} | {', '.join(named)} |", flush=True)


if __name__ == "__main__":
    main()
