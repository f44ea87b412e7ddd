"""A study's answers: from what its units left to the content of results.json.

The same files give the same content, bit for bit: resamples are drawn from the study's seed, times
are elsewhere, and numbers are kept to six significant digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any

from library import __version__
from library.atomic import write_json
from library.errors import InvalidValue
from library.rounding import rounded
from library.studies.folder import Study
from studies import contrasts, metrics, scoring, verdicts
from studies.contrasts import Measured, Tested
from studies.limits import limits
from studies.predictions import Arm, Predictions, as_named, read
from studies.shortcuts import shortcut, told_apart

SCHEMA = 1
_PACKAGES = ("numpy", "torch", "onnxruntime")
Tell = Callable[[str, float], None]


def answers(study: Study, tell: Tell = lambda _phase, _fraction: None) -> dict[str, Any]:
    """results.json's content.

    Scores of the user's that do not fit are left out, and what is wrong with them is written beside
    them: scores/{name}.error.json.
    """
    predictions = read(study)
    for path in study.scores:
        wrong = path.with_suffix(".error.json")
        try:
            scoring.add(predictions, path)
            wrong.unlink(missing_ok=True)
        except InvalidValue as error:
            write_json(wrong, error.as_problem())
    return answered(predictions, study.id, tell)


def answered(predictions: Predictions, identity: str, tell: Tell) -> dict[str, Any]:
    config, prepared = predictions.config, predictions.prepared
    arms, found, large = _measured(predictions, tell)
    primary = next((each for each in found if each["primary"]), None)
    told, told_checks = told_apart(predictions)
    shortcuts, shortcut_checks = shortcut(predictions)
    verdict = _verdict(predictions, primary)
    check = verdicts.usefulness_check(verdict["verdict"], _estimable(primary), str(verdict["text"]))
    checks = [check, *shortcut_checks, *told_checks]
    partitions = [
        {"name": part.name, "size": part.size, **prepared["partitions"][part.name]}
        for size in config.sizes
        for part in predictions.partitions(size)
    ]
    content = {
        "schema": SCHEMA,
        "study": identity,
        "kind": config.kind,
        "name": config.name,
        "config": config.as_dict(),
        "labels": list(prepared["labels"]),
        "positive": config.positive,
        "verdict": verdict,
        "lights": verdicts.lights(checks),
        "checks": [each.as_dict() for each in checks],
        "data": {
            "dataset": prepared.get("dataset"),
            "partitions": partitions,
            "patients_known": predictions.patients_known,
            "test_split": "folds" if config.kind == "small_class" else config.test,
            "large_test": prepared["large"] if large else None,
        },
        "generators": predictions.generators,
        "arms": arms,
        "contrasts": found,
        "told_apart": told,
        "shortcut": shortcuts,
        "large_test": large,
        "limits": limits(predictions),
        "software": {"synthorax": __version__, **_software()},
    }
    whole: dict[str, Any] = rounded(content)
    return whole


def _measured(
    predictions: Predictions, tell: Tell
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]] | None]:
    """Arms, contrasts (the primary one first) and the large test."""
    config = predictions.config
    arms: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    large: list[dict[str, Any]] = []
    total, done = sum(len(predictions.arms(size)) for size in config.sizes), 0
    for size in config.sizes:
        of = contrasts.images_of(predictions, size)
        here: dict[Arm, Measured] = {}
        for arm in predictions.arms(size):
            tell("Intervals", done / max(total, 1))
            here[arm] = contrasts.measure(predictions, of, arm)
            arms.append(_arm(predictions, of, here[arm]))
            done += 1
            if arm in predictions.large:
                large.append(_large(predictions, arm, arms[-1]["metrics"]["auroc"]))
        found += _contrasts(predictions, of, here)
    found.sort(key=lambda each: not each["primary"])
    others = [each for each in found if not each["primary"]]
    for each, p in zip(others, verdicts.holm([each["p"] for each in others]), strict=True):
        each["p_holm"] = p
    for each in found:
        low, high = each["interval"]
        smallest = config.smallest_useful_effect
        each["verdict"] = verdicts.verdict(low, high, smallest, each["p_holm"])
    return arms, found, large or None


def _arm(predictions: Predictions, of: Tested, arm: Measured) -> dict[str, Any]:
    values = {name: contrasts.value(of, arm, name) for name in metrics.NAMES}
    return {
        **arm.arm.at(of.size),
        "runs": arm.runs,
        "draws": arm.trainings,
        "metrics": {
            name: {"value": each.value, "interval": list(contrasts.interval(each, name))}
            for name, each in values.items()
        },
        "spread": values[predictions.config.metric].spread,
    }


def _contrasts(
    predictions: Predictions, of: Tested, here: dict[Arm, Measured]
) -> list[dict[str, Any]]:
    config, found = predictions.config, []
    primary = _primary(predictions)
    for classifier in dict.fromkeys(arm.classifier for arm in here):
        own = [arm for arm in here if arm.classifier == classifier]
        for arm, control in contrasts.pairs(own, primary):
            each = contrasts.contrast(predictions, of, here[arm], here[control])
            found.append(
                {
                    **arm.at(of.size),
                    "control": control.name,
                    "metric": config.metric,
                    "difference": each.value,
                    "interval": list(each.interval),
                    "p": each.p,
                    "p_holm": None,
                    "verdict": "",
                    "primary": (arm, control) == primary and of.size == config.sizes[0],
                    "df": each.df,
                    "spread": each.spread,
                }
            )
    return found


def _primary(predictions: Predictions) -> tuple[Arm, Arm]:
    config = predictions.config
    classifier, ratio = config.primary_classifier, as_named(config.ratio)
    return Arm(classifier, "real_synthetic", ratio), Arm(classifier, "duplicates", ratio)


def _large(predictions: Predictions, arm: Arm, own: dict[str, Any]) -> dict[str, Any]:
    value, (low, high) = contrasts.large(predictions, arm), own["interval"]
    return {
        "classifier": arm.classifier,
        "arm": arm.name,
        "ratio": arm.ratio,
        "cross_validated": own,
        "large": {"value": value},
        "inside": bool(low <= value <= high),
    }


def _estimable(primary: dict[str, Any] | None) -> bool:
    return primary is not None and all(map(math.isfinite, primary["interval"]))


def _verdict(predictions: Predictions, primary: dict[str, Any] | None) -> dict[str, Any]:
    config = predictions.config
    if primary is None:
        text = "No verdict: the arms of the primary contrast have no runs."
        return {"verdict": verdicts.INCONCLUSIVE, "text": text, "contrast": None}
    low, high = primary["interval"]
    text = verdicts.said(
        primary["verdict"], primary["difference"], low, high, config.smallest_useful_effect,
        config.metric, config.primary_classifier, config.ratio,
    )  # fmt: skip
    return {"verdict": primary["verdict"], "text": text, "contrast": primary}


def _software() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = installed(package)
        except PackageNotFoundError:
            continue
    return found
