"""`python -m studies run` is stopped by a signal, and the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.studies.small import TRAINED, begun

ROOT = Path(__file__).resolve().parent.parent.parent
GENERATOR = {"preset": "quick", "config": {**TRAINED, "epochs": 40}}


@pytest.mark.parametrize(
    ("phase", "asked"), [("Training", signal.SIGTERM), ("Classifiers", signal.SIGINT)]
)
def test_a_study_ends_in_order_and_loses_nothing(
    tmp_path: Path, phase: str, asked: signal.Signals
) -> None:
    changes = {"generator": GENERATOR} if phase == "Training" else {"steps_min": 100_000}
    study = begun(tmp_path, resolution=64, **changes)
    data = study.path.parent.parent
    command = [
        sys.executable, "-m", "studies", "run", str(tmp_path / "study.json"),
        "--data-dir", str(data),
    ]  # fmt: skip
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("phase") == phase:
                break
        os.killpg(process.pid, asked)  # as a terminal does
        _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert said.endswith("stopped: the same command goes on from here\n")
    assert "Traceback" not in said
    if phase == "Training":
        assert list(study.generator("generator-s1d0-g0").glob("checkpoints/*")) != []
    assert study.status == "running"
    assert study.done() == {"prepare"}
