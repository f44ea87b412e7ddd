"""A study as the API shows it: how far each unit is, how long it may take, what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import RedisError

from library.atomic import read_json
from library.generate_jobs import moment
from library.studies.folder import ENDED, Study
from library.studies.units import GENERATOR, PREPARE, RESULTS, RUNS, Unit
from worker import keys
from worker.heartbeat import workers
from worker.queue import LIGHT, TRAINING
from worker.studies import queue_of

KINDS = (PREPARE, GENERATOR, RUNS, RESULTS)
# Of a unit's time, where nothing is measured yet: only the bar of progress is drawn with it.
_WEIGHTS = {PREPARE: 1.0, GENERATOR: 10.0, RUNS: 4.0, RESULTS: 0.5}
_COST_NAMES = {PREPARE: "prepare", GENERATOR: "generator_each", RUNS: "runs_each", RESULTS: RESULTS}
_START = {
    LIGHT: "no light worker is connected: `synthorax serve` starts one by itself, elsewhere "
    "`python -m worker light` does",
    TRAINING: "no training worker is connected: `synthorax serve` starts one by itself, elsewhere "
    "`python -m worker` does",
}


def newest_results(study: Study) -> Path | None:
    """The folder of the results with the most scores, which may lack the newest ones."""
    found = [
        (int(path.parent.name.removeprefix("results-")), path.parent)
        for path in study.path.glob("results-*/results.json")
    ]
    return max(found)[1] if found else None


def shown(study: Study, connection: redis.Redis, with_units: bool = True) -> dict[str, Any]:
    record, status, end = study.record, study.status, study.end
    units = _units(study, status, connection)
    results = newest_results(study)
    content = None if results is None else _read(results / "results.json")
    error, finished = None, None
    if status == "succeeded" and results is not None:
        finished = moment((results / "results.json").stat().st_mtime)
    elif status in ENDED and end is not None:
        error, finished = end["error"], end["finished_at"]
    waiting, alive = None, None
    if status not in ENDED:
        waiting, alive = _waiting(units, study, connection)
    return {
        "id": study.id,
        "name": record["config"]["name"],
        "status": status,
        "created_at": record["created_at"],
        "started_at": study.started_at,
        "finished_at": finished,
        "dataset": {
            "id": record["dataset"],
            "name": record.get("dataset_name") or record["dataset"],
        },
        "patients_known": bool(record.get("patients_known", True)),
        "config": record["config"],
        "progress": _progress(study, units, status, alive),
        "units": units if with_units else None,
        "waiting": waiting,
        "verdict": content and content["verdict"],
        "lights": content and content["lights"],
        "scores": [
            {"name": path.stem, "error": _read(path.with_suffix(".error.json"))}
            for path in study.scores
        ],
        "error": error,
        "links": _links(study, results),
    }


def _links(study: Study, results: Path | None) -> dict[str, str]:
    base = f"/studies/{study.id}"
    links = {"self": base}
    if results is None:
        return links
    names = ("results.json", "results.html", "methods.md", "results.zip")
    links |= {name: f"{base}/{name}" for name in names}
    for folder in ("tables", "figures"):
        links |= {
            f"{folder}/{path.name}": f"{base}/{folder}/{path.name}"
            for path in sorted((results / folder).glob("[!.]*"))
        }
    return links | {"arms.zip": f"{base}/arms.zip"}


def _units(study: Study, status: str, connection: redis.Redis) -> list[dict[str, Any]]:
    done = study.done()
    ready = [] if status in ENDED else [u for u in study.ready() if u.name not in done]
    told, held = _at_work(study, ready, connection)
    found = []
    for unit in study.units:
        if unit.name in done:
            state = "done"
        elif unit.name in held:
            state = "running"
        else:
            state = "ready" if unit in ready else "waiting"
        far = told.get(unit.name, {}) if state == "running" else {}
        record = _read(study.unit_record(unit.name)) or {}
        found.append(
            {
                "name": unit.name,
                "kind": unit.kind,
                "partition": unit.partition,
                "generator": unit.generator,
                "status": state,
                "phase": far.get("phase"),
                "fraction": 1.0 if state == "done" else far.get("fraction", 0.0),
                "seconds": record.get("seconds"),
            }
        )
    return found


def _at_work(
    study: Study, ready: Sequence[Unit], connection: redis.Redis
) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """What workers tell of units, and which ones they hold; nothing while Redis is away."""
    pipe: Any = connection.pipeline(transaction=False)
    pipe.hgetall(keys.study_progress(study.id))
    for unit in ready:
        pipe.exists(keys.unit_lease(study.id, unit.name))
    try:
        told, *held = pipe.execute()
    except RedisError:
        return {}, set()
    far = {name: json.loads(text) for name, text in told.items()}
    return far, {unit.name for unit, there in zip(ready, held, strict=True) if there}


def _waiting(
    units: Sequence[Mapping[str, Any]], study: Study, connection: redis.Redis
) -> tuple[str | None, dict[str, int] | None]:
    """Why nobody is at it, and how many workers there are of each queue."""
    try:
        there = [worker["queue"] for worker in workers(connection)]
    except RedisError:
        return "Redis is away", None
    alive = {queue: there.count(queue) for queue in (LIGHT, TRAINING)}
    if any(unit["status"] == "running" for unit in units):
        return None, alive
    needed = {queue_of(study.unit(u["name"])) for u in units if u["status"] == "ready"}
    reasons = [_START[queue] for queue in (LIGHT, TRAINING) if queue in needed and not alive[queue]]
    if reasons or not needed:
        return (reasons[0] if reasons else None), alive
    return "waiting for a worker: others' work comes before studies", alive


def _progress(
    study: Study, units: Sequence[Mapping[str, Any]], status: str, alive: dict[str, int] | None
) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        of_kind = [unit for unit in units if unit["kind"] == kind]
        if of_kind:
            kinds[kind] = {
                "done": sum(unit["status"] == "done" for unit in of_kind),
                "total": len(of_kind),
                "fraction": sum(unit["fraction"] for unit in of_kind) / len(of_kind),
            }
    seconds = _seconds(study, units)
    weights = {kind: seconds.get(kind, _WEIGHTS[kind]) for kind in kinds}
    if any(kind not in seconds for kind in kinds):  # a guess beside a measurement says nothing
        weights = {kind: _WEIGHTS[kind] for kind in kinds}
    total = sum(weights[unit["kind"]] for unit in units)
    done = sum(weights[unit["kind"]] * unit["fraction"] for unit in units)
    eta = None
    if status == "running" and alive is not None and all(kind in seconds for kind in kinds):
        eta = _eta(units, seconds, alive)
    fraction = 1.0 if status == "succeeded" else min(1.0, done / total)
    return {"fraction": fraction, "eta_seconds": eta, "kinds": kinds}


def _seconds(study: Study, units: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of a unit of each kind: those that are done, else as measured before the study began."""
    cost = (study.record.get("cost") or {}).get("seconds") or {}
    found = {}
    for kind in KINDS:
        took = [u["seconds"] for u in units if u["kind"] == kind and u["seconds"] is not None]
        if took:
            found[kind] = sum(took) / len(took)
        elif cost.get(_COST_NAMES[kind]) is not None:
            found[kind] = float(cost[_COST_NAMES[kind]])
    return found


def _eta(
    units: Sequence[Mapping[str, Any]], seconds: Mapping[str, float], alive: Mapping[str, int]
) -> float | None:
    """Both queues work beside each other; after the last generator come its runs, and the end."""
    left = {kind: 0.0 for kind in KINDS}
    for unit in units:
        left[unit["kind"]] += (
            seconds[unit["kind"]] * (1 - unit["fraction"]) if (unit["status"] != "done") else 0.0
        )
    if (left[GENERATOR] and not alive[TRAINING]) or not alive[LIGHT]:
        return None
    training = left[GENERATOR] / max(1, alive[TRAINING])
    beside = max(training + (seconds[RUNS] if training else 0.0), left[RUNS] / alive[LIGHT])
    return round(left[PREPARE] + beside + left[RESULTS], 1)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found
