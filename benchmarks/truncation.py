"""Fidelity against variety: what the truncation does to a version, a row a psi.

    python -m benchmarks.truncation NAME@VERSION --data-dir DATA --dataset ds-… [--psi 0.7 1 1.15]

KID x 1000 (EfficientNet-Lite0) and the mean MS-SSIM of pairs, each class on its own, of samples
against the validation images; in brackets the MS-SSIM of the validation images themselves.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # faster here: the matrices are small

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from evaluation.msssim import ms_ssim
from evaluation.reading import split_images
from features.distances import kid
from features.extractors import FeatureCache, efficientnet_lite0
from library.datasets.opened import open_dataset
from library.images import to_uint8
from library.latents import latents
from library.versions import ModelLibrary, Version

PSI = (0.7, 0.85, 1.0, 1.15, 1.3, 1.5)
PAIRS = 500


def similarity(levels: NDArray[np.uint8]) -> float:
    """Mean MS-SSIM of random pairs: the lower, the more varied."""
    random = np.random.default_rng(0)
    one = random.integers(0, len(levels), PAIRS)
    other = (one + random.integers(1, len(levels), PAIRS)) % len(levels)
    return float(ms_ssim(levels[one], levels[other]).mean())


def drawn(version: Version, session: Any, label: int, psi: float, count: int) -> NDArray[np.uint8]:
    z = latents(range(count), version.latent_dim, psi)
    made: list[NDArray[np.float32]] = []
    for start in range(0, count, 50):
        inputs: dict[str, Any] = {"z": z[start : start + 50]}
        if version.labels:
            inputs["label"] = np.full(len(inputs["z"]), label, np.int64)
        made.append(session.run(None, inputs)[0])
    return to_uint8(np.concatenate(made)[:, 0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", metavar="NAME@VERSION")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--library", type=Path, help="folder of models ({data dir}/models)")
    parser.add_argument("--dataset", required=True, help="id, with a validation split")
    parser.add_argument("--psi", type=float, nargs="+", default=PSI)
    parser.add_argument("--count", type=int, default=500, help="samples of each label")
    arguments = parser.parse_args()
    data_dir = arguments.data_dir
    version = ModelLibrary(arguments.library or data_dir / "models").find(arguments.model)
    features = FeatureCache(efficientnet_lite0(), data_dir / "features")
    with open_dataset(data_dir, arguments.dataset, lambda *_: None) as opened:
        real = split_images(
            opened, "validation", version.labels, version.resolution, "pad", data_dir / "decoded"
        )
    of_real = features.features(real.levels)
    session = onnxruntime.InferenceSession(version.path / "model.onnx")
    head = ["psi"]
    for k, name in enumerate(version.labels):
        own = similarity(real.levels[real.rows(k)])
        head += [f"KID×1000 {name}", f"MS-SSIM {name} ({own:.3f})"]
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for psi in arguments.psi:
        cells = [f"{psi:g}"]
        for k in range(len(version.labels)):
            levels = drawn(version, session, k, psi, arguments.count)
            distance = kid(of_real[real.rows(k)], features.extractor.features(levels))
            cells += [f"{1000 * distance:.1f}", f"{similarity(levels):.3f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
