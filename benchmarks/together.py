"""What generation loses while a job trains on the same machine, and the job while images are made.

    python -m benchmarks.together --data FOLDER [--seconds 30] [--rounds 3] [--count 16] [--rate 0]

One service with the bundled model.  Rounds alternate: generation alone, both, training alone, so
that a machine whose speed drifts is fair to all.  Generation is one client in a closed loop, or
with so many requests a second; the job's speed is images shown over time, from its own metrics.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.service.conftest import Service, wait_until


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--rate", type=float, default=0, help="requests a second; 0: closed loop")
    parser.add_argument("--cpu-threads", type=int, default=0, help="of generation; 0: all")
    parser.add_argument("--preset", default="quick")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        threads = arguments.cpu_threads
        given = {"SYNTHORAX_CPU_THREADS": str(threads)} if threads else {}
        service = Service(Path(name), arguments.data.parent.absolute(), given)
        service.start()
        try:
            _measure(service, arguments)
        finally:
            service.close()


def _measure(service: Service, arguments: argparse.Namespace) -> None:
    rates: dict[str, list[float]] = {}
    waits: dict[str, list[float]] = {"alone": [], "both": []}

    def generate(name: str) -> float:
        began, made = time.monotonic(), 0
        while time.monotonic() - began < arguments.seconds:
            sent = time.monotonic()
            body = {"count": arguments.count, "seed": made}
            assert service.http.post("/generate", json=body).status_code == 200
            waits[name].append(1000 * (time.monotonic() - sent))
            made += arguments.count
            if arguments.rate:
                time.sleep(max(0.0, sent + 1 / arguments.rate - time.monotonic()))
        return made / (time.monotonic() - began)

    job = _train(service, arguments)
    for _ in range(arguments.rounds):
        began, shown = time.monotonic(), _shown(service, job)
        rates.setdefault("images made a second, both", []).append(generate("both"))
        speed = (_shown(service, job) - shown) / (time.monotonic() - began)
        rates.setdefault("images shown to the job a second, both", []).append(speed)
        began, shown = time.monotonic(), _shown(service, job)
        time.sleep(arguments.seconds)
        speed = (_shown(service, job) - shown) / (time.monotonic() - began)
        rates.setdefault("images shown to the job a second, alone", []).append(speed)
        service.http.post(f"/train-jobs/{job}/cancel")
        service.ended(job)
        rates.setdefault("images made a second, alone", []).append(generate("alone"))
        changes: dict[str, Any] = {}
        service.http.post(f"/train-jobs/{job}/resume", json=changes)
        wait_until(lambda: service.job(job)["status"] == "running")
        _wait_for_more(service, job)
    service.http.post(f"/train-jobs/{job}/cancel")
    service.ended(job)

    print("| | alone | beside the other | ratio |")
    print("|---|---|---|---|")
    for what in ("images made a second", "images shown to the job a second"):
        alone, both = (statistics.median(rates[f"{what}, {how}"]) for how in ("alone", "both"))
        print(f"| {what} | {alone:.0f} | {both:.0f} | {both / alone:.2f} |")
    for name, part in (("median", 0.5), ("99th percentile", 0.99)):
        alone, both = (_quantile(waits[how], part) for how in ("alone", "both"))
        print(
            f"| {name} of a request for {arguments.count}, ms | {alone:.0f} | {both:.0f} "
            f"| {both / alone:.2f} |"
        )


def _train(service: Service, arguments: argparse.Namespace) -> str:
    body = {
        "dataset": {"path": str(arguments.data.absolute())},
        "model": "beside",
        "preset": arguments.preset,
        "config": {"epochs": 100_000, "seed": 1},
    }
    answer = service.http.post("/train-jobs", json=body)
    assert answer.status_code == 202, answer.text
    job = str(answer.json()["id"])
    wait_until(lambda: service.job(job)["progress"] is not None)
    return job


def _wait_for_more(service: Service, job: str) -> None:
    before = _shown(service, job)
    wait_until(lambda: _shown(service, job) > before)


def _shown(service: Service, job: str) -> int:
    progress = service.job(job)["progress"]
    return int(progress["images"]) if progress else 0


def _quantile(values: list[float], part: float) -> float:
    return sorted(values)[int(part * (len(values) - 1))]


if __name__ == "__main__":
    main()
