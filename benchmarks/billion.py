"""What a billion images a day take, from what one core (or card) makes of a version.

    python -m benchmarks.billion [--seconds 10]

A shard is made as a worker makes it (generator with one thread, PNG, tar, SHA-256, fsync); the
generator alone runs before and after it.  The rest is arithmetic.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from app.engine.backend import backend_loader, devices
from app.engine.loaded import Loaded
from app.engine.sampler import Sampler
from app.generate_jobs.making import make_shard
from library import generate_jobs
from library.settings import from_environment
from library.versions import ModelLibrary, Version

A_DAY = 1_000_000_000
SECONDS_A_DAY = 86_400
PART = 64
MODELS = (
    "chest-xray-dcgan@2",
    "chest-xray-turbo@2",
    "chest-xray-flagship@1",
    "chest-xray-turbo-128@1",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--models", nargs="+", default=MODELS)
    asked = parser.parse_args()
    print(f"{A_DAY / SECONDS_A_DAY:,.0f} images a second")
    columns = (
        "version | pixels | generator alone, images/s | shard, images/s | ratio | bytes an image"
    )
    print(f"| {columns} | cores (cards) | TB a day | MB a second |\n{'|---' * 9}|")
    for model in asked.models:
        row(ModelLibrary(Path("/nonexistent")).find(model), asked.seconds)


def row(version: Version, seconds: float) -> None:
    settings = replace(from_environment(), cpu_threads=1)
    sampler = Sampler(version, backend_loader(settings)(version, devices(settings)[0]))
    before = alone(sampler, seconds / 2)
    count = max(PART, int(before * seconds))
    with tempfile.TemporaryDirectory(prefix="synthorax-") as name:
        record = {
            "model": version.reference, "labels": None, "seed": 0, "truncation": 1.0,
            "format": "png", "count": count, "container": "webdataset", "shard_images": count,
        }  # fmt: skip
        job, _ = generate_jobs.create(Path(name), generate_jobs.new_identity(), record)
        began = time.monotonic()
        made = make_shard(job, 0, Loaded(version, (sampler,), 0), lambda _: None)
        rate = count / (time.monotonic() - began)
    after = alone(sampler, seconds / 2)
    size, cores = made["bytes"] / count, A_DAY / SECONDS_A_DAY / rate
    raw = (before + after) / 2
    print(
        f"| {version.reference} | {version.resolution} | {raw:,.0f} | {rate:,.0f} | "
        f"{rate / raw:.2f} | {size:,.0f} | {cores:,.0f} | "
        f"{size * A_DAY / 1e12:.1f} | {size * A_DAY / SECONDS_A_DAY / 1e6:,.0f} |"
    )


def alone(sampler: Sampler, seconds: float) -> float:
    """Images a second of the generator, latents included."""
    made, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        seeds = range(made, made + PART)
        sampler.levels(seeds, sampler.classes(seeds, [None] * PART))
        made += PART
    return made / (time.monotonic() - began)


if __name__ == "__main__":
    main()
