"""Results of studies that nobody ran: of every verdict and kind, for the pages made of them."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from library.studies.config import NETWORK_ONLY, PROBE, StudyConfig
from library.studies.resolving import resolve
from library.studies.units import generators_of, partitions

DELTA = 0.01
# Difference of the primary contrast and half its interval.
EFFECTS: dict[str, tuple[float, float] | None] = {
    "benefit": (0.024, 0.011),
    "equivalent": (0.001, 0.006),
    "inconclusive": (0.008, 0.021),
    "harm": (-0.031, 0.014),
    "none": None,
}
LIGHTS = {"benefit": "green", "harm": "red", "none": "grey"}
FEW = ("real", "duplicates", "real_synthetic", "one_class")
AWKWARD = r"""=<b>&"'$_{%\frac$ 肺炎 [*] | `#~^ PNEUMONIA/""" + "\u202eabc"
LONG = "PNEUMONIA_WITH_A_NAME_THAT_NEVER_ENDS_" * 5
# What the statistics hold each arm against.
_CONTROLS = {
    "real_synthetic": ("duplicates", "real", "augmented", "weighted", "oversampled"),
    "augmented_synthetic": ("augmented",),
}
_SHIFTS = {
    "real": 0.0, "duplicates": 0.001, "synthetic": -0.12, "augmented": 0.012, "weighted": -0.002,
    "oversampled": 0.0, "augmented_synthetic": 0.015, "pretrained": 0.004, "one_class": -0.01,
}  # fmt: skip


def content(
    verdict: str = "benefit",
    kind: str = "usefulness",
    sizes: tuple[float, ...] = (1.0,),
    yours: tuple[str, ...] = (),
    positive: str = "PNEUMONIA",
    other_ratios: tuple[float, ...] = (),
    patients_known: bool = True,
    arms_of: tuple[str, ...] = (),
) -> dict[str, Any]:
    """What the statistics write, as JSON would give it back."""
    small = kind == "small_class"
    config = resolve(
        {
            "kind": kind, "positive": positive, "sizes": list(sizes), "seed": 7,
            "smallest_useful_effect": DELTA, "other_ratios": list(other_ratios),
            "arms": list(arms_of), "name": "Does it help?", "small_count": 120 if small else 0,
        }
    )  # fmt: skip
    draw = np.random.default_rng(11)
    groups = [*product(config.classifiers, config.sizes), *((f"yours:{y}", 1.0) for y in yours)]
    arms = [
        _arm(draw, classifier, size, arm, ratio, verdict)
        for classifier, size in groups
        for arm, ratio in _arms(config)
        if not (classifier == PROBE and arm in NETWORK_ONLY)
    ]
    contrasts = [
        _contrast(draw, config, classifier, size, arm, ratio, control, verdict)
        for classifier, size in groups
        for arm, ratio in _arms(config)
        if arm != "real" and not (classifier == PROBE and arm in NETWORK_ONLY)
        for control in _CONTROLS.get(arm, ("real",))
        if control in config.arms and not (classifier == PROBE and control in NETWORK_ONLY)
    ]  # fmt: skip
    primary = next(each for each in contrasts if each["primary"])
    labels = ["NORMAL", positive]
    lights = {
        "usefulness": LIGHTS.get(verdict, "amber"), "shortcut": "red" if small else "green",
        "told_apart": "amber",
    }  # fmt: skip
    return {
        "schema": 1, "study": "st-0123456789abcdef", "kind": kind, "name": config.name,
        "config": config.as_dict(), "labels": labels, "positive": positive,
        "verdict": {
            "verdict": "inconclusive" if verdict == "none" else verdict,
            "text": _said(verdict, positive),
            "contrast": primary,
        },
        "lights": lights,
        "checks": [
            {"light": light, "name": name, "verdict": found,
             "text": f"{name} of {positive}: {found}"}
            for light, found in lights.items()
            for name in ("first check", "second check")
        ],
        "data": {
            "dataset": {"id": "ds-0123456789ab", "name": f"chests of {positive}",
                        "fingerprint": "ab" * 32, "attribution": "Somebody et al., CC BY 4.0"},
            "partitions": _partitions(config, labels, patients_known),
            "patients_known": patients_known,
            "test_split": "folds" if small else "held_out",
            "large_test": _large_test(positive, patients_known) if small else None,
        },
        "generators": [
            {"size": partition.size, "generator": generator, "partition": partition.name,
             "images": 70_400 + 64 * generator, "steps": 1_100 + generator,
             "kid": 0.125 if generator else None,
             "collapsed": 80_000 if generator == 1 else None}
            for partition in partitions(config)
            for generator in generators_of(config, partition)
            if config.generator.trained
        ],
        "arms": arms,
        "contrasts": contrasts,
        "told_apart": [
            {"size": partition.size, "generator": generator, "auroc": 0.8 + 0.01 * generator,
             "interval": [0.75 + 0.01 * generator, 0.85 + 0.01 * generator], "n": 400}
            for partition in partitions(config)
            for generator in generators_of(config, partition)
        ],
        "shortcut": [
            {"classifier": classifier, "size": size, "arm": arm, "rate_synthetic": 0.2 + shift,
             "rate_real": 0.18, "difference": 0.02 + shift,
             "interval": [shift - 0.02, shift + 0.06]}
            for classifier, size in groups
            for arm, shift in (("one_class", 0.4), ("real_synthetic", 0.0))
        ],
        "large_test": [
            {"classifier": classifier, "arm": arm, "ratio": ratio,
             "cross_validated": {"value": 0.9, "interval": [0.85, 0.94]},
             "large": {"value": 0.88 if arm == "real" else 0.82}, "inside": arm == "real"}
            for classifier in config.classifiers
            for arm, ratio in (("real", None), ("real_synthetic", 1.0))
        ] if small else None,
        "limits": ["One data set of one hospital.", f"Nothing beyond {positive} was looked at."],
        "software": {"synthorax": "0.1.0", "numpy": "2.3.1", "torch": "2.13.0"},
    }  # fmt: skip


