"""What things of a study are called for people: the same words on page, figures and methods."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from library.studies.config import NETWORK, PROBE, YOURS, are_negatives

Content = Mapping[str, Any]

METRICS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "sensitivity": "sensitivity",
    "brier": "Brier score",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
}
_ARMS = {
    "real": "real",
    "duplicates": "real + {k} × duplicates",
    "synthetic": "synthetic only",
    "real_synthetic": "real + {k} × synthetic",
    "augmented": "real, augmented",
    "weighted": "real, classes weighted",
    "oversampled": "real, oversampled",
    "augmented_synthetic": "both augmented, {k} × synthetic",
    "pretrained": "{k} × synthetic first, then real",
    "one_class": "real + {k} × synthetic, one class",
}
NO_VERDICT = "none"  # where the primary contrast could not be estimated
WORDS = {
    "benefit": "Yes, they help",
    "equivalent": "No difference that matters",
    "inconclusive": "Not shown",
    "harm": "No, they do harm",
    NO_VERDICT: "No answer",
}
MEANINGS = {
    "benefit": "the whole interval is above 0",
    "equivalent": "the whole interval is smaller than the smallest useful effect",
    "inconclusive": "the interval has room both for no effect and for one that matters",
    "harm": "the whole interval is below 0",
    NO_VERDICT: "there were too few images or runs to estimate it",
}
LIGHTS = {
    "benefit": "green",
    "equivalent": "amber",
    "inconclusive": "amber",
    "harm": "red",
    NO_VERDICT: "grey",
}


def negatives_alone(content: Content) -> bool:
    """As StudyConfig.negatives_alone, of a study's content."""
    return are_negatives(content["config"]["synthetic_classes"], content["positive"])


def arm_name(arm: str, ratio: float | None = None) -> str:
    """`real + 1 × synthetic`; an arm that is not known by its own name."""
    if arm not in _ARMS:
        return arm.replace("_", " ")
    if ratio is None:
        return _ARMS[arm].replace("{k} × ", "")
    return _ARMS[arm].format(k=f"{ratio:g}")


def one_generator(content: Content) -> bool:
    """Whether what is called its generators are samples of one, or of one folder."""
    return content["config"]["generator"]["preset"] is None


def generator_name(trained: bool, number: int) -> str:
    """trained: by the study; else they are samples of one."""
    return f"{'generator' if trained else 'samples'} {number}"


def classifier_name(classifier: str) -> str:
    if classifier.startswith(f"{YOURS}:"):
        return f"your model {classifier[len(YOURS) + 1 :]}"
    known = {PROBE: "linear probe", NETWORK: "small network", YOURS: "your model"}
    return known.get(classifier, classifier)


def size_name(content: Content, size: float) -> str:
    """What was trained on."""
    if content["kind"] == "small_class":
        return "all folds"
    who = "patients" if content["data"]["patients_known"] else "images"
    return f"all training {who}" if size == 1 else f"{percent(size)} of the training {who}"


def percent(share: float) -> str:
    return f"{100 * share:g}%"


def group_name(content: Content, classifier: str, size: float) -> str:
    return f"{classifier_name(classifier)}, {size_name(content, size)}"


def groups(content: Content, rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, float]]:
    """(classifier, size) of rows, each once: the primary classifier first, else as they come."""
    found = list(dict.fromkeys((row["classifier"], row["size"]) for row in rows))
    classifier, sizes = content["config"]["primary_classifier"], content["config"]["sizes"]
    return sorted(found, key=lambda group: (group[0] != classifier, group[1] != sizes[0]))


def within(rows: Iterable[Mapping[str, Any]], group: tuple[str, float]) -> list[Mapping[str, Any]]:
    return [row for row in rows if (row["classifier"], row["size"]) == group]


def verdict(content: Content) -> str:
    """Of the study: one of WORDS."""
    found = content["verdict"]["verdict"]
    contrast = content["verdict"]["contrast"]
    estimated = contrast is not None and contrast["interval"][0] is not None
    return str(found) if found in WORDS and estimated else NO_VERDICT


def value(number: float | None, digits: int = 3) -> str:
    """A dash where there is none; nothing is a negative zero."""
    return "–" if number is None else f"{number:z.{digits}f}".replace("-", "−")


def signed(number: float | None, digits: int = 3) -> str:
    return "–" if number is None else f"{number:+z.{digits}f}".replace("-", "−")


def between(interval: Iterable[float | None] | None, digits: int = 3, sign: bool = False) -> str:
    ends = list(interval or (None, None))
    if None in ends:
        return "–"
    return " to ".join((signed if sign else value)(end, digits) for end in ends)


def chance(p: float | None) -> str:
    """A p-value."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def digits_of(content: Content) -> int:
    """Decimal places at which the smallest useful effect is still seen."""
    return 3 if content["config"]["smallest_useful_effect"] >= 0.002 else 5


def metric_name(content: Content, metric: str | None = None) -> str:
    """Of the primary contrast, or another."""
    name = metric or content["config"]["metric"]
    if name == "sensitivity":
        return f"sensitivity at {percent(content['config']['specificity'])} specificity"
    return METRICS.get(name, name.replace("_", " "))


def question(content: Content) -> str:
    others = [label for label in content["labels"] if label != content["positive"]]
    rest = others[0] if len(others) == 1 else "the other classes"
    return f"Do synthetic images help to tell {content['positive']} from {rest}?"


def marked(text: Any) -> str:
    """A user's text, so that Markdown shows it as it is, wherever in a line it comes to stand."""
    escaped = re.sub(r"([\\`*_{}\[\]<>#!|~&$])", r"\\\1", str(text))
    # Of a list or a heading, where a line begins with it.
    return re.sub(r"(?<!\S)(\d*)([-+=.)])", r"\1\\\2", escaped)
