"""A study of a few drawn chests, with a folder of others as its synthetic images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from library.datasets.choices import resolve
from library.datasets.records import begin as register
from library.studies.folder import Study
from studies.local import begin
from studies.stopping import Stopping
from studies.working import do_unit
from tests.evaluation.pictures import LABELS, real, split_folders

CONFIG: dict[str, Any] = {
    "positive": "SHADOW",
    "test": "held_out",
    "resolution": 32,
    "generators": 1,
    "seeds": 2,
    "arms": ["real", "duplicates", "synthetic", "real_synthetic", "pretrained", "one_class"],
    "epochs": 0.1,
    "steps_min": 3,
    "fit": "crop",
    "seed": 5,
}
# Of the program's own generators: small enough to train in seconds.
TRAINED: dict[str, Any] = {
    "batch_size": 8, "generator_width": 8, "discriminator_width": 8,
    "precision": "float32", "threads": 1,
}  # fmt: skip
PREPARED, RAN = "prepare", "runs-s1d0-g0"


def synthetic_folder(folder: Path, patients: int = 45, labels: tuple[str, ...] = LABELS) -> Path:
    images = real(7, patients, first=90_000, side=64)
    for i, (levels, label) in enumerate(zip(images.levels, images.classes, strict=True)):
        if LABELS[label] in labels:
            path = folder / LABELS[label] / f"{i:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(levels).save(path)
    return folder


def request(folder: Path, **changes: Any) -> Path:
    """CONFIG.json of a study of drawn chests below `folder`, whose pictures are made once."""
    if not (folder / "real").is_dir():
        split_folders(folder / "real", 28, 14)
        synthetic_folder(folder / "synthetic")
    generator = {"generator": {"images": str(folder / "synthetic")}}
    config = {**CONFIG, **generator, **changes}
    path = folder / "study.json"
    path.write_text(json.dumps({"dataset": {"path": str(folder / "real")}, "config": config}))
    return path


def begun(folder: Path, data: str = "data", **changes: Any) -> Study:
    """In a data folder of its own, but for what was decoded and seen before."""
    path = request(folder, **changes)
    for name in ("decoded", "features"):
        (folder / "caches" / name).mkdir(parents=True, exist_ok=True)
        (folder / data).mkdir(exist_ok=True)
        if not (folder / data / name).exists():
            (folder / data / name).symlink_to(folder / "caches" / name)
    if not (folder / data / "datasets").is_dir():
        register(folder / data, folder / "real", resolve({"patient": r"(p\d+)_"}))
    return begin(path, folder / data)


def done(study: Study, *units: str) -> Study:
    """The study, its units done here."""
    for name in units:
        do_unit(study, study.unit(name), lambda *_: None, Stopping(), processes=0)
    return study


def work(study: Study, unit: str) -> subprocess.Popen[bytes]:
    """`python -m studies work` on a unit, as a worker starts it."""
    command = [sys.executable, "-m", "studies", "work", str(study.path), unit, "--lifeline"]
    root, pipe = Path(__file__).resolve().parent.parent.parent, subprocess.PIPE
    return subprocess.Popen(
        command, cwd=root, start_new_session=True, stdin=pipe, stdout=pipe, stderr=pipe
    )
