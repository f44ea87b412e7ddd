"""Is the verdict of a study right where the truth is known?  Planted on real radiographs.

    python -m benchmarks.study_planted FOLDER --work DIR [--repeats 100] [--processes 1] [CASE …]

FOLDER is the public chest X-ray set with train, val and test, its findings in the file names: 300
images of BACTERIA and VIRUS are trained on, the patients of test are tested on.  Cases:

held_back    the "synthetic" images are real ones of other patients: the best generator there can be
more_real    the same of NORMAL and PNEUMONIA, with 60 images to train on and ten times as many held
             back: there more real data is known to help (BACTERIA and VIRUS are told no better by
             ten times the images)
duplicates   … are the training images themselves, under other names and in other bytes, without
             which a study refuses them
no_signal    labels are drawn by lot, for patients as a whole; --repeats studies of a linear probe,
             or with --network of small networks, whose starts matter (60 steps)
one_class    samples of a generator in the positive class alone
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evaluation.reading import generated
from library.atomic import read_json
from library.datasets.choices import resolve as resolve_choices
from library.datasets.patterns import PATTERNS, label_in
from library.datasets.records import begin as register
from library.studies.folder import Study
from library.versions import ModelLibrary
from studies.local import begin
from studies.stopping import Stopping
from studies.working import do_unit

CASES = ("held_back", "more_real", "duplicates", "no_signal", "one_class")
LABELS, POSITIVE = ("BACTERIA", "VIRUS"), "VIRUS"
TRAINED, FEW, MANY = 300, 60, 10.0  # images; of more_real, and its ratio
SAMPLED = "chest-xray-findings@1"
Labelled = Mapping[str, list[Path]]  # patient -> pictures


def patients(source: Path, split: str, case: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted((source / split).rglob("*.jp*g")):
        if case == "more_real" or label_in("kermany", path.as_posix()) in LABELS:
            patient = PATTERNS["kermany"].patient(path.name) or path.name
            found.setdefault(patient, []).append(path)
    return found


def label_of(path: Path, case: str, lots: np.random.Generator, known: dict[str, str]) -> str:
    """Of a picture; without a signal by lot, once a patient."""
    if case == "more_real":
        return path.parent.name
    if case != "no_signal":
        return str(label_in("kermany", path.as_posix()))
    patient = PATTERNS["kermany"].patient(path.name) or path.name
    return known.setdefault(patient, LABELS[int(lots.integers(2))])


def write(paths: Iterable[tuple[Path, str]], folder: Path, prefix: str = "") -> None:
    """As PNG; those with a prefix in other bytes than the same picture without."""
    for path, label in paths:
        target = folder / label / f"{prefix}{path.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("L").save(target, compress_level=1 if prefix else 6)


def planted(
    source: Path, folder: Path, case: str, seed: int, config: dict[str, Any], data: Path
) -> Study:
    """A dataset and its "synthetic" images in `folder`, and the study that is begun with them."""
    random = np.random.default_rng(seed)
    lots, known = np.random.default_rng([seed, 1]), dict[str, str]()
    few = FEW if case == "more_real" else TRAINED
    trained, held_back = divided(patients(source, "train", case), few, random)
    tested = [path for paths in patients(source, "test", case).values() for path in paths]
    if not (folder / "real").is_dir():
        for split, paths in (("train", trained), ("test", tested)):
            write(((p, label_of(p, case, lots, known)) for p in paths), folder / "real" / split)
        made = {"duplicates": trained, "more_real": held_back}
        others = made.get(case, held_back[: 2 * TRAINED])
        if case == "one_class":
            sampled(folder / "synthetic", 2 * TRAINED)
        else:
            pairs = ((p, label_of(p, case, lots, known)) for p in others)
            write(pairs, folder / "synthetic", "synthetic-")
    register(data, folder / "real", resolve_choices({}))
    path = folder / "study.json"
    whole = {**config, "generator": {"images": str(folder / "synthetic")}, "seed": seed}
    path.write_text(json.dumps({"dataset": {"path": str(folder / "real")}, "config": whole}))
    return begin(path, data)


def divided(
    by_patient: Labelled, count: int, random: np.random.Generator
) -> tuple[list[Path], list[Path]]:
    """Pictures of whole patients, about `count` of them, and those of all others."""
    trained: list[Path] = []
    rest: list[Path] = []
    for patient in random.permutation(sorted(by_patient)):
        chosen = trained if len(trained) < count else rest
        chosen += by_patient[patient]
    return trained, rest


def sampled(folder: Path, count: int) -> None:
    version = ModelLibrary(Path("nowhere")).find(SAMPLED)
    made = generated(version, count, 0)
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for i, levels in enumerate(made.levels[made.rows(version.labels.index(label))]):
            Image.fromarray(levels).save(folder / label / f"{i:05d}.png")


def done(study: Study) -> dict[str, Any]:
    while ready := study.ready():
        do_unit(study, ready[0], lambda *_: None, Stopping())
    assert study.results is not None
    found: dict[str, Any] = read_json(study.results / "results.json")
    return found


def verdict_of(source: Path, work: Path, case: str, config: dict[str, Any], seed: int) -> str:
    """Of one repeat; its study is kept, its pictures are not."""
    folder = work / case / str(seed)
    found = done(planted(source, folder, case, seed, config, work / "data"))
    shutil.rmtree(folder)
    return str(found["verdict"]["verdict"])


def line(case: str, found: Mapping[str, Any]) -> str:
    each = found["verdict"]["contrast"]
    low, high = each["interval"]
    lights = ", ".join(f"{name} {light}" for name, light in found["lights"].items())
    return (
        f"| {case} | {found['verdict']['verdict']} | {each['difference']:+z.4f} "
        f"({low:+z.4f} to {high:+z.4f}) | {lights} |"
    )


def config_of(case: str, network: bool) -> dict[str, Any]:
    config: dict[str, Any] = {
        "positive": POSITIVE,
        "generators": 3,
        "seeds": 3,
        "classifiers": ["probe"],
        "primary_classifier": "probe",
        "arms": ["real", "duplicates", "real_synthetic"],
        "smallest_useful_effect": 0.01,
        "fit": "pad",
    }
    if case == "more_real":
        config |= {"ratio": MANY, "positive": "PNEUMONIA"}
    if case == "one_class":
        config |= {"synthetic_classes": [POSITIVE], "classifiers": ["probe", "network"]}
        config |= {"primary_classifier": "network", "generators": 1}
    if case == "no_signal" and network:
        config |= {"primary_classifier": "network", "classifiers": ["network"], "seeds": 2}
        config |= {"steps_min": 60, "epochs": 1}
    elif case == "no_signal":
        config["generators"] = 2
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, metavar="FOLDER")
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], metavar="CASE")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--network", action="store_true", help="of no_signal")
    parser.add_argument("--processes", type=int, default=1, help="repeats at the same time")
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    print("| case | verdict | AUROC, synthetic less duplicates (95% interval) | lights |")
    print("|---|---|---|---|")
    for case in arguments.cases or CASES:
        config = config_of(case, arguments.network)
        if case != "no_signal":
            study = planted(arguments.source, work / case, case, 1, config, work / "data")
            print(line(case, done(study)), flush=True)
            continue
        verdicts: Counter[str] = Counter()
        ask = partial(verdict_of, arguments.source, work, case, config)
        with ProcessPoolExecutor(arguments.processes, get_context("spawn")) as pool:
            for verdict in pool.map(ask, range(1, arguments.repeats + 1)):
                verdicts[verdict] += 1
                print(f"{verdicts.total()} of {arguments.repeats}", file=sys.stderr, flush=True)
        shown = ", ".join(f"{n} {name}" for name, n in verdicts.most_common())
        print(f"| {case}, {arguments.repeats} repeats | {shown} | | |", flush=True)


if __name__ == "__main__":
    main()
