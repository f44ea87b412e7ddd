"""Faults in random order on jobs that train, until so many have struck; then the checks."""

from __future__ import annotations

import json
import random
import signal
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.faults import checks
from tests.faults.cluster import LEASE_SECONDS, Cluster
from tests.faults.faults import FAULTS, Fault, Missed
from tests.faults.jobs import config, undisturbed
from tests.service.conftest import wait_until
from worker import keys

FEW, MANY = 5, 200  # faults of `make test` and of `make test-long`
END_SECONDS = 600  # for the jobs to end after the last fault


@dataclass
class Struck:
    """One fault that struck: which job, and the moment (s since 1970)."""

    fault: str
    job: str | None
    at: float


@dataclass
class Campaign:
    """What happened, and what was found wrong.  `violations` is empty when all held."""

    seed: int
    struck: list[Struck] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    begun: dict[str, set[float]] = field(default_factory=dict)  # by job: its attempts' beginnings
    recoveries: dict[str, list[float]] = field(default_factory=dict)

    def table(self) -> str:
        """Fault by fault: how often, and how soon its job's next attempt began."""
        rows = ["| fault | struck | next attempt after, s: median, longest |", "|---|---|---|"]
        for fault in FAULTS:
            count = sum(each.fault == fault.name for each in self.struck)
            took = self.recoveries.get(fault.name, [])
            told = f"{statistics.median(took):.1f}, {max(took):.1f}" if took else ""
            rows.append(f"| {fault.name} | {count} | {told} |")
        rows.append(f"| **all** | **{len(self.struck)}** | |")
        return "\n".join(rows)


def run(folder: Path, kills: int, seed: int, workers: int = 2) -> Iterator[Campaign]:
    """Strike `kills` times; yields the campaign after each, and once more when it is checked."""
    dice = random.Random(seed)
    campaign = Campaign(seed)
    with Cluster(folder, workers) as cluster:
        whole = undisturbed(folder / "undisturbed", cluster.dataset)
        coming: list[Fault] = []
        while len(campaign.struck) < kills:
            _keep_busy(cluster, dice, workers)
            coming = coming or dice.sample(FAULTS, len(FAULTS))
            fault = coming.pop()
            _note_attempts(cluster, campaign)  # a wiped Redis does not know them any more
            try:
                job = fault.strike(cluster, dice)
            except Missed:
                campaign.missed.append(fault.name)
                continue
            campaign.struck.append(Struck(fault.name, job, cluster.struck_at))
            yield campaign
        wait_until(cluster.answers)
        _wait_for_ends(cluster)
        campaign.jobs = cluster.store.redis.zrange(keys.JOBS, 0, -1)
        for job in campaign.jobs:
            campaign.violations += checks.of_job(cluster, job, whole)
        campaign.violations += checks.of_cluster(cluster)
        _note_attempts(cluster, campaign)
        _measure(campaign)
        for part in (*cluster.workers, cluster.light, cluster.api):
            part.signal(signal.SIGTERM)
        for part in (*cluster.workers, cluster.light, cluster.api):
            assert part.process is not None
            part.process.wait(120)
        campaign.violations += checks.after_the_end(cluster)
    yield campaign


def _keep_busy(cluster: Cluster, dice: random.Random, workers: int) -> None:
    """One job more than there are workers."""
    while True:
        counts = cluster.store.counts()
        if counts["queued"] + counts["running"] > workers:
            return
        cluster.train(**config(dice))


def _wait_for_ends(cluster: Cluster) -> None:
    until = time.monotonic() + END_SECONDS
    while any(cluster.store.counts()[state] for state in ("queued", "running")):
        if time.monotonic() > until:
            return  # the checks tell
        time.sleep(0.1)
    time.sleep(LEASE_SECONDS)  # a lease that nobody gives up runs out


def _note_attempts(cluster: Cluster, campaign: Campaign) -> None:
    for job in cluster.store.redis.zrange(keys.JOBS, 0, -1):
        for _, fields in cluster.store.redis.xrange(keys.events(job)):
            told = json.loads(fields["event"])
            if told.get("status") == "running" and "attempt" in told:
                moment = datetime.fromisoformat(told["time"]).timestamp()
                campaign.begun.setdefault(job, set()).add(moment)


def _measure(campaign: Campaign) -> None:
    """How soon after a fault its job's next attempt began."""
    for each in campaign.struck:
        begun = campaign.begun.get(each.job or "", set())
        later = [moment for moment in begun if moment > each.at]
        if later:
            campaign.recoveries.setdefault(each.fault, []).append(min(later) - each.at)
