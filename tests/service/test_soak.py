"""An hour at half load with train jobs beside it: memory flat, no descriptor lost, nothing refused.

SYNTHORAX_SOAK_SECONDS: for how long; SYNTHORAX_SOAK_TABLE: a file for the table, which stands in
docs/performance.md.
"""

from __future__ import annotations

import bisect
import os
import random
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.processes import tree
from tests.service.conftest import Service

SECONDS = float(os.environ.get("SYNTHORAX_SOAK_SECONDS", "3600"))
TABLE = os.environ.get("SYNTHORAX_SOAK_TABLE")
WINDOWS = 12  # of the whole
CLIENTS = 16
MODEL = "chest-xray-turbo@2"
JOBS = 20  # train jobs, one after the other
# How often, images, form.
MIX = ((8, 1, "image/png"), (4, 4, "application/json"), (1, 64, "application/zip"))


@dataclass
class Window:
    """What was seen in a part of the time."""

    milliseconds: list[float] = field(default_factory=list)  # of single images
    images: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    held: dict[str, tuple[float, int]] = field(default_factory=dict)  # MB and descriptors, by name


class Load:
    """Requests at a rate, each with seeds that nobody has asked for before."""

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
        self._http = httpx.Client(base_url=url, timeout=60, limits=limits)
        self._lock, self._seed = threading.Lock(), 0
        self.window = Window()

    def one(self, chance: float) -> None:
        """One request of the mix."""
        weights = [weight for weight, _, _ in MIX]
        at = chance * sum(weights)
        _, count, accept = MIX[bisect.bisect(list(accumulate(weights)), at)]
        with self._lock:
            seed, self._seed = self._seed, self._seed + count
        began = time.monotonic()
        body = {"count": count, "seed": seed, "model": MODEL}
        answer = self._http.post("/generate", json=body, headers={"Accept": accept})
        with self._lock:
            window = self.window
            window.statuses[answer.status_code] += 1
            window.images += count
            if count == 1:
                window.milliseconds.append(1000 * (time.monotonic() - began))

    def taken(self) -> Window:
        """What came since the last look."""
        with self._lock:
            taken, self.window = self.window, Window()
        return taken

    def close(self) -> None:
        self._http.close()


def capacity(load: Load, seconds: float) -> float:
    """Requests of the mix a second, as many as are answered."""
    until, chance = time.monotonic() + seconds, random.Random(0)

    def ask() -> int:
        done = 0
        while time.monotonic() < until:
            load.one(chance.random())
            done += 1
        return done

    with ThreadPoolExecutor(CLIENTS) as clients:
        done = sum(client.result() for client in [clients.submit(ask) for _ in range(CLIENTS)])
    load.taken()
    return done / seconds


def held(service: Service) -> dict[str, tuple[float, int]]:
    """Memory (MB) and open descriptors of each long-lived process, by its name."""
    assert service.process is not None
    found: dict[str, tuple[float, int]] = {}
    for pid in tree(service.process.pid):
        folder = Path(f"/proc/{pid}")
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
            status = (folder / "status").read_text()
            descriptors = len(list((folder / "fd").iterdir()))
        except OSError:  # it has just ended
            continue
        name = _name(words)
        if name is None:
            continue
        memory = next(int(line.split()[1]) for line in status.splitlines() if line[:6] == "VmRSS:")
        before = found.get(name, (0.0, 0))
        found[name] = (before[0] + memory / 1024, before[1] + descriptors)
    return found


def _name(words: list[str]) -> str | None:
    if "valkey" in words[0]:
        return "valkey"
    for module, name in (("app", "api"), ("worker", "worker")):
        if words[1:3] == ["-m", module]:
            return f"{name} {words[3]}" if name == "worker" else name
    return None  # trainers come and go


def table(windows: list[Window], seconds: float) -> str:
    names = sorted(windows[0].held)
    head = ["minutes", "images/s", "p50 ms", "p99 ms", "not 200"]
    head += [f"{name}, MB (descriptors)" for name in names]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for i, window in enumerate(windows):
        cuts = statistics.quantiles(window.milliseconds, n=100)
        wrong = window.statuses.total() - window.statuses[200]
        cells = [f"{i * seconds / 60:.0f} to {(i + 1) * seconds / 60:.0f}"]
        cells += [f"{window.images / seconds:.0f}", f"{cuts[49]:.0f}", f"{cuts[98]:.0f}"]
        cells += [str(wrong), *(f"{window.held[n][0]:.0f} ({window.held[n][1]})" for n in names)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def keep_training(service: Service, dataset: Path, ended: threading.Event) -> None:
    """Train jobs one after the other, each for its part of the time, each to a version."""
    made = 0
    while not ended.is_set():
        # Ten minutes of a few dozen images: the game ends long before, and that is not looked at.
        job = service.train(dataset, epochs=100_000, on_collapse="continue")
        ended.wait(SECONDS / JOBS)
        service.http.post(f"/train-jobs/{job['id']}/finish")
        record = service.ended(job["id"])
        assert record["status"] == "succeeded", record["error"]
        made += 1
    assert made > 0


@pytest.mark.long
def test_an_hour_at_half_load_beside_training(own_service: Service, dataset: Path) -> None:
    ended, windows, part = threading.Event(), list[Window](), SECONDS / WINDOWS
    load, chance = Load(own_service.url), random.Random(1)
    with ThreadPoolExecutor(CLIENTS + 1) as threads:
        training = threads.submit(keep_training, own_service, dataset, ended)
        try:
            time.sleep(min(20.0, part))  # until a trainer is at work
            rate = capacity(load, min(20.0, part)) / 2
            began = time.monotonic()
            sent, asked = 0, list[Any]()
            while len(windows) < WINDOWS:
                due = began + sent / rate
                time.sleep(max(0.0, due - time.monotonic()))
                asked.append(threads.submit(load.one, chance.random()))
                sent += 1
                if time.monotonic() - began >= (len(windows) + 1) * part:
                    for request in asked:
                        request.result()
                    asked.clear()
                    window = load.taken()
                    window.held = held(own_service)
                    windows.append(window)
        finally:
            ended.set()
    load.close()
    if TABLE:
        words = f"{rate:.1f} requests a second, half of what is answered beside training"
        Path(TABLE).write_text(f"{words}\n\n{table(windows, part)}")
    training.result()
    assert sum((window.statuses for window in windows), Counter()).keys() == {200}
    third = WINDOWS // 3
    for name in windows[0].held:
        middle = [window.held[name] for window in windows[third : 2 * third]]
        last = [window.held[name] for window in windows[2 * third :]]
        # Flat: what caches and arenas take comes in the first third.
        assert max(m for m, _ in last) < 1.05 * max(m for m, _ in middle) + 16, name
        assert max(d for _, d in last) <= max(d for _, d in middle) + 8, name
