"""POST /generate against other servers of the same work, and against the bare loop.

    python -m benchmarks.serving [--rounds 5] [--seconds 4] [--threads 1] [--null] [--only NAME …]

Every round starts each server anew, one after the other, on the bundled paper's generator; the bare
loop (latents, generator, grey levels, PNG in one process, at the batch size of the column) runs
before and after each, so that a server is compared with the machine as it was then.  --null: the
generator costs nothing, as beside an accelerator.  Needs wrk, and `pip install mosec litserve`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass

from benchmarks import wrk
from benchmarks.processes import cpu_seconds
from benchmarks.rivals import BATCH, HOST, KINDS, NULL_BATCH, PATH, REFERENCE, Kind, start
from benchmarks.rivals.work import Work, load

CONNECTIONS = (1, 16, 64)
IN_ONE = 64  # images of the last column's request
PORT = 8151


@dataclass(frozen=True)
class Column:
    """What clients do: connections, images a request, and the batch of the bare loop."""

    title: str
    connections: int
    images: int
    batch: int

    @property
    def accept(self) -> str:
        return "image/png" if self.images == 1 else "application/zip"


@dataclass(frozen=True)
class Raw:
    """The bare loop."""

    rate: float  # images a second
    cpu: float  # seconds an image


@dataclass(frozen=True)
class Seen:
    """A server in one round."""

    rate: float  # images a second
    over_raw: float
    cpu_over_raw: float
    p50_ms: float
    p99_ms: float
    failed: int


def bare_loop(work: Work, batch: int, seconds: float) -> Raw:
    images, seed = 0, 0
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        work.pngs(list(range(seed, seed + batch)))
        images, seed = images + batch, seed + batch
    took = time.perf_counter() - began
    return Raw(images / took, (time.process_time() - cpu) / images)


def columns(null: bool) -> list[Column]:
    batch = NULL_BATCH if null else BATCH
    single = [Column(f"{c} connections", c, 1, min(c, batch)) for c in CONNECTIONS]
    single[0] = Column("1 connection", 1, 1, 1)
    return [*single, Column(f"{IN_ONE} images in one ZIP", 1, IN_ONE, batch)]


def measure(
    kind: Kind, asked: argparse.Namespace, work: Work, wanted: list[Column]
) -> dict[Column, Seen]:
    seen = {}
    with start(kind, PORT, REFERENCE, asked.threads, asked.null) as server:
        for column in wanted:
            if column.images > 1 and kind != "synthorax":
                continue  # one image a request is all that they were built for here
            before = bare_loop(work, column.batch, asked.seconds / 4)
            cpu = cpu_seconds(server.pid)
            load_seen = wrk.run(
                f"http://{HOST}:{PORT}{PATH}",
                column.connections,
                asked.seconds,
                images=column.images,
                accept=column.accept,
            )
            cpu = cpu_seconds(server.pid) - cpu
            after = bare_loop(work, column.batch, asked.seconds / 4)
            rate = load_seen.rps * column.images
            seen[column] = Seen(
                rate=rate,
                over_raw=rate / statistics.mean((before.rate, after.rate)),
                cpu_over_raw=cpu
                / (load_seen.requests * column.images)
                / statistics.mean((before.cpu, after.cpu)),
                p50_ms=load_seen.p50_ms,
                p99_ms=load_seen.p99_ms,
                failed=load_seen.errors + load_seen.non_2xx,
            )
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1, help="of the generator, in every server")
    parser.add_argument("--null", action="store_true", help="the generator costs nothing")
    parser.add_argument("--only", nargs="*", choices=KINDS, default=KINDS)
    asked = parser.parse_args()
    work = load(REFERENCE, asked.threads, asked.null)
    wanted = columns(asked.null)
    results: dict[tuple[Kind, Column], list[Seen]] = defaultdict(list)
    for number in range(asked.rounds):
        # Another order each round: no server always follows the same one.
        turn = number % len(asked.only)
        for kind in (*asked.only[turn:], *asked.only[:turn]):
            for column, seen in measure(kind, asked, work, wanted).items():
                results[kind, column].append(seen)
    for column in wanted:
        print(f"\n{column.title}; bare loop at batch {column.batch}\n")
        print("| server | images/s | over the bare loop | CPU over it | p50 ms | p99 ms | failed |")
        print("|---|---|---|---|---|---|---|")
        for kind in asked.only:
            if rows := results[kind, column]:
                print(row(kind, rows))


def row(kind: Kind, rows: list[Seen]) -> str:
    rates = [seen.rate for seen in rows]

    def middle(name: str) -> float:
        return float(statistics.median(getattr(seen, name) for seen in rows))

    return (
        f"| {kind} | {statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) "
        f"| {middle('over_raw'):.2f} | {middle('cpu_over_raw'):.2f} "
        f"| {middle('p50_ms'):.2f} | {middle('p99_ms'):.2f} "
        f"| {sum(seen.failed for seen in rows)} |"
    )


if __name__ == "__main__":
    main()
