"""What the service does for long, for much, and when it is asked for too much.

    python -m benchmarks.endurance idle | soak | archive | overload | drops  [--reference NAME@N]

Each part starts a service of its own (`python -m app`'s, ONNX Runtime) and prints a row for
docs/performance.md: `idle` its CPU when nothing is asked, `soak` its memory over 200,000 images,
`archive` a ZIP of 100,000 against the bare loop, `overload` ten times the load that it can answer
for a minute, `drops` clients of whom a fifth leave in the middle.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.processes import cpu_seconds
from benchmarks.rivals import HOST, start
from benchmarks.rivals.work import load
from benchmarks.serving import bare_loop

PORT = 8161
URL = f"http://{HOST}:{PORT}"
ZIP = {"Accept": "application/zip"}
PNG = {"Accept": "image/png"}


@contextmanager
def service(reference: str, threads: int) -> Iterator[int]:
    with start("synthorax", PORT, reference, threads, null=False) as process:
        yield process.pid


def resident_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in text.splitlines() if line[:6] == "VmRSS:")) / 1024


def counters() -> dict[str, float]:
    """The service's counters and gauges, summed over labels but for reasons and statuses."""
    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(httpx.get(f"{URL}/metrics").text):
        for sample in family.samples:
            reason = sample.labels.get("reason") or sample.labels.get("status")
            found[sample.name if reason is None else f"{sample.name} {reason}"] += sample.value
    return found


def settled() -> dict[str, float]:
    """The counters when nothing is queued and nothing is made any longer."""
    while True:
        before = counters()
        time.sleep(1)
        now = counters()
        same = before["synthorax_images_total"] == now["synthorax_images_total"]
        if same and now["synthorax_queue_images"] == 0:
            return now


def idle(reference: str, threads: int) -> None:
    with service(reference, threads) as pid:
        time.sleep(2)
        before, began = cpu_seconds(pid), time.monotonic()
        time.sleep(30)
        cores = (cpu_seconds(pid) - before) / (time.monotonic() - began)
        print(f"| idle for 30 s | {cores:.4f} cores | {resident_mb(pid):.0f} MB |")


def download(count: int, seed: int) -> tuple[float, int]:
    """Seconds and bytes of a ZIP that is thrown away, by curl: a client in Python would take as
    much of the machine as the service."""
    began = time.perf_counter()
    body = json.dumps({"count": count, "seed": seed})
    command = ["curl", "-sSf", f"{URL}/generate", "-o", os.devnull, "-w", "%{size_download}"]
    headers = ["-H", "Content-Type: application/json", "-H", "Accept: application/zip"]
    done = subprocess.run(
        [*command, *headers, "-d", body], check=True, capture_output=True, text=True
    )
    return time.perf_counter() - began, int(done.stdout)


