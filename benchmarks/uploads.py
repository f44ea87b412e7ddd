"""What an upload, and its validation, cost the API and other requests: python -m benchmarks.uploads

One service with the bundled model.  One client asks for one image at a fixed rate, alone and then
while a ZIP of many images is sent and validated; beside its waits, the API's private memory.

    python -m benchmarks.uploads [--megabytes 1000] [--rate 20] [--seconds 20]
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from tests.service.conftest import Service, wait_until
from tests.service.processes import api_of, private_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20, help="alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = _archive(folder / "x.zip", arguments.megabytes * 10**6)
        service = Service(folder / "data", folder)
        service.data_dir.mkdir()
        service.start()
        try:
            _measure(service, archive, arguments.rate, arguments.seconds)
        finally:
            service.close()


def _archive(path: Path, size: int) -> Path:
    """Noise, so that nothing packs: 1,024-pixel PNGs of a megabyte."""
    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        number = 0
        while not path.exists() or archive.fp is None or archive.fp.tell() < size:
            out = io.BytesIO()
            noise = random.integers(0, 256, (1024, 1024), dtype=np.uint8)
            Image.fromarray(noise).save(out, "PNG", compress_level=1)
            archive.writestr(f"{'AB'[number % 2]}/{number}.png", out.getvalue())
            number += 1
    return path


def _measure(service: Service, archive: Path, rate: float, seconds: float) -> None:
    api = api_of(service)
    waits: dict[str, list[float]] = {}
    memory: dict[str, int] = {}
    phase, ended = "alone", threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=service.url, timeout=60) as http:
            seed = 0
            while not ended.is_set():
                began, name = time.monotonic(), phase
                answer = http.post("/generate", json={"seed": seed})
                assert answer.status_code == 200, answer.text
                waits.setdefault(name, []).append(1000 * (time.monotonic() - began))
                memory[name] = max(memory.get(name, 0), private_bytes(api))
                seed += 1
                time.sleep(max(0.0, began + 1 / rate - time.monotonic()))

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(seconds)
    phase, began = "sending", time.monotonic()
    headers = {"Content-Type": "application/zip", "Content-Length": str(archive.stat().st_size)}
    answer = service.http.post("/datasets", content=_parts(archive), headers=headers, timeout=600)
    assert answer.status_code == 202, answer.text
    sent = time.monotonic() - began
    phase, began = "validating", time.monotonic()
    address = answer.headers["Location"]
    wait_until(lambda: service.http.get(address).json()["status"] == "ready")
    validated = time.monotonic() - began
    ended.set()
    thread.join()

    size = archive.stat().st_size
    print(f"{size / 1e6:.0f} MB in {service.http.get(address).json()['images']} images on "
          f"{os.cpu_count()} cores: sent in {sent:.1f} s ({size / 1e6 / sent:.0f} MB/s), validated "
          f"in {validated:.1f} s.\n")  # fmt: skip
    print(f"| one image, {rate:g} a second | requests | median ms | 99% ms | ratio of medians "
          "| API, private MiB |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    alone = sorted(waits["alone"])
    for name, found in waits.items():
        found = sorted(found)
        ratio = _part(found, 0.5) / _part(alone, 0.5)
        print(
            f"| {name} | {len(found)} | {_part(found, 0.5):.1f} | {_part(found, 0.99):.1f} | "
            f"{ratio:.2f} | {memory[name] / 2**20:.0f} |"
        )


def _parts(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            yield part


def _part(found: list[float], part: float) -> float:
    return found[int(part * (len(found) - 1))]


if __name__ == "__main__":
    main()
