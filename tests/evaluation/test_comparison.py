"""Two reports: other seeds of one generator do not differ, another generator does."""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.fidelity import class_fidelity
from evaluation.images import Images, Protocol
from evaluation.views import Views
from library.report_comparison import compare_reports
from tests.evaluation.pictures import SIDE, chests, real

PROTOCOL = Protocol(draws=10, no_verdict=30)
REPORTS = Path(__file__).parents[2] / "docs/reports"


def views(images: Images) -> Views:
    axes = np.random.default_rng(0).normal(size=(SIDE * SIDE, 32)).astype(np.float32) / SIDE
    pixels = images.levels.reshape(len(images), -1).astype(np.float32) - 128
    return Views.of(images, np.maximum(pixels @ axes, 0).astype(np.float32) / np.float32(20))


def generated(seed: int, grey: int) -> NDArray[np.uint8]:
    """One picture of each patient, of uneven contrast: they vary more than real ones do."""
    levels, owners = chests(100 + seed, 80, 0)
    levels = levels[np.unique(owners, return_index=True)[1]]
    contrast = np.random.default_rng(seed).uniform(0.3, 1, len(levels))[:, None, None]
    return np.clip(grey + (levels - 128.0) * contrast, 0, 255).astype(np.uint8)


@cache
def report(seed: int, grey: int = 110) -> dict[str, Any]:
    levels = generated(seed, grey)
    fakes = Images.of(levels, np.zeros(len(levels), int))
    random = np.random.default_rng(0)
    pool, reference = views(real(1, 140, 1)), views(real(2, 60, 1, first=1000))
    found = class_fidelity("A", pool, reference, views(fakes), "x", PROTOCOL, random, lambda: None)
    return {
        "id": "rp",
        "protocol": {"extractor": "x", "native_resolution": SIDE, "n": {},
                     "metrics": ["kid_x", "fd_x"]},
        "data": {"reference_sha256": ""},
        "fidelity": {"A": found.as_dict()},
    }  # fmt: skip


def test_other_seeds_of_one_generator_do_not_differ_and_another_generator_does() -> None:
    made = [report(seed) for seed in range(6)]
    told = [
        each["better"] != "none"
        for one, other in itertools.combinations(made, 2)
        for each in compare_reports(one, other)
    ]
    assert np.mean(told) < 0.1
    better = {
        each["metric"]: each["better"] for each in compare_reports(made[0], report(9, grey=128))
    }
    assert better["kid_x"] == better["fd_x"] == "other"


def test_the_interval_of_one_report_has_the_numbers_of_other_seeds() -> None:
    made = [report(seed)["fidelity"]["A"] for seed in range(6)]
    for name in ("kid_x", "fd_x", "density"):
        deviation = np.std([each[name] for each in made], ddof=1)
        assert 0.5 < np.mean([each[f"{name}_error"] for each in made]) / deviation < 2
        low, high = made[0][f"{name}_interval"]
        assert low < np.mean([each[name] for each in made]) < high


def test_reports_made_before_there_were_errors_are_still_compared() -> None:
    kept = [json.loads(path.read_text()) for path in sorted(REPORTS.glob("*/*/report.json"))]
    old = [each for each in kept if "NORMAL" in each["fidelity"]]
    for each in old:
        for numbers in each["fidelity"].values():
            for name in [name for name in numbers if name.endswith("_error")]:
                del numbers[name]
    found = compare_reports(old[0], old[1])
    assert {each["label"] for each in found} == {"NORMAL", "PNEUMONIA"}
    assert {each["better"] for each in compare_reports(old[0], old[0])} == {"none"}