def archive(reference: str, threads: int, count: int = 100_000) -> None:
    work = load(reference, threads, null=False)
    with service(reference, threads) as pid:
        download(1000, 0)
        before = resident_mb(pid)
        raw = [bare_loop(work, 16, 5).rate]
        peak, done = [before], threading.Event()

        def watch() -> None:
            while not done.wait(0.2):
                peak.append(resident_mb(pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        seconds, size = download(count, 1)
        done.set()
        watcher.join()
        raw.append(bare_loop(work, 16, 5).rate)
        ratio = count / seconds / statistics.mean(raw)
        print(
            f"| ZIP of {count:,} ({size / 2**20:,.0f} MiB) | {count / seconds:,.0f} images/s "
            f"| {ratio:.2f} of the bare loop | {before:.0f} MB before, {max(peak):.0f} MB at most |"
        )


def soak(reference: str, threads: int, total: int = 200_000) -> None:
    random.seed(1)
    with service(reference, threads) as pid, ThreadPoolExecutor(8) as clients:
        download(2000, 0)
        rows = [resident_mb(pid)]
        made = 0

        def some(count: int) -> int:
            if count > 256:
                download(count, random.randrange(2**40))
            else:
                body = {"count": count, "seed": random.randrange(2**40)}
                httpx.post(f"{URL}/generate", json=body, timeout=600).raise_for_status()
            return count

        while made < total:
            counts = [random.choice((1, 1, 4, 16, 64, 256, 1000)) for _ in range(64)]
            made += sum(clients.map(some, counts))
            rows.append(resident_mb(pid))
        middle = rows[len(rows) // 2]
        print(
            f"| {made:,} images in mixed requests | {rows[0]:.0f} MB at the start "
            f"| {middle:.0f} MB halfway | {rows[-1]:.0f} MB at the end "
            f"| {max(rows):.0f} MB at most |"
        )


def overload(reference: str, threads: int, seconds: int = 60) -> None:
    """Ten times as many images asked for as are made, by clients that do not wait for answers."""
    work = load(reference, threads, null=False)
    rate = 10 * bare_loop(work, 16, 3).rate
    statuses: Counter[str] = Counter()
    took: list[float] = []
    lock = threading.Lock()
    with service(reference, threads) as pid, ThreadPoolExecutor(600) as clients:
        limits = httpx.Limits(max_connections=600, max_keepalive_connections=600)
        client = httpx.Client(base_url=URL, timeout=120, limits=limits)

        def ask(count: int, seed: int) -> None:
            began = time.perf_counter()
            try:
                status = str(
                    client.post("/generate", json={"count": count, "seed": seed}).status_code
                )
            except httpx.TransportError as error:
                status = type(error).__name__
            with lock:
                statuses[status] += 1
                if status == "200":
                    took.append(time.perf_counter() - began)

        began, sent, deepest = time.perf_counter(), 0, 0.0
        looked = began
        while (now := time.perf_counter()) - began < seconds:
            while sent < rate * (now - began):
                clients.submit(ask, 16, sent)
                sent += 16
            if now - looked > 2:
                looked = now
                deepest = max(deepest, counters()["synthorax_queue_images"])
            time.sleep(0.01)
        clients.shutdown(wait=True, cancel_futures=True)
        final = settled()
        p99 = statistics.quantiles(took, n=100)[98]
        print(
            f"| {seconds} s of {rate:,.0f} images/s asked for | {dict(statuses)} "
            f"| accepted: p99 {p99:.1f} s, at most {max(took):.1f} s "
            f"| queue at most {deepest:,.0f} images, {final['synthorax_queue_images']:.0f} after "
            f"| {resident_mb(pid):.0f} MB |"
        )


def drops(reference: str, threads: int, requests: int = 200) -> None:
    """A fifth of the clients leave after the first bytes of 1,000 images."""
    with service(reference, threads), ThreadPoolExecutor(32) as clients:
        before = settled()

        def ask(number: int) -> int:
            body = {"count": 1000 if number % 5 == 0 else 16, "seed": 1000 * number}
            read = 0
            with httpx.stream(
                "POST", f"{URL}/generate", json=body, headers=ZIP, timeout=600
            ) as answer:
                answer.raise_for_status()
                for part in answer.iter_raw():
                    read += len(part)
                    if number % 5 == 0:
                        break
            return int(body["count"])

        asked = sum(clients.map(ask, range(requests)))
        after = settled()
        made = after["synthorax_images_total"] - before["synthorax_images_total"]
        dropped = after["synthorax_dropped_images_total disconnected"]
        time.sleep(3)
        later = counters()["synthorax_images_total"] - after["synthorax_images_total"]
        print(
            f"| {requests} requests, a fifth left in the middle | {asked:,} images asked for "
            f"| {made:,.0f} made | {dropped:,.0f} dropped, uncomputed | {later:.0f} made later |"
        )


PARTS = {"idle": idle, "soak": soak, "archive": archive, "overload": overload, "drops": drops}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--reference", default="chest-xray-dcgan@2")
    parser.add_argument("--threads", type=int, default=2, help="of the generator")
    asked = parser.parse_args()
    PARTS[asked.part](asked.reference, asked.threads)


if __name__ == "__main__":
    main()
