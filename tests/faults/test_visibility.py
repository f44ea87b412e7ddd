"""A job that outlives the broker's visibility timeout: its message comes again, it runs once."""

from __future__ import annotations

import time
from pathlib import Path

from tests.faults.cluster import Cluster

VISIBILITY_SECONDS = 3


def test_a_redelivered_message_makes_no_second_run(tmp_path: Path) -> None:
    with Cluster(tmp_path, 2, visibility_seconds=VISIBILITY_SECONDS) as cluster:
        job = cluster.train(epochs=5000)
        seen: set[int] = set()
        most, until = 0, time.monotonic() + 6 * VISIBILITY_SECONDS
        while time.monotonic() < until:
            now = cluster.trainers(job)
            seen |= set(now)
            most = max(most, len(now))
            time.sleep(0.05)
        record = cluster.http.get(f"/train-jobs/{job}").json()
        assert record["status"] == "running"
        assert record["attempt"] == 1
        assert most == 1
        assert len(seen) == 1
        cluster.http.post(f"/train-jobs/{job}/finish")
        while cluster.http.get(f"/train-jobs/{job}").json()["finished_at"] is None:
            time.sleep(0.1)
        ended = cluster.http.get(f"/train-jobs/{job}").json()
        assert (ended["status"], ended["attempt"]) == ("succeeded", 1)
        time.sleep(2 * VISIBILITY_SECONDS)
        assert cluster.http.get(f"/train-jobs/{job}").json() == ended
        assert cluster.trainers() == []
