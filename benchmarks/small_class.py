"""A class of 120 images beside large ones: balanced or natural sampling, from nothing or a version.

    python -m benchmarks.small_class FOLDER --work DIR --arm balanced --kimg 520 --seed 1

FOLDER is the public chest X-ray set with train, val and test, its findings in the file names.  The
training set has all of NORMAL and BACTERIA and VIRUS images of whole patients, 120 of them; KID is
measured against the VIRUS images of test, whose patients nobody has seen.  Arms: `balanced` and
`natural` train `turbo` from nothing, `fine-tune` begins with --ancestor, a version in DIR/data or a
bundled one, which must not have seen VIRUS: `--arm ancestor` trains one on NORMAL and BACTERIA
alone.  How long is told in thousands of images, which every machine shows alike.  A line of JSON a
run is added to DIR/results.jsonl, and the table of all lines is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.reading import generated, split_images
from features.distances import kid
from features.extractors import FeatureCache, efficientnet_lite0
from library.datasets.choices import Choices
from library.datasets.opened import open_dataset
from library.datasets.patterns import PATTERNS, label_in
from library.datasets.records import begin
from library.versions import ModelLibrary

SMALL, WANTED = "VIRUS", 120
LABELS = ["BACTERIA", "NORMAL", SMALL]
ARMS = ("balanced", "natural", "fine-tune", "ancestor")
SAMPLES = 500  # of each label


def dataset(source: Path, work: Path, seed: int, small: bool) -> str:
    """The reduced set as links, registered; its id.  small: with some of SMALL, else with none."""
    folder = work / (f"set-{seed}" if small else "set-without")
    if not folder.is_dir():
        by_patient: dict[str, list[Path]] = {}
        for path in sorted(source.rglob("*.jp*g")):
            split = path.relative_to(source).parts[0]
            label = label_in("kermany", path.as_posix()) or "NORMAL"
            if label == SMALL and not small:
                continue
            if split == "train" and label == SMALL:
                patient = PATTERNS["kermany"].patient(path.name) or path.name
                by_patient.setdefault(patient, []).append(path)
            else:
                _link(path, folder / split / label)
        random, taken = np.random.default_rng(seed), 0
        for patient in random.permutation(sorted(by_patient)):
            if taken >= WANTED:
                break
            for path in by_patient[patient][: WANTED - taken]:
                _link(path, folder / "train" / SMALL)
                taken += 1
    return str(begin(work / "data", folder, Choices(fit="pad"))["id"])


def _link(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    os.symlink(path.resolve(), folder / path.name)


def train(work: Path, identity: str, arguments: argparse.Namespace) -> str:
    """Train on so many images, to the end of an epoch; the version's name.

    One that an earlier call trained is taken as it is; one broken off goes on.
    """
    name = f"small-{arguments.arm}-{arguments.kimg:g}-{arguments.seed}"
    data_dir = work / "data"
    if (data_dir / "models" / name).is_dir():
        return name
    with open_dataset(data_dir, identity, lambda *_: None) as opened:
        images = int(opened.record["splits"]["train"]["images"])
    config: dict[str, Any] = {
        "seed": arguments.seed,
        "fit": "pad",
        "epochs": max(1, round(1000 * arguments.kimg / images)),
        "learning_rate_final": 2e-5,
    }
    if arguments.arm == "fine-tune":
        config |= {"fine_tune": arguments.ancestor, "sampling": "balanced"}
    elif arguments.arm == "natural":
        config["sampling"] = "natural"
    preset = {} if arguments.arm == "fine-tune" else {"preset": "turbo"}
    request = work / f"{name}.json"
    content = {"dataset": identity, "data_dir": str(data_dir), "model": name, "config": config,
               "run": str(work / "runs" / name)}  # fmt: skip
    request.write_text(json.dumps(content | preset))
    command = [sys.executable, "-m", "training", "run", str(request)]
    with open(work / f"{name}.log", "wb") as log:
        code = subprocess.run(command, stdout=log, check=False).returncode
    if code:
        raise SystemExit(f"the trainer ended with {code}; {work / name}.log says why")
    return name


def kid_of(work: Path, identity: str, name: str) -> dict[str, float]:
    """KID x 1000 of each label against test."""
    data_dir = work / "data"
    version = ModelLibrary(data_dir / "models").find(name)
    features = FeatureCache(efficientnet_lite0(), data_dir / "features")
    with open_dataset(data_dir, identity, lambda *_: None) as opened:
        real = split_images(
            opened, "held_out", LABELS, version.resolution, "pad", data_dir / "decoded"
        )
    made, found = generated(version, SAMPLES, 0), {}
    seen = features.features(real.levels), features.features(made.levels)
    for k, label in enumerate(LABELS):
        mine = version.labels.index(label)
        one, other = seen[0][real.rows(k)], seen[1][made.rows(mine)]
        found[label] = 1000 * kid(one, other)
    return found


def table(lines: list[dict[str, Any]]) -> str:
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for line in lines:
        groups.setdefault((line["arm"], line["kimg"]), []).append(line)
    shown = ["| arm | kimg | seeds | VIRUS | BACTERIA | NORMAL |", "|---|---|---|---|---|---|"]
    for (arm, kimg), of in sorted(groups.items()):
        cells = []
        for label in (SMALL, "BACTERIA", "NORMAL"):
            values = [each["kid"][label] for each in of]
            spread = f" ({min(values):.0f} to {max(values):.0f})" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.0f}{spread}")
        shown.append(f"| {arm} | {kimg:g} | {len(of)} | {' | '.join(cells)} |")
    return "\n".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, metavar="FOLDER")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--arm", choices=ARMS, required=True)
    parser.add_argument("--kimg", type=float, default=520, help="thousands of images shown")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ancestor", help="NAME@VERSION")
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    identity = dataset(arguments.source, work, arguments.seed, arguments.arm != "ancestor")
    name = train(work, identity, arguments)
    if arguments.arm == "ancestor":
        print(f"{name}@1")
        return
    line = {"arm": arguments.arm, "kimg": arguments.kimg, "seed": arguments.seed}
    results = work / "results.jsonl"
    with open(results, "a") as out:
        out.write(json.dumps({**line, "kid": kid_of(work, identity, name)}) + "\n")
    print(table([json.loads(text) for text in results.read_text().splitlines()]))


if __name__ == "__main__":
    main()
