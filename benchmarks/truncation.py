"""Fidelity against variety: what the truncation does to a version, a row a psi.

    python -m benchmarks.truncation NAME@VERSION --data-dir DATA --dataset ds-… [--psi 0.7 1 1.15]

KID x 1000 (EfficientNet-Lite0) and the mean MS-SSIM of pairs, each class on its own, of samples
against the validation images; in brackets the MS-SSIM of the validation images themselves.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # faster here: the matrices are small

import numpy as np

from evaluation.fidelity import pair_likeness
from evaluation.images import Images
from evaluation.reading import generated, split_images
from features.distances import kid
from features.extractors import FeatureCache, efficientnet_lite0
from library.datasets.opened import open_dataset
from library.versions import ModelLibrary

PSI = (0.7, 0.85, 1.0, 1.15, 1.3, 1.5)
PAIRS = 500


def similarity(images: Images, label: int) -> float:
    """Mean MS-SSIM of random pairs of a class: the lower, the more varied."""
    random = np.random.default_rng(0)
    return float(pair_likeness(images.taken(images.rows(label)), PAIRS, random).mean())


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
    head = ["psi"]
    for k, name in enumerate(version.labels):
        own = similarity(real, k)
        head += [f"KID×1000 {name}", f"MS-SSIM {name} ({own:.3f})"]
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for psi in arguments.psi:
        cells, made = [f"{psi:g}"], generated(version, arguments.count, 0, truncation=psi)
        for k in range(len(version.labels)):
            levels = made.levels[made.rows(k)]
            distance = kid(of_real[real.rows(k)], features.extractor.features(levels))
            cells += [f"{1000 * distance:.1f}", f"{similarity(made, k):.3f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
