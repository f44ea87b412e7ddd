"""A whole study by its real program, its generator trained, killed at random moments."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from library.studies.folder import Study
from tests.studies.small import TRAINED, begun

ROOT = Path(__file__).resolve().parent.parent.parent
GENERATOR = {"preset": "quick", "config": {**TRAINED, "epochs": 2, "checkpoint_seconds": 0.2}}
TIMINGS = "results-0/timings.json"
CHANGES = {"generator": GENERATOR, "resolution": 64, "generators": 2, "sizes": [1.0, 0.5]}


def program(study: Study, folder: Path) -> subprocess.Popen[bytes]:
    """`python -m studies run`, at the head of a process group of its own."""
    data = study.path.parent.parent
    command = [sys.executable, "-m", "studies", "run", str(folder / "study.json")]
    with open(folder / f"{data.name}.log", "ab") as log:
        return subprocess.Popen(
            [*command, "--data-dir", str(data)],
            cwd=ROOT, start_new_session=True, stdout=log, stderr=log,
        )  # fmt: skip


def left(study: Study) -> dict[str, bytes]:
    """What a study came to: its results, what they rest on, and its generators."""
    files = (path for path in study.path.rglob("*") if path.is_file())
    found = {path.relative_to(study.path).as_posix(): path for path in files}
    wanted = (".npz", "model.safetensors")
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if (name.startswith("results-0/") or name.endswith(wanted)) and name != TIMINGS
    }


def unit_in(log: Path) -> str:
    """The kind of unit that was in hand; "start" where none was."""
    told = log.read_text().rpartition('"type": "study"')[2]
    units = re.findall(r'"unit": "([a-z]+)', told)
    return units[-1] if units else "start"


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_a_study_killed_at_random_moments_comes_to_the_same_bytes(
    tmp_path: Path, seed: int
) -> None:
    calm = begun(tmp_path, "calm", **CHANGES)
    assert program(calm, tmp_path).wait(900) == 0, (tmp_path / "calm.log").read_text()
    rough, chance = begun(tmp_path, "rough", **CHANGES), random.Random(seed)
    killed: list[str] = []
    while True:
        process = program(rough, tmp_path)
        try:
            code = process.wait(chance.uniform(1, 15) if len(killed) < 20 else 900)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed.append(unit_in(tmp_path / "rough.log"))
            continue
        assert code == 0, (tmp_path / "rough.log").read_text()[-3000:]
        break
    told = ", ".join(f"{unit} {n}" for unit, n in sorted(Counter(killed).items()))
    print(f"\n| {seed} | {len(killed)} | {told} |")  # noqa: T201  of the table in docs/studies.md
    assert len(killed) > 3
    one, other = left(calm), left(rough)
    assert "results-0/results.json" in one
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
