"""A worker's numbers: through the pipe from whichever process, asked for with a key."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from library.keys import KeyFile, new_key
from library.settings import Settings
from tests.service.conftest import free_port, wait_until
from worker import counts, exposition
from worker.training_counts import count

METRIC = {
    "type": "metric", "epoch": 2, "epochs": 3, "images": 20_500, "eta_seconds": 7.0,
    "loss_d": 1.5, "loss_g": 0.5, "d_x": 0.5, "d_g_z1": 0.25, "images_per_second": 4.0,
}  # fmt: skip


@pytest.fixture
def numbers() -> Iterator[counts.Counts]:
    made = counts.Counts()
    yield made
    assert counts._pipe is not None
    os.close(counts._pipe)
    counts._pipe = None


def samples(numbers: counts.Counts) -> dict[str, float]:
    """Values by name and labels."""
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in text_string_to_metric_families(numbers.exposition().decode())
        for sample in family.samples
    }


def in_a_child(action: object) -> int:
    """Do something in a forked process, as the pool's; its wait status."""
    child = os.fork()
    if child == 0:
        assert callable(action)
        action()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def test_a_pool_process_counts_in_the_main_one(numbers: counts.Counts) -> None:
    def work() -> None:
        counts.add("synthorax_attempts_total")
        counts.took("synthorax_job_run_seconds", 90.0, outcome="failed")
        count("job-1", METRIC)
        count("job-1", {"type": "validation", "kid": 0.25})

    before = samples(numbers)
    assert before["synthorax_attempt_ends_total['failed']"] == 0  # there before the first one
    assert in_a_child(work) == 0
    wait_until(lambda: "synthorax_training_kid['job-1']" in samples(numbers))
    found = samples(numbers)
    assert found["synthorax_attempts_total[]"] == before["synthorax_attempts_total[]"] + 1
    assert found["synthorax_job_run_seconds_sum['failed']"] == 90
    assert found["synthorax_training_epoch['job-1']"] == 2
    assert found["synthorax_training_kimg['job-1']"] == 20.5
    assert found["synthorax_training_loss['generator', 'job-1']"] == 0.5
    assert in_a_child(counts.forget) == 0
    wait_until(lambda: not any("job-1" in name for name in samples(numbers)))
    assert samples(numbers)["synthorax_job_run_seconds_sum['failed']"] == 90  # that stays


def test_a_pool_process_that_is_killed_keeps_nobody_from_counting(numbers: counts.Counts) -> None:
    def die() -> None:
        for _ in range(200):
            counts.add("synthorax_attempts_total")
        os.kill(os.getpid(), signal.SIGKILL)

    assert os.WTERMSIG(in_a_child(die)) == signal.SIGKILL
    counts.add("synthorax_attempts_total")
    wait_until(lambda: samples(numbers)["synthorax_attempts_total[]"] == 201)


def test_the_numbers_of_a_job_go_with_a_process_that_cannot_say_so(
    numbers: counts.Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    count("job-1", METRIC)
    wait_until(lambda: any("job-1" in name for name in samples(numbers)))
    monkeypatch.setattr(counts, "_SILENT_SECONDS", 0.0)
    assert not any("job-1" in name for name in samples(numbers))


def test_a_full_pipe_costs_numbers_and_no_time(
    numbers: counts.Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with numbers._lock:  # nobody reads
        for _ in range(10_000):
            counts.add("synthorax_attempts_total")
    wait_until(lambda: samples(numbers)["synthorax_attempts_total[]"] > 100)
    monkeypatch.setattr(counts, "_pipe", None)
    counts.add("synthorax_attempts_total")  # nobody asks for numbers


def test_numbers_are_given_to_a_key_where_keys_are_asked_for(
    numbers: counts.Counts, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, worker_metrics_port=free_port())
    url = f"http://127.0.0.1:{settings.worker_metrics_port}/metrics"
    exposition.serve(numbers, settings)

    def answer(**headers: str) -> int:
        try:
            return httpx.get(url, headers=headers).status_code
        except httpx.TransportError:
            return 0

    wait_until(lambda: answer() == 200)
    assert httpx.get(url.removesuffix("metrics")).status_code == 404
    # A second worker on the port waits for it, and works on.
    exposition.serve(numbers, replace(settings))
    key, text = new_key("prometheus", "generate")
    KeyFile(tmp_path).add(key)
    wait_until(lambda: answer() == 401)
    assert answer(Authorization="Bearer synthorax_wrong") == 401
    assert answer(Authorization=f"Bearer {text}") == 200
