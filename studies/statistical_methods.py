"""The statistical analysis of a study in words: metrics, intervals, verdicts, checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.design import left_out
from studies.folds import WIDER
from studies.intervals import RESAMPLES
from studies.shortcuts import WIDER as SHARED
from studies.words import marked, metric_name, negatives_alone, one_generator

Content = Mapping[str, Any]


def analysis(content: Content) -> list[str]:
    """Paragraphs of methods.md."""
    return [_numbers(content), _intervals(content), _verdicts(content), _checks(content)]


def _numbers(content: Content) -> str:
    return (
        "Discrimination is given as the area under the ROC curve (AUROC; Hanley 1982), average "
        f"precision (AUPRC) and {metric_name(content, 'sensitivity')}, at a threshold chosen on "
        "the test images themselves; the Brier score (Brier 1950) and slope and "
        "intercept of a logistic recalibration (Cox 1958) tell how far probabilities may be "
        "believed."
    )


def _intervals(content: Content) -> str:
    resampled = (
        "All intervals are 95% intervals. Test patients were resampled with all their images "
        f"{RESAMPLES:,} times, the same resamples for every run. "
    )
    ends = (
        "Quantiles are Student’s; the patients’ part has as many degrees of freedom as the class "
        "with fewer patients has patients, less one. Intervals of shares are on the logit scale, "
        "those of a classifier that is never (or always) wrong Clopper and Pearson’s."
    )
    if content["kind"] == "small_class":
        return resampled + (
            "For AUROC, AUPRC and sensitivity predictions were pooled over folds as places among "
            "the negative images of their fold, since the scales of the folds’ classifiers differ "
            "(Airola 2011); Brier score and calibration are of the probabilities as they are. The "
            f"variance of an arm’s value is {WIDER:g} times that of the resampled patients, a "
            "factor found by simulation, since the folds’ classifiers learn from one another’s "
            "test patients; that of a difference between arms on the same folds is that of the "
            "resampled patients and, added to it, the variance between the folds’ differences "
            f"beyond what their patients explain, over the number of folds. {ends}"
        )
    who, of = _second_sample(content)
    return resampled + (
        f"{who} were a second sample: their variance was added to what all of them have in common, "
        "as that of readers is to that of cases in multi-reader studies (Obuchowski 1995), with "
        "degrees of freedom after Satterthwaite (Hillis 2007), so that intervals speak of new "
        f"patients and of new {of}. That variance was taken as no less than what the trainings of "
        f"one of them make of it.{_without(content)} {ends}"
    )


def _without(content: Content) -> str:
    """Of what the second sample is where an arm has no synthetic images, at size 1."""
    if content["config"]["generators"] == 1 or 1 not in content["config"]["sizes"]:
        return ""
    return (
        " On all training patients, arms without synthetic images have their trainings as that "
        "sample; of an arm trained once, the variance of one training is taken from the arm that "
        "it is held against."
    )


def _second_sample(content: Content) -> tuple[str, str]:
    """Beside patients: what was drawn, and what intervals speak of."""
    if content["config"]["generators"] == 1:
        return "Trainings of a classifier", "trainings, not of other generators"
    if one_generator(content):
        return "Draws of synthetic images", "samples of this generator, not of other generators"
    return "Generators (with their share of the patients, at smaller sizes)", "generators"


def _verdicts(content: Content) -> str:
    delta = content["config"]["smallest_useful_effect"]
    secondary = sum(not each["primary"] for each in content["contrasts"])
    return (
        f"A contrast is called equivalent when its interval lies within ±{delta:g}, else benefit "
        "when it lies above 0, harm when it lies below 0, and inconclusive otherwise. The primary "
        f"contrast was tested alone; the p-values of the {secondary} secondary contrasts were "
        "corrected together (Holm 1979), and these are called benefit or harm only with a "
        "corrected p of at most 0.05. Intervals, and with them which secondary contrasts are "
        "called equivalent, were not corrected."
    )


def _checks(content: Content) -> str:
    shares = (
        f" {left_out(content)}, formed a large test set, on which nothing was trained or chosen; "
        "it was compared with the cross-validated intervals."
        if content["large_test"] else ""
    )  # fmt: skip
    told = (
        "A linear probe, out of fold, was asked to tell synthetic from real images; the variance "
        f"of its AUROC is {SHARED:g} times that of the resampled patients, since the folds’ probes "
        "learn from one another’s test images."
    )
    return f"{_shortcut(content)}{told}{shares}"


def _shortcut(content: Content) -> str:
    """Of what was looked at: a folder may have had no image to spare."""
    if not content["shortcut"]:
        return ""
    positive = marked(content["positive"])
    alone = (
        ", also after synthetic images had been trained on in one class alone"
        if any(row["arm"] == "one_class" for row in content["shortcut"]) else ""
    )  # fmt: skip
    whose, taken = (
        (positive, "another class") if negatives_alone(content) else ("the other classes", positive)
    )
    return (
        f"For shortcuts (Geirhos 2020), classifiers were shown synthetic images of {whose} that "
        f"they were not trained on, and the share taken for {taken} was compared with that of "
        f"real ones{alone}. "
    )
