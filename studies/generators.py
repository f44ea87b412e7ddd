"""A unit that trains a generator: `python -m training` on the images of one partition alone.

A generator whose game has ended (training/health.py) does not end the study: it is used as it was
before the signs, as the trainer offers for any run, and the results say so.  Only its training
images decide that.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from library.atomic import read_json, write_json
from library.datasets.derived import derive
from library.digest import digest_json
from library.errors import SynthoraxError
from library.runs import RunFolder, checkpoints
from library.studies.folder import Study
from library.studies.units import Unit
from library.versions import Version
from studies.preparing import Tell, open_parent, split_of
from studies.stopping import Stopping
from training.health import Collapsed
from training.stopping import FOLDER_BUSY

ROOT = Path(__file__).resolve().parent.parent
MODEL = "study"  # what its version is named; it never comes to the library
TRAINER = ("-m", "training")
# An earlier trainer, whose worker was killed, may hold the folder; each waits for it for a while.
_TRIES = 10
_SHARED = ("decoded", "features", "models")  # with the service: caches, and what fine-tuning needs


class TrainerDied(RuntimeError):
    """Killed, or crashed: no error of the study's, and no reason to end it."""


class TrainingFailed(SynthoraxError):
    slug, title, status = "training-failed", "A generator of the study could not be trained", 500


def train(study: Study, unit: Unit, tell: Tell, stopping: Stopping) -> dict[str, Any]:
    """Train, or go on training; what the unit's record is to say.

    `collapsed` there: images that had been shown when the samples collapsed, or None.
    Raises SynthoraxError with the trainer's own problem; Stopped once a checkpoint is written;
    TrainerDied.
    """
    run = RunFolder(study.generator(unit.name))
    request = _request(study, unit, run, tell)
    problem = _run(run, request, tell, stopping)
    if problem and problem["type"].endswith(f"/{Collapsed.slug}") and _end_before(run):
        problem = _run(run, request, tell, stopping)
    if problem:
        raise _as_told(problem)
    card = read_json(run.prepared / "model.json")
    facts = {name: card["training"].get(name) for name in ("images", "steps", "chosen")}
    return {"digest": card["digest"], **facts, "collapsed": _collapsed(run, facts["steps"])}


def _run(run: RunFolder, request: Path, tell: Tell, stopping: Stopping) -> dict[str, Any] | None:
    """Run a trainer to its end; the problem that it told of, None where it succeeded.

    Raises TrainerDied where it ended without a word: the next attempt goes on from its checkpoint.
    """
    for _ in range(_TRIES):
        code, last = _followed(run, request, tell, stopping)
        stopping.check()
        if last.get("status") in ("succeeded", "failed"):
            return last.get("error")
        if code != FOLDER_BUSY:
            break
    raise TrainerDied(f"The trainer of {run.path.name} ended with {code}.")


def _followed(
    run: RunFolder, request: Path, tell: Tell, stopping: Stopping
) -> tuple[int, dict[str, Any]]:
    """Start a trainer and tell of it until it ends; its exit status and its last word."""
    command = [sys.executable, *TRAINER, "run", str(request), "--lifeline"]
    last: dict[str, Any] = {}
    # Its stdin is its lifeline: it writes a checkpoint and ends when this process does.
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as trainer:
        assert trainer.stdout is not None
        stopping.also(trainer.terminate)
        for line in trainer.stdout:
            event = json.loads(line)
            if event["type"] == "metric":
                tell("Training", _fraction(event, run))
            elif event["type"] == "status":
                last = event
    return trainer.returncode, last


def _collapsed(run: RunFolder, steps: int) -> int | None:
    """Images that had been shown at the collapse before which the run was ended, if it was."""
    seen = read_json(run.collapsed) if run.collapsed.is_file() else {"step_before": None}
    images: int | None = seen["images"] if seen["step_before"] == steps else None
    return images


def _end_before(run: RunFolder) -> bool:
    """Decide that a collapsed run ends with its last epoch before the signs.

    The trainer goes on to it from a checkpoint, whichever there is: that depends on the clock, and
    where it ends does not.  False: there is no such epoch.
    """
    last = read_json(run.collapsed)["step_before"]
    if not last:
        return False
    for path in checkpoints(run.checkpoints):
        if int(path.stem) > last:
            path.unlink()
    write_json(run.finish, {"step": last, "epochs": read_json(run.request)["config"]["epochs"]})
    return True


def _request(study: Study, unit: Unit, run: RunFolder, tell: Tell) -> Path:
    """CONFIG.json of the training, with a dataset of its own in the study's work folder."""
    path = run.path.parent / f"{unit.name}.json"
    if path.is_file():
        return path
    assert unit.partition is not None
    work = study.work
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in _SHARED:
        (study.data_dir / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (work / name).is_symlink():
            (work / name).symlink_to(study.data_dir / name)
    with open_parent(study, tell) as dataset:
        record = derive(work, unit.partition, dataset, split_of(study, unit.partition))
    config = study.config
    write_json(
        path,
        {
            "dataset": {"id": record["id"]},
            "data_dir": str(work),
            "run": str(run.path),
            "model": MODEL,
            "preset": config.generator.preset,
            "config": {
                **config.generator.config,
                "conditional": True,  # a study needs images of each class
                "fit": config.fit,
                "resolution": config.resolution,
                "seed": seed_of(config.seed, unit),
            },
            "hand_over": True,
        },
    )
    return path


def seed_of(seed: int, unit: Unit) -> int:
    """Of a unit's training: another one for each partition and generator."""
    return int(digest_json([seed, unit.name])[:8], 16)


def _fraction(event: dict[str, Any], run: RunFolder) -> float:
    config = read_json(run.request)["config"]
    return min(1.0, float(event["epoch"]) / float(config["epochs"]))


def _as_told(problem: dict[str, Any]) -> SynthoraxError:
    error = TrainingFailed(problem.get("detail") or problem["title"])
    wrong = (problem.get("errors") or [{}])[0]
    error.field, error.value = wrong.get("field"), wrong.get("given")
    return error


def trained_version(study: Study, unit: str) -> Version:
    """The version that a unit's training has made."""
    path = RunFolder(study.generator(unit)).prepared
    return Version(MODEL, 1, path, read_json(path / "model.json"))
