"""What is said about the numbers: the verdict, corrected p values, and three lights.

Fixed before there are numbers.  A contrast's 95% interval lies inside the smallest useful effect:
equivalent; else above 0: benefit; below 0: harm; else inconclusive.  One contrast is the primary
one and is taken at its word.  Of all others benefit and harm also need a p value of at most 0.05
after Holm's correction (1979), so that 20 of them find something by chance no more often than one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from studies.words import generator_name

BENEFIT, EQUIVALENT, INCONCLUSIVE, HARM = "benefit", "equivalent", "inconclusive", "harm"
GREEN, AMBER, RED, GREY = "green", "amber", "red", "grey"
USEFULNESS, SHORTCUT, TOLD_APART = "usefulness", "shortcut", "told_apart"
LEVEL = 0.05
_ORDER = {GREEN: 0, GREY: 1, AMBER: 2, RED: 3}  # what was not looked at is not green
_LIGHT = {BENEFIT: GREEN, EQUIVALENT: AMBER, INCONCLUSIVE: AMBER, HARM: RED}
NAMES = {"auroc": "AUROC", "auprc": "AUPRC"}


@dataclass(frozen=True)
class Check:
    light: str
    name: str
    verdict: str
    text: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def verdict(low: float, high: float, smallest: float, p: float | None = None) -> str:
    """Of an interval of a difference; p: corrected, where the contrast is one of several."""
    if math.isnan(low) or math.isnan(high):
        return INCONCLUSIVE
    if -smallest < low and high < smallest:
        return EQUIVALENT
    if p is not None and not p <= LEVEL:
        return INCONCLUSIVE
    return BENEFIT if low > 0 else HARM if high < 0 else INCONCLUSIVE


def holm(p: Sequence[float]) -> list[float]:
    """Corrected p values, in the order given; nan stays and does not count."""
    order = sorted((i for i, each in enumerate(p) if not math.isnan(each)), key=p.__getitem__)
    found, largest = [math.nan] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p[i]))
        found[i] = largest
    return found


def lights(checks: Sequence[Check]) -> dict[str, str]:
    """Each is as bad as its worst check, and grey where there is none."""
    return {
        light: max(
            (each.verdict for each in checks if each.light == light),
            key=_ORDER.__getitem__,
            default=GREY,
        )
        for light in (USEFULNESS, SHORTCUT, TOLD_APART)
    }


def said(
    found: str, difference: float, low: float, high: float, smallest: float, metric: str,
    classifier: str, ratio: float,
) -> str:  # fmt: skip
    """The verdict of the primary contrast in words."""
    name = NAMES[metric]
    if math.isnan(low):
        return f"No verdict: the {name}'s difference has no interval."
    many = "one synthetic image" if ratio == 1 else f"{ratio:g} synthetic images"
    shown = (
        f"{name} {difference:+z.4f} (95% interval {low:+z.4f} to {high:+z.4f}) with {many} for "
        f"each real one, against as many duplicates ({classifier})"
    )
    return {
        BENEFIT: f"The synthetic images help: {shown}.",
        HARM: f"The synthetic images do harm: {shown}.",
        EQUIVALENT: f"The synthetic images change nothing that matters: {shown}; less than "
        f"±{smallest:g} was said beforehand not to be useful.",
        INCONCLUSIVE: f"No benefit shown: {shown}. {_open(low, high, smallest)}",
    }[found]


def _open(low: float, high: float, smallest: float) -> str:
    """What an interval that decides nothing leaves open."""
    effect = f"of {smallest:g}, the smallest useful effect,"
    if high < smallest:
        return f"A gain {effect} is excluded, a loss is not."
    if low > -smallest:
        return f"A loss {effect} is excluded, a gain is not."
    return f"Neither a gain nor a loss {effect} is excluded."


def usefulness_check(found: str, estimable: bool, text: str) -> Check:
    light = _LIGHT[found] if estimable else GREY
    return Check(USEFULNESS, "primary contrast", light, text)


def told_apart_checks(
    found: Iterable[tuple[float, int, float, float, float]],
    only: Sequence[str] = (),
    trained: bool = True,
) -> list[Check]:
    """found: size, generator, AUROC and its interval; only: the classes that get synthetic images,
    where not all do; trained: by the study, each of the generators.

    Told apart where an interval lies above 0.5.  Then a classifier can learn "synthetic" as well,
    which is harmless to the labels as long as every class has its share of synthetic images
    (amber: they are not what real ones are), and a wrong label in disguise where some classes
    alone have them (red).
    """
    checks = []
    for size, generator, value, low, high in found:
        name = f"size {size:g}, {generator_name(trained, generator)}"
        shown = f"A linear probe tells real from synthetic images with AUROC {value:.3f}"
        shown = f"{shown} ({low:.3f} to {high:.3f}; {name})"
        if math.isnan(low):
            text = f"Real and synthetic images of {name}: too few to tell."
            checks.append(Check(TOLD_APART, name, GREY, text))
        elif low <= 0.5:
            checks.append(Check(TOLD_APART, name, GREEN, f"{shown}: no better than chance."))
        elif only:
            text = (
                f"{shown}, and only {', '.join(only)} has synthetic ones: they stand for a label."
            )
            checks.append(Check(TOLD_APART, name, RED, text))
        else:
            text = f"{shown}. Every class has synthetic ones, so that they stand for no label."
            checks.append(Check(TOLD_APART, name, AMBER, text))
    return checks


def shortcut_check(
    name: str, shares: tuple[float, float], low: float, high: float, specificity: float,
    what_if: bool = False, only: Sequence[str] = (), missed: bool = False,
) -> Check:  # fmt: skip
    """Whether synthetic images of the other classes are called positive more often than real ones.

    missed: whether those of the positive class are called negative more often.

    shares: of synthetic images, and of real ones; low, high: of their difference; only: the classes
    that get synthetic images in this study, where not all do.  Red then, where even the interval's
    lower end is above 1 - specificity: among synthetic images there are more than twice the false
    alarms there are among real ones (whose share is 1 - specificity by the threshold), which is
    "synthetic" being taken for the class and no odd picture here and there.

    Where every class has them it is amber at most: it cannot come from the label, but the
    generator's classes then are not those of the real images.  what_if: the arm `one_class` of
    such a study, which shows what would be learned, and accuses no other arm: amber at most.
    There it is amber from an estimate above 1 - specificity on, and says so where the interval
    does not lie above 0.
    """
    whose = "the positive class" if missed else "the other classes"
    if math.isnan(low):
        text = f"{name}: there are too few synthetic images of {whose} to tell."
        return Check(SHORTCUT, name, GREY, text)
    difference = shares[0] - shares[1]
    shown = (
        f"{name}: {shares[0]:.1%} of synthetic images of {whose} are called "
        f"{'negative' if missed else 'positive'}, "
        f"and {shares[1]:.1%} of real ones (a difference of {100 * low:+z.1f} to "
        f"{100 * high:+z.1f} percentage points)"
    )
    margin = 1 - specificity
    if low <= 0 and difference > margin:
        text = f"{shown}: the interval leaves open whether that is a shortcut."
        return Check(SHORTCUT, name, AMBER, text)
    if low <= 0 or (not only and difference <= margin):
        return Check(SHORTCUT, name, GREEN, f"{shown}: no shortcut was found.")
    if low > margin and only:
        text = f"{shown}: with synthetic images of {', '.join(only)} alone, they stand for it."
        return Check(SHORTCUT, name, RED, text)
    if low <= margin and not only:
        text = f"{shown}: how many more is uncertain."
        return Check(SHORTCUT, name, AMBER, text)
    if what_if:
        text = f"{shown}: were synthetic images added to one class alone, they would stand for it."
        return Check(SHORTCUT, name, AMBER, text)
    return Check(SHORTCUT, name, AMBER, f"{shown}.")
