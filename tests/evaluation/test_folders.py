"""`python -m evaluation folders`: anybody's images, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.pictures import real

ROOT = Path(__file__).parent.parent.parent
LABELS = ("HEALTHY", "SHADOW")


def written(folder: Path, seed: int, patients: int, prefix: str, size: int | None = None) -> Path:
    images = real(seed, patients)
    for i, (levels, label) in enumerate(zip(images.levels, images.classes, strict=True)):
        path = folder / LABELS[label] / f"{prefix}{images.groups[i]}_{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(levels)
        (picture if size is None else picture.resize((size, size))).save(path)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("folders")
    written(base / "real" / "train", 1, 40, "t")
    written(base / "real" / "test", 2, 20, "h")
    fake = written(base / "fake", 3, 20, "f")
    first = next(iter((fake / "HEALTHY").iterdir()))
    for i in range(5):  # duplicates of one: the same bytes
        (fake / "HEALTHY" / f"again{i}.png").write_bytes(first.read_bytes())
    return base


def run(*arguments: str | Path, cwd: Path) -> tuple[int, list[dict[str, Any]]]:
    result = subprocess.run(
        [sys.executable, "-m", "evaluation", "folders", *map(str, arguments)],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(cwd)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events, result.stderr
    return result.returncode, events


def test_a_report_on_folders(folders: Path, tmp_path: Path) -> None:
    rule = r"(?:^|/)([th]\d+)_"
    code, events = run(
        folders / "real", folders / "fake", "--patient", rule, "-o", "out", "--work", "work",
        cwd=tmp_path,
    )  # fmt: skip
    assert code == 0, events[-1]
    assert events[-1]["type"] == "report"
    assert {e["type"] for e in events[:-1]} == {"progress"}
    out = tmp_path / "out"
    content = json.loads((out / "report.json").read_text())
    assert content["lights"] == events[-1]["lights"]
    assert content["data"]["patients_known"]
    assert content["data"]["patients_in_both"] == 0
    fakes = sum(1 for _ in (folders / "fake").rglob("*.png"))
    assert content["data"]["generated"] == fakes  # duplicates count
    names = {"report.html", "CARD.md", "methods.md", "claim.md"}
    assert names <= {path.name for path in out.iterdir()}
    assert (out / "operator" / "pairs.html").is_file()
    lines = [json.loads(line) for line in (out / "samples/manifest.jsonl").read_text().splitlines()]
    assert len(lines) == fakes
    frozen = next(line for line in lines if "file" in line)
    levels = np.asarray(Image.open(out / "samples" / frozen["file"]))
    assert hashlib.sha256(levels.tobytes()).hexdigest() == frozen["sha256"]
    # Once more, with what is cached: the same numbers.
    code, _ = run(
        folders / "real", folders / "fake", "--patient", rule, "-o", "again", "--work", "work",
        cwd=tmp_path,
    )  # fmt: skip
    again = json.loads((tmp_path / "again" / "report.json").read_text())
    for changing in ("id", "created_at", "timings"):
        del content[changing], again[changing]
    assert again == content


def refused(*arguments: str | Path, cwd: Path) -> str:
    code, events = run(*arguments, cwd=cwd)
    assert code == 1
    assert events[-1]["type"] == "failed"
    assert not (cwd / "report").exists()
    return str(events[-1]["error"]["detail"])


def test_what_is_refused_says_why(folders: Path, tmp_path: Path) -> None:
    real_, fake = folders / "real", folders / "fake"
    assert "There is no folder" in refused(tmp_path / "nowhere", fake, cwd=tmp_path)
    assert "the same folder" in refused(real_, real_, cwd=tmp_path)
    # Other images than the training's are needed as a reference.
    train = real_ / "train"
    copied = tmp_path / "copied"
    for path in train.rglob("*.png"):
        target = copied / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    said = refused(copied, fake, "--train", train, cwd=tmp_path)
    assert "whatever copies them looks best" in said
    mixed = written(tmp_path / "mixed", 3, 20, "f")
    Image.new("L", (50, 40)).save(mixed / "SHADOW" / "other.png")
    said = refused(real_, mixed, cwd=tmp_path)
    assert "2 sizes" in said
    assert "--resolution N --fit" in said
    others = tmp_path / "others"
    for name in ("HEALTHY", "ELSE"):
        (others / name).mkdir(parents=True)
        for path in (fake / "HEALTHY").iterdir():
            (others / name / path.name).write_bytes(path.read_bytes() + name.encode())
    assert "There are no real images of 'ELSE'" in refused(real_, others, cwd=tmp_path)
    assert "--fit crop, pad or stretch" in refused(real_, fake, "--resolution", "32", cwd=tmp_path)


def test_an_unknown_training_set_is_said(folders: Path, tmp_path: Path) -> None:
    code, events = run(folders / "real" / "test", folders / "fake", "-o", "out", cwd=tmp_path)
    assert code == 0, events[-1]
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert content["data"]["training_known"] is False
    assert content["lights"]["privacy"] == "not estimable"
    assert not (tmp_path / "out" / "operator").exists()
    assert "class=danger" in (tmp_path / "out" / "report.html").read_text()
