"""Many jobs, several workers, readers that drop and return: each is told everything once."""

from __future__ import annotations

import json
import random
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.faults.cluster import Cluster
from tests.service.conftest import TINY, wait_until

WORKERS = 3


class Reader(threading.Thread):
    """Follows a job by server-sent events, hangs up at random, returns with the last id it saw."""

    def __init__(self, url: str, job: str, seed: int) -> None:
        super().__init__(daemon=True)
        self._url, self.job, self._dice = (
            f"{url}/train-jobs/{job}/events",
            job,
            random.Random(seed),
        )
        self.seen: list[tuple[str, str]] = []  # id, event
        self.drops = 0

    def run(self) -> None:
        last = ""
        while not self._ended():
            headers = {"Accept": "text/event-stream", "Last-Event-ID": last}
            patience = self._dice.randint(1, 12)  # events until it hangs up
            try:
                with httpx.stream("GET", self._url, headers=headers, timeout=60) as response:
                    assert response.status_code == 200
                    fields: dict[str, str] = {}
                    for line in response.iter_lines():
                        name, _, value = line.partition(": ")
                        if name:
                            fields[name] = value
                        elif "data" in fields:  # an empty line ends a message
                            last = fields["id"]
                            self.seen.append((last, fields["data"]))
                            fields = {}
                            patience -= 1
                            if patience <= 0:
                                self.drops += 1
                                break
            except httpx.TransportError:
                pass
            time.sleep(self._dice.uniform(0, 0.2))

    def _ended(self) -> bool:
        """Whether the last that it saw is the job's end."""
        if not self.seen:
            return False
        told = json.loads(self.seen[-1][1])
        return told["type"] == "status" and told["status"] in ("succeeded", "failed", "cancelled")


@pytest.mark.parametrize(
    ("run", "listed_jobs", "many_readers"),
    [(6, 120, 24), pytest.param(60, 500, 50, marks=pytest.mark.long)],
    ids=["6", "60"],
)
def test_each_reader_is_told_every_event_once(
    tmp_path: Path, run: int, listed_jobs: int, many_readers: int
) -> None:
    with Cluster(tmp_path, WORKERS) as cluster:
        url = str(cluster.http.base_url)
        jobs = [cluster.train(epochs=4, seed=seed) for seed in range(run)]
        body = {**cluster.request(**TINY), "priority": "low"}
        idle = []
        for _ in range(listed_jobs - run):
            answer = cluster.http.post("/train-jobs", json=body)
            assert answer.status_code == 202, answer.text
            idle.append(answer.json()["id"])
        readers = [Reader(url, jobs[number % run], number) for number in range(many_readers)]
        for reader in readers:
            reader.start()

        listed: list[str] = []
        after = ""
        while True:
            page = cluster.http.get(f"/train-jobs?limit=50{after}").json()
            listed += [job["id"] for job in page["data"]]
            if not page["has_more"]:
                break
            after = f"&after={page['next']}"
        assert sorted(listed) == sorted(jobs + idle)
        # The last first: the queue moves on between two questions, and only so.
        last, before, first = (
            cluster.http.get(f"/train-jobs/{job}").json()["queue_position"]
            for job in reversed(idle[-3:])
        )
        assert last > before > first > 0

        wait_until(lambda: all(cluster.store.get(job).get("finished_at") for job in jobs))
        for job in idle:
            cluster.http.post(f"/train-jobs/{job}/cancel")
        for reader in readers:
            reader.join(120)
            assert not reader.is_alive()
        for job in jobs:
            assert cluster.store.get(job)["status"] == "succeeded"
        told = {job: [event["id"] for event in cluster.events(job)] for job in jobs}
        for reader in readers:
            assert [identity for identity, _ in reader.seen] == told[reader.job]
        assert sum(reader.drops for reader in readers) >= many_readers
        attempts = [cluster.store.get(job)["attempt"] for job in jobs]
        assert attempts == [1] * run
        workers = {cluster.store.get(job)["worker"] for job in jobs}
        assert len(workers) == WORKERS
