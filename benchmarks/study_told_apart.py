"""How often is a perfect generator said to be told apart?

    python -m benchmarks.study_told_apart [--repeats 300]

Features of real and of synthetic images from one normal distribution, those of real ones of
patients with several images or one each; a linear probe out of fold, judged by studies.shortcuts
as a study's is.  Beside it what resampling the images alone would say.  Table: docs/studies.md.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch

from evaluation.probe import out_of_fold
from studies import shortcuts
from studies.intervals import Estimate
from studies.predictions import ToldApart

# images of each kind, patients of the real ones, features
SETTINGS = ((150, 150, 100), (400, 180, 200), (150, 150, 400))
ALIKE = 0.3  # variance that a patient's images have in common


def judged(images: int, patients: int, features: int, random: np.random.Generator) -> Estimate:
    """The probe's AUROC in one study."""
    group = np.r_[np.arange(patients), random.integers(patients, size=images - patients)]
    real = np.sqrt(ALIKE) * random.normal(size=(patients, features))[group]
    real += np.sqrt(1 - ALIKE) * random.normal(size=(images, features))
    pictures = np.r_[real, random.normal(size=(images, features))].astype(np.float32)
    synthetic = np.repeat([0, 1], images)
    groups = np.r_[group, patients + np.arange(images)]
    scores = out_of_fold(pictures, synthetic, groups, 2, random)[:, 1].astype(np.float64)
    return shortcuts.auroc(ToldApart(scores, synthetic == 1, groups, synthetic), random)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| images of each kind | patients | features | AUROC | told apart | held 0.5 "
        "| told apart, images resampled alone | held 0.5 | variance of the AUROC / claimed alone |"
        f"\n|{'---|' * 9}"
    )
    for setting in SETTINGS:
        found = [
            judged(*setting, np.random.default_rng([given.seed, repeat, *setting]))
            for repeat in range(given.repeats)
        ]
        alone = [replace(each, variance=each.variance / shortcuts.WIDER) for each in found]
        cells = [f"{n}" for n in setting]
        values = np.array([each.value for each in found])
        cells.append(f"{values.mean():.3f}")
        for intervals in (found, alone):
            ends = np.array([each.share_interval for each in intervals])
            low, high = ends.T
            cells += [f"{(low > 0.5).mean():.1%}", f"{((low <= 0.5) & (high >= 0.5)).mean():.1%}"]
        claimed = np.mean([each.variance for each in alone])
        cells.append(f"{values.var(ddof=1) / claimed:.2f}")
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