def _large_test(positive: str, patients_known: bool) -> dict[str, Any]:
    return {"images": 1234, "patients": 987 if patients_known else None,
            "labels": {positive: 1234}, "set_aside": 56}  # fmt: skip


def _said(verdict: str, positive: str) -> str:
    effect = EFFECTS[verdict]
    if effect is None:
        return "No verdict: the AUROC's difference has no interval."
    middle, half = effect
    return (
        f"Of {positive}, {verdict}: AUROC {middle:+.4f} (95% interval {middle - half:+.4f} to "
        f"{middle + half:+.4f}) with one synthetic image for each real one, against as many "
        "duplicates (network)."
    )


def _arms(config: StudyConfig) -> list[tuple[str, float | None]]:
    with_ratio = {"duplicates", "real_synthetic", "augmented_synthetic", "pretrained", "one_class"}
    return [
        (arm, ratio)
        for arm in config.arms
        for ratio in (config.ratios if arm in with_ratio else (None,))
    ]  # fmt: skip


def _arm(
    draw: np.random.Generator, classifier: str, size: float, arm: str, ratio: float | None,
    verdict: str,
) -> dict[str, Any]:  # fmt: skip
    effect = EFFECTS[verdict]
    shift = _SHIFTS.get(arm, 0.001 + (effect[0] if effect else 0.0))
    auroc = 0.93 + 0.04 * np.log(size) + shift + draw.normal(0, 0.001)
    near = {
        "auroc": auroc, "auprc": auroc - 0.05, "sensitivity": auroc - 0.15, "brier": 1 - auroc,
        "calibration_slope": 0.9, "calibration_intercept": -0.12,
    }  # fmt: skip
    metrics = {
        name: {"value": float(v), "interval": [float(v) - 0.02, float(v) + 0.018]}
        for name, v in near.items()
    }
    if effect is None:
        metrics = {name: {"value": None, "interval": [None, None]} for name in near}
    return {
        "classifier": classifier, "size": size, "arm": arm, "ratio": ratio, "runs": 9, "draws": 3,
        "metrics": metrics, "spread": {"patients": 0.008, "draws": 0.004, "seeds": 0.003},
    }  # fmt: skip


def _contrast(
    draw: np.random.Generator, config: StudyConfig, classifier: str, size: float, arm: str,
    ratio: float | None, control: str, verdict: str,
) -> dict[str, Any]:  # fmt: skip
    primary = (classifier, size, arm, ratio, control) == (
        config.primary_classifier, config.sizes[0], "real_synthetic", config.ratio, "duplicates"
    )  # fmt: skip
    effect = EFFECTS[verdict]
    found: dict[str, Any] = {
        "classifier": classifier, "size": size, "arm": arm, "ratio": ratio,
        "control": control, "metric": config.metric,
        "difference": None, "interval": [None, None], "p": None, "p_holm": None,
        "verdict": "inconclusive", "primary": primary, "df": None, "spread": {},
    }  # fmt: skip
    if effect is None:
        return found
    middle, half = effect
    if not primary:
        middle = _SHIFTS.get(arm, middle * size) + draw.normal(0, 0.003)
        half = half * (2 - size)
    low, high = float(middle - half), float(middle + half)
    p = float(np.exp(-2 * abs(middle) / half))
    certain = primary or 20 * p <= 0.05
    judged = (
        "equivalent" if -DELTA < low and high < DELTA
        else "benefit" if low > 0 and certain else "harm" if high < 0 and certain
        else "inconclusive"
    )  # fmt: skip
    found |= {
        "difference": float(middle), "interval": [low, high], "p": p,
        "p_holm": None if primary else min(1.0, 20 * p), "verdict": judged, "df": 6.4,
        "spread": {"patients": half / 3, "draws": half / 4, "seeds": half / 5},
    }  # fmt: skip
    return found


def _partitions(
    config: StudyConfig, labels: list[str], patients_known: bool
) -> list[dict[str, Any]]:
    def counted(images: int) -> dict[str, Any]:
        positive = images // 3
        return {
            "images": images, "patients": images // 2 if patients_known else None,
            "labels": {labels[0]: images - positive, labels[1]: positive},
        }  # fmt: skip

    return [
        {
            "name": each.name, "size": each.size,
            "train": counted(int(4000 * each.size) + 3 * number), "test": counted(624),
        }
        for number, each in enumerate(partitions(config))
    ]  # fmt: skip


def every() -> dict[str, dict[str, Any]]:
    """Name -> content: each verdict, each kind, sizes, own models, names that break things."""
    found = {verdict: content(verdict) for verdict in EFFECTS}
    found["three sizes"] = content("inconclusive", sizes=(1.0, 0.25, 0.1), arms_of=FEW)
    found["yours"] = content("equivalent", yours=("resnet 50", "densenet"))
    found["small class"] = content("benefit", kind="small_class", positive="VIRUS", arms_of=FEW)
    found["awkward"] = content(positive=AWKWARD, yours=("=1+1", "</script>"), patients_known=False,
                              arms_of=FEW)  # fmt: skip
    found["long"] = content("harm", positive=LONG[:200], yours=("x" * 120,), arms_of=FEW)
    found["many"] = content(
        "inconclusive", sizes=(1.0, 0.25), other_ratios=(0.5, 2.0), yours=("mine",)
    )
    return found
