"""What a run or a study would cost, measured before it is queued: some of its steps, here.

An answer is kept a day; whoever asks for the same again meanwhile gets it at once.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis
from celery import Celery, Task

from library.atomic import write_json
from library.digest import digest_json
from library.logs import for_child
from library.settings import Settings
from worker import counts, keys
from worker.child import ROOT
from worker.connection import client
from worker.queue import COST, enqueue_cost

logger = logging.getLogger("synthorax.worker")

_GIVE_UP = 180.0  # s beside the measuring itself: torch loads, kernels are chosen
# What does not decide how long a run takes.
_IDLE = ("seed", "choose", "on_collapse", "checkpoint_seconds")
_STUDY_IDLE = ("seed", "name", "smallest_useful_effect", "metric")
STUDIES = (sys.executable, "-m", "studies")
_STUDY_SECONDS = 300.0  # of a study's pieces: a few steps of each


def cost_of(
    connection: redis.Redis,
    app: Celery,
    config: Mapping[str, Any],
    images: int,
    classes: int,
    seconds: float,
) -> dict[str, Any]:
    """What is known: `status` measured (with the numbers), measuring, or failed (with `reason`).

    Asked for the first time, it is sent to be measured.  Raises redis.exceptions.RedisError.
    """
    asked = {
        "config": {name: value for name, value in config.items() if name not in _IDLE},
        "images": images,
        "classes": classes,
        "seconds": seconds,
    }
    return _known(connection, app, asked, seconds)


def cost_of_study(
    connection: redis.Redis, app: Celery, record: Mapping[str, Any]
) -> dict[str, Any]:
    """The same of a study; record: dataset (id), fingerprint and config, as in study.json."""
    config = {name: value for name, value in record["config"].items() if name not in _STUDY_IDLE}
    asked = {
        "study": {name: record[name] for name in ("dataset", "fingerprint")} | {"config": config}
    }
    return _known(connection, app, asked, _STUDY_SECONDS)


def _known(
    connection: redis.Redis, app: Celery, asked: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    identity = digest_json(asked)[:24]
    typed: Any = connection  # redis-py's answers are unions
    waiting = json.dumps({"status": "measuring", "asked": asked})
    if typed.set(keys.cost(identity), waiting, nx=True, ex=int(seconds + 2 * _GIVE_UP)):
        enqueue_cost(app, identity)
        return {"status": "measuring"}
    found: dict[str, Any] = json.loads(typed.get(keys.cost(identity)) or waiting)
    return {name: value for name, value in found.items() if name != "asked"}


def register(app: Celery, settings: Settings) -> None:
    """Add the task to a worker's application."""

    @app.task(name=COST, bind=True)
    def run(self: Task[Any, Any], identity: str) -> None:  # noqa: ARG001
        measure(identity, client(settings.redis_url), settings)


def measure(identity: str, connection: redis.Redis, settings: Settings) -> None:
    """Measure what was asked, by a process of its own; nothing, once somebody has."""
    typed: Any = connection
    text = typed.get(keys.cost(identity))
    found = json.loads(text) if text else {}
    if found.get("status") != "measuring":
        return
    asked = found["asked"]
    if "study" in asked:
        answer = _measured_study(asked["study"], settings)
    else:
        answer = _measured(asked, settings)
    typed.set(keys.cost(identity), json.dumps(answer), ex=keys.COST_SECONDS)
    counts.add("synthorax_tasks_total", task="cost", outcome=answer["status"])


def _measured(asked: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="synthorax-cost-") as folder:
        request = Path(folder) / "cost.json"
        content = {"dataset": {"path": folder}, "data_dir": folder, "config": asked["config"]}
        write_json(request, content)
        command = [sys.executable, "-m", "training", "cost", str(request)]
        command += ["--images", str(asked["images"]), "--classes", str(asked["classes"])]
        command += ["--seconds", str(asked["seconds"])]
        return _answer(command, settings, asked["seconds"] + _GIVE_UP)


def _measured_study(asked: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="synthorax-cost-") as folder:
        request = Path(folder) / "study.json"
        write_json(request, {name: asked[name] for name in ("dataset", "config")})
        command = [*STUDIES, "cost", str(request), "--data-dir", str(settings.data_dir)]
        return _answer(command, settings, _STUDY_SECONDS + _GIVE_UP)


def _answer(command: list[str], settings: Settings, seconds: float) -> dict[str, Any]:
    """The last line of what a command says, which takes at most so long."""
    environment = {"PYTHONPATH": str(ROOT), "SYNTHORAX_TRAIN_DEVICE": settings.train_device}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **for_child(), **environment},
            capture_output=True,
            timeout=seconds,
            check=True,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        return {"status": "measured", **json.loads(done.stdout.splitlines()[-1])}
    except subprocess.TimeoutExpired:
        return {"status": "failed", "reason": "It took too long to measure."}
    except (subprocess.CalledProcessError, ValueError, IndexError) as error:
        words = str(getattr(error, "stderr", "") or error).strip().splitlines()
        logger.warning("a cost could not be measured: %s", words[-1:] or error)
        return {"status": "failed", "reason": words[-1] if words else str(error)}
