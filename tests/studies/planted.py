"""A study's folder with planted predictions, as its units would leave it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.atomic import write_json
from library.studies.config import WITH_SYNTHETIC
from library.studies.folder import Study, create
from library.studies.resolving import resolve
from library.studies.units import GENERATOR, PREPARE, RUNS, partitions, runs_without_synthetic
from studies.predictions import WITH_RATIO, Arm

LABELS = ["NORMAL", "PNEUMONIA"]
ARMS = ("real", "duplicates", "synthetic", "real_synthetic", "one_class")
NOISE = 0.5


def planted_study(
    data_dir: Path,
    given: dict[str, Any],
    gains: dict[str, float],
    images: int = 240,
    large: int = 0,
) -> Study:
    """gains: of an arm's scores, in deviations, beside a signal of 1.

    Patients have two images each, and the first half of the images is trained on.
    """
    config = resolve(
        {
            "positive": "PNEUMONIA", "classifiers": ["probe"], "primary_classifier": "probe",
            "arms": list(ARMS), "seed": 5, "generators": 2, "seeds": 2, **given,
        }
    )  # fmt: skip
    study = create(data_dir, "st-0123456789abcdef", {"dataset": "d", "config": config.as_dict()})
    random = np.random.default_rng(0)
    groups = np.arange(images) // 2
    classes = random.integers(0, 2, images)
    seen = classes + random.normal(size=images // 2)[groups] / 2 + random.normal(size=images)
    rows, arrays = np.arange(images), {"classes": classes, "groups": groups}
    far = rows[:large][classes[:large] == 1]
    counted: dict[str, Any] = {}
    for part in partitions(config):
        if config.kind == "small_class":
            used = rows[large:]
            dealt = np.random.default_rng(part.repeat).permutation(images // 2)[groups[used]]
            test = used[dealt % config.folds == part.fold]
        else:
            used, test = rows, rows[images // 2 :]
        arrays[f"train/{part.name}"] = np.setdiff1d(used, test)
        arrays[f"test/{part.name}"] = test
        counted[part.name] = {
            "test": {"images": len(test)},
            "train": {"images": images - len(test)},
        }
    arrays["large"] = far
    np.savez(study.partitions, **arrays)  # type: ignore[arg-type]
    write_json(
        study.unit_record(PREPARE),
        {
            "unit": PREPARE, "labels": LABELS, "positive": 1, "images": images,
            "patients_known": True, "partitions": counted,
            "large": {"images": len(far), "patients": len(np.unique(groups[far]))},
            "dataset": {"id": "d", "name": "planted", "fingerprint": "0" * 64},
        },
    )  # fmt: skip
    for unit in study.units:
        if unit.kind == GENERATOR:
            made = {"images": 640, "steps": 10, "chosen": {"kid": 0.25}}
            write_json(study.unit_record(unit.name), {"unit": unit.name, **made})
        if unit.kind != RUNS:
            continue
        found: dict[str, NDArray[Any]] = {}
        test = arrays[f"test/{unit.partition}"]
        for classifier in config.classifiers:
            for name in config.arms:
                if name not in WITH_SYNTHETIC and not runs_without_synthetic(config, unit):
                    continue
                arm = Arm(classifier, name, config.ratio if name in WITH_RATIO else None)
                of = seen + gains.get(name, 0.0) * classes
                found[arm.key] = probabilities(of[test], config.seeds, random)
                if len(far):
                    found[f"large/{arm.key}"] = probabilities(of[far], config.seeds, random)
                if name in ("one_class", "real_synthetic"):
                    odd = np.full(80, 2.0 if name == "one_class" else 0.0)
                    odd += random.normal(size=80)
                    found[f"shortcut/{arm.key}"] = probabilities(odd, config.seeds, random)
        synthetic = np.repeat([False, True], 60)
        found["told_apart/score"] = random.normal(size=120) + 2 * synthetic
        found["told_apart/synthetic"] = synthetic
        found["told_apart/group"] = np.arange(120)
        found["told_apart/label"] = np.arange(120) % 2
        np.savez(study.unit_arrays(unit.name), **found)  # type: ignore[arg-type]
        write_json(study.unit_record(unit.name), {"unit": unit.name, "seconds": 1.0})
    return study


def probabilities(
    scores: NDArray[np.float64], seeds: int, random: np.random.Generator
) -> NDArray[np.float32]:
    noisy = scores - 0.5 + NOISE * random.normal(size=(seeds, len(scores)))
    found: NDArray[np.float32] = (1 / (1 + np.exp(-noisy))).astype(np.float32)
    return found
