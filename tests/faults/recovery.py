"""How soon another worker goes on after a worker was killed.

    python -m tests.faults.recovery [--rounds 10]

Two workers, one job; the whole group of the worker that has it is killed (SIGKILL), and the time
until the job's next attempt begins is told.  The other worker is free: nothing else is waited for.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tests.faults.cluster import LEASE_SECONDS, Cluster
from tests.service.conftest import wait_until


def measure(folder: Path, rounds: int) -> list[float]:
    """Seconds from each kill to the next attempt."""
    found = []
    with Cluster(folder, 2) as cluster:
        job = cluster.train(epochs=100_000, checkpoint_seconds=0.2)
        for _ in range(rounds):
            wait_until(lambda: cluster.store.get(job)["status"] == "running")
            wait_until(lambda: bool(cluster.trainers(job)))
            time.sleep(1)
            name = str(cluster.store.get(job)["worker"]).split("@")[0]
            part = next(worker for worker in cluster.workers if worker.name == name)
            killed = time.time()
            part.signal(signal.SIGKILL, group=True)
            found.append(_next_attempt(cluster, job, killed) - killed)
            part.wait()
            part.start()
            wait_until(lambda: len(cluster.http.get("/workers").json()["data"]) == 3)
        cluster.http.post(f"/train-jobs/{job}/cancel")
        wait_until(lambda: cluster.store.get(job).get("finished_at") is not None)
    return found


def _next_attempt(cluster: Cluster, job: str, after: float) -> float:
    """The moment at which the first attempt after `after` begins, waited for."""
    wait_until(lambda: len(_begun(cluster, job, after)) > 0)
    return min(_begun(cluster, job, after))


def _begun(cluster: Cluster, job: str, after: float) -> list[float]:
    """The beginnings of attempts after a moment (s since 1970)."""
    moments = [
        datetime.fromisoformat(event["time"]).timestamp()
        for event in cluster.events(job)
        if event["type"] == "status" and event["status"] == "running" and "attempt" in event
    ]
    return [moment for moment in moments if moment > after]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recovery-") as folder:
        found = measure(Path(folder), arguments.rounds)
    print(
        f"lease of {LEASE_SECONDS} s, {len(found)} kills: next attempt after "
        f"{statistics.median(found):.1f} s (median), {max(found):.1f} s (longest)"
    )


if __name__ == "__main__":
    main()
