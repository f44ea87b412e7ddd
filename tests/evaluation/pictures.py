"""Chest-like pictures with patients and classes: a lung field, a heart on one side, a shadow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from evaluation.images import Images

SIDE = 48
LABELS = ("HEALTHY", "SHADOW")
FEW = (24, 20)  # patients of each class to train and to test on: a report on them is soon made


def chests(
    seed: int, patients: int, label: int, first: int = 0, side: int = SIDE
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures (n, side, side) and the patient of each, one or two a patient."""
    random = np.random.default_rng([seed, label])
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    pictures, owners = [], []
    for patient in range(patients):
        width, height = random.normal(0.17, 0.015, 2)
        for _ in range(1 + (random.random() < 0.3)):
            tilt = random.normal(0, 0.02)
            greys = np.full((side, side), 150.0) + 40 * (0.5 - np.hypot(x, y))
            for centre in (-0.2, 0.2):
                lung = np.exp(-(((x - centre - tilt) / width) ** 2 + (y / (2 * height)) ** 2))
                greys -= 110 * lung
            greys += 70 * np.exp(-(((x - 0.08) / 0.1) ** 2 + ((y - 0.1) / 0.14) ** 2))
            if label:
                at = random.normal((-0.2, 0.1), 0.03)
                greys += 60 * np.exp(-(((x - at[0]) / 0.1) ** 2 + ((y - at[1]) / 0.1) ** 2))
            noise = Image.fromarray(random.integers(0, 256, (side, side), np.uint8))
            blurred = np.asarray(noise.filter(ImageFilter.GaussianBlur(1.2)), np.float64)
            greys += 0.4 * (blurred - 128)
            pictures.append(np.clip(greys + random.normal(0, 6), 0, 255).astype(np.uint8))
            owners.append(first + patient)
    return np.stack(pictures), np.array(owners, np.int64)


def real(seed: int, patients: int, classes: int = 2, first: int = 0, side: int = SIDE) -> Images:
    """Images of `patients` of each class, all of them of different people."""
    levels, labels, groups = [], [], []
    for label in range(classes):
        pictures, owners = chests(seed, patients, label, first + label * 10_000, side)
        levels.append(pictures)
        labels.append(np.full(len(pictures), label))
        groups.append(owners)
    count = sum(map(len, levels))
    names = tuple(f"{seed}-{i}" for i in range(count))
    return Images(np.concatenate(levels), np.concatenate(labels), np.concatenate(groups), names)


def split_folders(folder: Path, train: int = 45, test: int = 25, seed: int = 1) -> Path:
    """Train and test of such pictures in class folders, the patient in each name: p17_3.png.

    train, test: patients of each class.
    """
    for split, drawn, patients in (("train", seed, train), ("test", seed + 1, test)):
        images = real(drawn, patients, first=1000 * drawn, side=64)
        for i, (levels, label) in enumerate(zip(images.levels, images.classes, strict=True)):
            path = folder / split / LABELS[label] / f"p{images.groups[i]}_{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(levels).save(path)
    return folder
