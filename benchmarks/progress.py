"""What telling of progress costs a trainer, and what the plain way to do it would.

    python -m benchmarks.progress [--data FOLDER] [--seconds 60] [--preset quick]

The trainer runs as a child, as in the service; this process is its supervisor, with a lease and
events in a real Valkey.  Inside the child the time spent in telling is summed: collecting the
numbers from the device, the line in metrics.jsonl (and no fsync), the line to the supervisor.
The rival, in the same run: what tutorials do, `loss.item()` and a call to Redis after each step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from library.settings import Settings
from tests.valkey import Server
from worker import keys
from worker.jobs import JobStore
from worker.link import Link
from worker.supervisor import TICK_SECONDS

ROOT = Path(__file__).parent.parent
TINY_DATA = ROOT / "tests" / "data" / "chest_xray"
BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=TINY_DATA)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--redis", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        _train(arguments.child, arguments.redis)
        return
    print(f"| trainer ({arguments.preset}, {os.cpu_count()} cores) | seconds | told | share |")
    print("|---|---|---|---|")
    for rival in (False, True):
        found = _run(arguments, rival)
        name = "rival: a call to Redis a step" if rival else "as in the service"
        share = 100 * found["telling"] / found["training"]
        events = f"{found['events']} events in {found['steps']} steps"
        print(f"| {name} | {found['training']:.1f} | {events} | {share:.2f}% |")
        if not rival:
            supervisor = 100 * found["supervisor"] / found["training"]
            print(f"| its supervisor, CPU of another process | | | {supervisor:.2f}% |")


def _run(arguments: argparse.Namespace, rival: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, Server(Path(name) / "redis") as server:
        folder = Path(name)
        request = folder / "request.json"
        config = {"epochs": 100_000, "seed": 1}
        if arguments.data == TINY_DATA:
            config["batch_size"] = BATCH
        content = {
            "run": str(folder / "runs" / "job-1"),
            "data_dir": name,
            "dataset": {"path": str(arguments.data)},
            "preset": arguments.preset,
            "config": config,
            "job": "job-1",
        }
        request.write_text(json.dumps(content))
        store = JobStore(server.client())
        store.create({**content, "priority": "normal"}, "job-1")
        settings = Settings(data_dir=folder, redis_url=server.url)
        link = Link(store, settings, "job-1", "benchmark")
        assert link.take()
        link.move(("queued",), "running", attempt=1)
        command = [sys.executable, "-m", "benchmarks.progress", "--child", str(request)]
        command += ["--redis", server.url] if rival else []
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, cwd=ROOT)
        try:
            return _supervise(child, link, arguments.seconds)
        finally:
            child.kill()
            child.wait()


def _supervise(child: subprocess.Popen[bytes], link: Link, seconds: float) -> dict[str, Any]:
    """Be the supervisor for so long, then stop the trainer; returns what it measured."""
    assert child.stdout is not None
    began, synced, found = None, 0.0, {}
    spent = _cpu()
    for line in child.stdout:
        told = json.loads(line)
        if told["type"] == "measured":
            found = told
            break
        if told.get("phase") == "training":
            began = time.monotonic()
        link.tell(told)
        if time.monotonic() - synced >= TICK_SECONDS:
            link.sync()
            synced = time.monotonic()
        if began is not None and time.monotonic() - began > seconds:
            child.terminate()
            began = None
    return {**found, "supervisor": _cpu() - spent}


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _train(request: Path, redis_url: str | None) -> None:
    """The child: the real trainer, with clocks around what tells of progress."""
    from library.requests import read_request
    from training import loop
    from training.events import Events
    from training.run import run
    from training.stopping import StopRequest

    spent = {"telling": 0.0, "training": 0.0, "steps": 0, "events": 0}

    @contextlib.contextmanager
    def clock(name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        spent[name] += time.perf_counter() - began

    def timed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            with clock(name):
                return function(*given, **options)

        return call

    make: Callable[..., Any] = vars(loop)["stepper"]
    emit = Events.emit

    def counted_emit(self: Events, kind: str, **fields: Any) -> None:
        spent["events"] += 1
        with clock("telling"):
            emit(self, kind, **fields)

    def counted(*given: Any) -> Callable[..., Any]:
        step = make(*given)

        def counted_step(batch: Any) -> Any:
            spent["steps"] += 1
            measures = step(batch)
            if redis_url is not None:
                with clock("telling"):
                    numbers = [value.item() for value in measures]
                    store.redis.xadd(keys.events("plain"), {"event": json.dumps(numbers)})
                    spent["events"] += 1
            return measures

        return counted_step

    if redis_url is not None:
        from worker.connection import client

        store = JobStore(client(redis_url))
    vars(loop)["stepper"] = counted
    Events.emit = counted_emit  # type: ignore[method-assign]
    # Bringing the numbers from the device waits for it: counted as a cost of telling.
    loop.Loop._collect = timed(loop.Loop._collect, "telling")  # type: ignore[method-assign]
    loop.Loop.train = timed(loop.Loop.train, "training")  # type: ignore[method-assign]
    run(read_request(request), StopRequest(lifeline=True))
    print(json.dumps({"type": "measured", **spent}), flush=True)


if __name__ == "__main__":
    main()
