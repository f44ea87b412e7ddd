"""POST /generate over the bare loop of the same backend, and the share that encoding takes.

    python -m benchmarks.gpu.generate --device cuda:0 [--precision float32] [--rounds 3]

For 64 and 256 pixels: an untrained generator of the paper's widths is published into a folder of
its own, sampled by the bare loop (captured graphs on a card) at its largest batch, and asked for
over HTTP in requests of 4,096 images as npy (no encoding) and of 4,096 as ZIP, with 0, 1, 2 and 4
encoder processes.  Runs on a CPU too (--device cpu), so that the command can be tried anywhere.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import onnx
from safetensors.torch import save_file

from app.engine.backend import backend_loader
from app.engine.sampler import Sampler
from library.atomic import new_folder
from library.digest import digest_file, digest_version
from library.latents import SCHEME
from library.settings import Settings
from library.versions import ModelLibrary, Version
from training.export import stored_tensors, to_onnx
from training.networks import build_generator
from training.sampling import estimate_statistics

PORT = 8171
PROCESSES = (0, 1, 2, 4)
BARE_SECONDS = 5


def published(library: ModelLibrary, resolution: int) -> Version:
    """A version with random weights: what it shows is noise, what it costs is real."""
    family = {"family": "dcgan", "resolution": resolution, "latent_dim": 100, "width": 64}
    architecture = {**family, "classes": 0}
    generator = build_generator(architecture).eval()
    estimate_statistics(generator, count=64, chunk=16)
    tensors = stored_tensors(generator)
    name = f"noise-{resolution}"
    with new_folder(library.folder / name) as folder:
        save_file(tensors, folder / "model.safetensors")
        onnx.save(to_onnx(generator), folder / "model.onnx")
        files = {
            file: {"bytes": (folder / file).stat().st_size, "sha256": digest_file(folder / file)}
            for file in ("model.safetensors", "model.onnx")
        }
        identity = {"architecture": architecture, "labels": [], "label_frequencies": []}
        arrays = {key: tensor.numpy() for key, tensor in tensors.items()}
        card = {
            "digest": digest_version(identity, arrays),
            **identity,
            "latents": SCHEME,
            "resolution": resolution,
            "private": False,
            "files": files,
        }
        return library.publish(name, folder, card)


def bare(version: Version, settings: Settings) -> tuple[float, str]:
    """Images a second of latents and generator at the largest batch, and the self-check."""
    sampler = Sampler(version, backend_loader(settings)(version, settings.device))
    batch, images, began = sampler.batch_max, 0, time.perf_counter()
    while time.perf_counter() - began < BARE_SECONDS:
        sampler.levels(range(images, images + batch), [0] * batch)
        images += batch
    return images / (time.perf_counter() - began), sampler.proof.told


@contextmanager
def service(folder: Path, device: str, precision: str, processes: int) -> Iterator[httpx.Client]:
    environment = {
        **os.environ,
        "SYNTHORAX_DATA_DIR": str(folder),
        "SYNTHORAX_PORT": str(PORT),
        "SYNTHORAX_DEVICE": device,
        "SYNTHORAX_PRECISION": precision,
        "SYNTHORAX_ENCODER_PROCESSES": str(processes),
        "SYNTHORAX_DEADLINE_SECONDS": "600",
    }
    process = subprocess.Popen([sys.executable, "-m", "app"], env=environment)
    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=600) as client:
        try:
            while process.poll() is None:
                try:
                    if client.get("/health/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield client
        finally:
            process.terminate()
            process.wait()


def asked(client: httpx.Client, model: str, accept: str, count: int) -> float:
    """Images a second of one request, read to its end."""
    body = {"model": model, "seed": 1, "count": count}
    began = time.perf_counter()
    with client.stream("POST", "/generate", json=body, headers={"Accept": accept}) as answer:
        answer.raise_for_status()
        for _ in answer.iter_raw():
            pass
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=4096, help="images a request")
    given = parser.parse_args()
    settings = Settings(device=given.device, precision=given.precision)
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        library = ModelLibrary(folder / "models", bundled=None)
        versions = {resolution: published(library, resolution) for resolution in (64, 256)}
        print("| pixels | form | encoder processes | images/s | over the bare loop |")
        print("|---|---|---|---|---|")
        for resolution, version in versions.items():
            rate, told = bare(version, settings)
            print(f"| {resolution} | bare loop: {told} | | {rate:,.0f} | 1.00 |")
            for processes in PROCESSES:
                with service(folder, given.device, given.precision, processes) as client:
                    for form in ("application/x-npy", "application/zip"):
                        asked(client, version.reference, form, 256)  # loads, warms
                        rates = [
                            asked(client, version.reference, form, given.count)
                            for _ in range(given.rounds)
                        ]
                        middle = statistics.median(rates)
                        print(
                            f"| {resolution} | {form} | {processes} "
                            f"| {middle:,.0f} | {middle / rate:.2f} |"
                        )


if __name__ == "__main__":
    main()
