"""`python -m studies run` is stopped, or loses its trainer; the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from library.studies.folder import Study
from tests.studies.small import TRAINED, begun

ROOT = Path(__file__).resolve().parent.parent.parent
GENERATOR = {"preset": "quick", "config": {**TRAINED, "epochs": 40}}


@contextmanager
def running(study: Study, phase: str) -> Iterator[subprocess.Popen[str]]:
    """The study's command, once it has told of this phase."""
    data = study.path.parent.parent
    command = [
        sys.executable, "-m", "studies", "run", str(data.parent / "study.json"),
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
        yield process


@pytest.mark.parametrize(
    ("phase", "asked"), [("Training", signal.SIGTERM), ("Classifiers", signal.SIGINT)]
)
def test_a_study_ends_in_order_and_loses_nothing(
    tmp_path: Path, phase: str, asked: signal.Signals
) -> None:
    changes = {"generator": GENERATOR} if phase == "Training" else {"steps_min": 100_000}
    study = begun(tmp_path, resolution=64, **changes)
    with running(study, phase) as process:
        os.killpg(process.pid, asked)  # as a terminal does
        _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert said.endswith("stopped: the same command goes on from here\n")
    assert "Traceback" not in said
    if phase == "Training":
        assert list(study.generator("generator-s1d0-g0").glob("checkpoints/*")) != []
    assert study.status == "running"
    assert study.done() == {"prepare"}


def test_a_trainer_that_is_killed_alone_is_told_in_a_line(tmp_path: Path) -> None:
    study = begun(tmp_path, resolution=64, generator=GENERATOR)
    with running(study, "Training") as process:
        tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
        (trainer,) = (pid for task in tasks for pid in task.read_text().split())
        os.kill(int(trainer), signal.SIGKILL)  # as the kernel does where memory runs out
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "The trainer of generator-s1d0-g0 ended with -9. The same command goes on" in said
    assert "Traceback" not in said
    assert study.status == "running"
    assert study.done() == {"prepare"}
