"""What must hold after any number of faults, each violation as a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from safetensors.numpy import load_file

from library.runs import RunFolder, checkpoints, run_folder
from library.versions import ModelLibrary, Version
from tests.faults.cluster import Cluster
from tests.faults.jobs import EPOCHS
from worker.records import TERMINAL


def of_job(cluster: Cluster, job: str, undisturbed: Mapping[int, RunFolder]) -> Iterator[str]:
    """Violations of one job that has ended."""
    shown = cluster.http.get(f"/train-jobs/{job}").json()
    run = run_folder(cluster.data_dir, job)
    if shown["status"] != "succeeded":
        yield f"{job} {shown['status']}: {shown['error']}"
        return
    yield from _events(job, cluster.events(job))
    yield from _metrics(job, run)
    whole = undisturbed[shown["config"]["seed"]]
    if _final(run) != _final(whole):
        yield f"{job}: other weights than the undisturbed run's"
    published = [
        version.reference
        for version in ModelLibrary(cluster.data_dir / "models").versions()
        if isinstance(version, Version) and version.card.get("job") == job
    ]
    if published != [shown["model"]]:
        yield f"{job}: published {published}, and its record says {shown['model']}"
    left = [str(path) for path in run.path.rglob("*.tmp")]
    left += [str(path) for path in (cluster.data_dir / "models").glob(f"*/.{job}.*.tmp")]
    if left:
        yield f"{job}: left {left}"


def _events(job: str, events: list[dict[str, Any]]) -> Iterator[str]:
    ids = [tuple(map(int, event["id"].split("-"))) for event in events]
    if ids != sorted(set(ids)):
        yield f"{job}: events out of order"
    ends = [e["status"] for e in events if e["type"] == "status" and e["status"] in TERMINAL]
    if ends != ["succeeded"]:
        yield f"{job}: ended {ends}"
    told = Counter(
        (event["time"], event["scope"], event["step"])
        for event in events
        if event["type"] == "metric"
    )
    twice = [key for key, count in told.items() if count > 1]
    if twice:
        yield f"{job}: told twice: {twice[:3]}"


def _metrics(job: str, run: RunFolder) -> Iterator[str]:
    lines = run.read_metrics()
    epochs = [line["epoch"] for line in lines if line["scope"] == "epoch"]
    if epochs != list(range(1, EPOCHS + 1)):
        yield f"{job}: epochs {epochs}"
    steps = [(line["step"], line["scope"]) for line in lines]
    if len(set(steps)) != len(steps):
        yield f"{job}: a step is there twice"


def _final(run: RunFolder) -> dict[str, bytes]:
    newest = checkpoints(run.checkpoints)[0]
    tensors = load_file(newest)
    return {name: tensor.tobytes() for name, tensor in tensors.items()} | {
        "step": newest.stem.encode()
    }


def of_cluster(cluster: Cluster) -> Iterator[str]:
    """Violations of what must be left when every job has ended, and all parts still run."""
    counts = cluster.store.counts()
    if counts["queued"] or counts["running"]:
        yield f"jobs that have not ended: {counts}"
    if cluster.leases():
        yield f"leases that are left: {cluster.leases()}"
    if cluster.trainers():
        yield f"trainers that are left: {cluster.trainers()}"


def after_the_end(cluster: Cluster) -> Iterator[str]:
    """Violations once the parts were told to stop."""
    if cluster.processes():
        yield f"processes that are left: {cluster.processes()}"
