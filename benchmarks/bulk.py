"""A generate job over several workers that are killed, against the engines' raw rates.

    python -m benchmarks.bulk [--count 200000] [--workers 3] [--kills 6] [--model NAME@VERSION]

The raw rate is that of the generators alone (latents in, grey levels out), in as many processes at
the same time, before and after.  The job is everything: messages, leases, PNG, tar, digests, disk.
Each kill is SIGKILL for a worker or its child, at a random moment; who is killed is started again.
At the end every shard's digest is compared with the manifest and every seed is looked for.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from benchmarks.processes import tree
from library import generate_jobs
from library.atomic import read_json
from library.generate_jobs import GenerateJob
from library.settings import Settings
from library.versions import ModelLibrary
from tests.valkey import Server
from worker.generation import send_again
from worker.queue import celery_app, enqueue_generation

ROOT = Path(__file__).resolve().parent.parent
RAW_SECONDS = 20
# One engine: says when it is loaded, waits for a line, counts for so many seconds.
RAW = """
import sys, time
from app.engine.backend import backend_loader, devices
from app.engine.sampler import Sampler
from library.settings import from_environment
from library.versions import ModelLibrary
from pathlib import Path
settings = from_environment()
version = ModelLibrary(Path("/nonexistent")).find(sys.argv[1])
sampler = Sampler(version, backend_loader(settings)(version, devices(settings)[0]))
print("ready", flush=True)
sys.stdin.readline()
made, began = 0, time.monotonic()
while time.monotonic() - began < float(sys.argv[2]):
    seeds = range(made, made + 256)
    sampler.levels(seeds, sampler.classes(seeds, [None] * 256))
    made += 256
print(made / (time.monotonic() - began), flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--shard-images", type=int, default=2_000)
    parser.add_argument("--model", default="chest-xray-dcgan@2")
    parser.add_argument("--seed", type=int, default=1, help="of the kills")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="synthorax-") as name:
        before = raw(asked.model, asked.workers)
        rate, kills, job = measured(asked, Path(name))
        after = raw(asked.model, asked.workers)
        images, size = checked(job)
    reference = (before + after) / 2
    columns = "workers | images | shards | killed | raw, images/s | job, images/s | ratio"
    print(f"| {columns} |\n{'|---' * 7}|")
    print(
        f"| {asked.workers} | {images:,} | {job.shards} | {kills} | {before:,.0f}, {after:,.0f} | "
        f"{rate:,.0f} | {rate / reference:.2f} |"
    )
    print(f"every seed once, every digest right, {size / 2**20:,.0f} MiB")


def raw(model: str, processes: int) -> float:
    """Images a second of so many engines together."""
    command = [sys.executable, "-c", RAW, model, str(RAW_SECONDS)]
    environment = {**os.environ, "SYNTHORAX_CPU_THREADS": "1"}
    engines = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(processes)
    ]
    for engine in engines:
        assert engine.stdout is not None
        engine.stdout.readline()
    for engine in engines:
        assert engine.stdin is not None
        engine.stdin.write("go\n")
        engine.stdin.flush()
    return sum(float(engine.communicate()[0]) for engine in engines)


def measured(asked: argparse.Namespace, folder: Path) -> tuple[float, int, GenerateJob]:
    """Images a second from the first message to the manifest; kills; the job."""
    data_dir = folder / "data"
    data_dir.mkdir()
    (folder / "redis").mkdir()
    with Server(folder / "redis") as server:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SYNTHORAX_DATA_DIR": str(data_dir),
            "SYNTHORAX_REDIS_URL": server.url,
            "SYNTHORAX_CPU_THREADS": "1",
        }
        settings = Settings(data_dir=data_dir, redis_url=server.url)
        app = celery_app(settings)

        def worker(number: int) -> subprocess.Popen[bytes]:
            named = {**environment, "SYNTHORAX_WORKER_NAME": f"generation-{number}"}
            command = [sys.executable, "-m", "worker", "generation"]
            return subprocess.Popen(command, cwd=ROOT, env=named, start_new_session=True)

        workers = [worker(i) for i in range(asked.workers)]
        time.sleep(5)  # until they are connected
        version = ModelLibrary(settings.models).find(asked.model)
        record = {
            "created_at": generate_jobs.now(), "model": asked.model, "digest": version.digest,
            "private": False, "labels": None, "seed": 0, "truncation": 1.0, "format": "png",
            "count": asked.count, "container": "webdataset", "shard_images": asked.shard_images,
        }  # fmt: skip
        job, _ = generate_jobs.create(data_dir, generate_jobs.new_identity(), record)
        began = time.monotonic()
        send_again(job, server.client(), partial(enqueue_generation, app))
        kills = followed(job, workers, worker, asked)
        seconds = time.monotonic() - began
        for process in workers:
            process.terminate()
        for process in workers:
            process.wait(90)
    kept = folder / "kept"
    kept.mkdir()
    shutil.move(job.path, kept / job.id)
    return asked.count / seconds, kills, GenerateJob(kept / job.id)


def followed(
    job: GenerateJob,
    workers: list[subprocess.Popen[bytes]],
    worker: Callable[[int], subprocess.Popen[bytes]],
    asked: argparse.Namespace,
) -> int:
    """Kill at random, evenly over the job, until the manifest is there."""
    chance, kills = random.Random(asked.seed), 0
    while job.status != "succeeded":
        time.sleep(0.2)
        part = len(job.done()) / job.shards
        if kills < asked.kills and part > (kills + chance.random()) / (asked.kills + 1):
            with suppress(ProcessLookupError):
                victim = chance.choice(_victims(workers))
                os.kill(victim, signal.SIGKILL)
                kills += 1
        for i, process in enumerate(workers):
            if process.poll() is not None:
                workers[i] = worker(i)
    return kills


def _victims(workers: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    return [pid for process in workers for pid in tree(process.pid)]


def checked(job: GenerateJob) -> tuple[int, int]:
    """Images and bytes of the shards, each compared with the manifest, each seed met once."""
    seeds: list[int] = []
    size = 0
    for number in range(job.shards):
        path = job.shard(number)
        content = path.read_bytes()
        wanted = read_json(job.shard_record(number))["sha256"]
        assert hashlib.sha256(content).hexdigest() == wanted, path
        size += len(content)
        with tarfile.open(path) as archive:
            seeds += [int(n[:16]) for n in archive.getnames() if n.endswith(".png")]
    assert seeds == list(range(job.record["count"]))
    return len(seeds), size


if __name__ == "__main__":
    main()
