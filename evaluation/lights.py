"""Three lights from many checks: each light is as bad as its worst check, and there is no score.

green  nothing was found at this n;  amber  a difference or a sign was found;  red  it is large
grey   ("not estimable") too few images, or a part is not known

The level of false alarms (5 %) is a light's, not a check's: fidelity's bar is the quantile of the
largest of all its numbers (evaluation.floors), privacy's level is divided among its tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.conditioning import Margin
from evaluation.fidelity import ClassFidelity
from evaluation.floors import Measured, bar
from evaluation.images import Protocol

GREEN, AMBER, RED, GREY = "green", "amber", "red", "not estimable"
_ORDER = {GREEN: 0, GREY: 1, AMBER: 2, RED: 3}  # what was not looked at is not green


ALIKE = "near to real images"  # a warning, no evidence: blurred pictures are alike


@dataclass(frozen=True)
class Check:
    light: str
    check: str
    label: str | None
    verdict: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def worst(checks: Iterable[Check]) -> str:
    return max((check.verdict for check in checks), key=_ORDER.__getitem__, default=GREY)


def copying(checks: Iterable[Check]) -> bool:
    """Whether these privacy checks are evidence of copying."""
    return any(check.verdict in (AMBER, RED) and check.check != ALIKE for check in checks)


def patient_checks(known: bool, in_both: int) -> list[Check]:
    """What follows for usefulness and privacy from whose images are in both sets."""
    if in_both:
        text = f"{in_both} patients have images both in training and in the reference."
        return [Check(light, "patients", None, RED, text) for light in ("usefulness", "privacy")]
    if not known:
        text = "Patients are not known: that one is in both sets cannot be excluded."
        return [Check(light, "patients", None, AMBER, text) for light in ("usefulness", "privacy")]
    return []


def fidelity_checks(
    classes: list[ClassFidelity],
    shares: list[Measured],
    margins: list[Margin],
    rulers: dict[str, list[dict[str, Any]]],
    protocol: Protocol,
) -> list[Check]:
    estimable = [each for each in classes if each.estimable]
    names = {each.label for each in estimable}
    measured = [m for each in estimable for m in each.measured.values()]
    measured += [m for m in shares if m.label in names]
    margins = [each for each in margins if each.measured.label in names]
    every = [*measured, *(each.measured for each in margins)]
    limit = bar(every, protocol.level) if every else 0.0
    checks = [_too_few(each, protocol) for each in classes if not each.estimable]
    sizes = {each.label: each.n for each in classes}
    for m in measured:
        ruler = rulers.get(m.label, [])
        checks.append(_difference(m, limit, sizes[m.label], ruler, protocol))
    return checks + [_class_kid(each, limit) for each in margins]


def _class_kid(found: Margin, limit: float) -> Check:
    """Real images of a class may lie as near to another: worse is what they do not do."""
    m, label, rival = found.measured, found.measured.label, found.rival
    noise = limit * m.deviation
    if m.value > noise:
        verdict, text = GREEN, f"Generated {label} lies nearest to real {label}."
    elif m.z <= limit:
        verdict = GREEN
        text = f"Generated {label} lies no nearer to real {rival} than real {label} itself does."
    elif m.value >= -noise:
        verdict = AMBER
        text = f"Generated {label} lies as near to real {rival} as to real {label}."
    else:
        verdict = RED
        text = f"Generated {label} lies nearer to real {rival} than to real {label}."
    return Check("fidelity", "class KID", label, verdict, text)


def _too_few(found: ClassFidelity, protocol: Protocol) -> Check:
    return Check(
        "fidelity", "images", found.label, GREY,
        f"{found.label}: {found.n_real} real and {found.n_fake} generated images, compared at "
        f"n = {found.n}; a light needs {protocol.no_verdict} of each and n = "
        f"{protocol.no_verdict // 2}. The numbers are there, with their intervals.",
    )  # fmt: skip


def _difference(
    m: Measured, limit: float, n: int, ruler: list[dict[str, Any]], protocol: Protocol
) -> Check:
    shown = f"{m.metric} of {m.label}: {m.value:.4g}, floor {m.floor:.4g} ± {m.deviation:.2g}"
    if m.z <= limit:
        text = f"{shown}: no difference detected at n = {n}."
        return Check("fidelity", m.metric, m.label, GREEN, text)
    large = _large(m, ruler, protocol)
    if large:
        return Check("fidelity", m.metric, m.label, RED, f"{shown}: {large}.")
    return Check("fidelity", m.metric, m.label, AMBER, f"{shown}: a difference is detected.")


def _large(m: Measured, ruler: list[dict[str, Any]], protocol: Protocol) -> str:
    """Why a difference that was detected is a large one, or nothing."""
    rows = {row["damage"]: row for row in ruler}
    if m.metric.startswith("kid_") and "other class" in rows:
        if m.value > rows["other class"][m.metric]:
            return "farther from the class than real images of another class are"
    if m.metric.startswith("fd_") and m.value > protocol.fd_ratio_fail * m.floor:
        return f"more than {protocol.fd_ratio_fail:g} times the floor"
    if m.metric == "coverage" and m.value < protocol.coverage_fail * m.floor:
        return f"below {protocol.coverage_fail:g} of the floor: much of the class is missing"
    if m.metric == "msssim" and m.value - m.floor > protocol.msssim_fail:
        return f"more than {protocol.msssim_fail:g} above real images: they look alike"
    if m.metric == "duplicates" and m.value > protocol.duplicates_fail:
        return "images repeat one another"
    if m.metric == "laterality" and m.value < 0.5:
        return "most lie the wrong way round"
    if m.metric == "label_agreement" and m.floor - m.value > protocol.agreement_fail:
        return "a judge trained on real images sees other classes"
    return ""


def usefulness_checks(
    found: dict[str, Any] | None, n_real: int, why_not: str, protocol: Protocol
) -> list[Check]:
    if found is None or n_real < protocol.no_verdict:
        text = why_not or (
            f"{n_real} test images of the smallest class; a light needs {protocol.no_verdict}."
        )
        return [Check("usefulness", "linear probe", None, GREY, text)]
    low, high = found["gain_interval"]
    gain = found["gain_over_duplicates"]
    shown = (
        f"Real and synthetic images against real and duplicated ones: AUROC {gain:+z.4f} "
        f"({low:+z.4f} to {high:+z.4f})"
    )
    if low > 0:
        verdict, text = GREEN, f"{shown}: the probe gained."
    elif high < 0:
        verdict, text = RED, f"{shown}: the synthetic images did harm."
    else:
        verdict, text = AMBER, f"{shown}: no benefit shown."
    return [Check("usefulness", "linear probe", None, verdict, text + " A look, not a verdict.")]


def privacy_checks(
    copies: dict[str, dict[str, Any]] | None, attacks: dict[str, dict[str, Any] | None],
    protocol: Protocol,
) -> list[Check]:  # fmt: skip
    if copies is None:
        text = "The training images were not given: copies cannot be looked for."
        return [Check("privacy", "near-copies", None, GREY, text)]
    checks = []
    tests = 2 * len(copies)
    for label, found in copies.items():
        checks.append(_copies(label, found, tests, protocol))
        checks.append(_permutation(label, found, protocol.preference_level(len(copies)), protocol))
    bounds = {
        "black box": (protocol.membership_warn, protocol.membership_fail),
        "discriminator": (protocol.discriminator_warn, protocol.discriminator_fail),
    }
    for name, attack in attacks.items():
        if attack is None:
            continue
        level = 0.25 * protocol.level / len([a for a in attacks.values() if a])
        warn, fail = bounds[name]
        found_one = attack["p"] <= level and attack["auc"] > warn
        verdict = GREEN if not found_one else RED if attack["auc"] > fail else AMBER
        text = (
            f"Membership inference, {name}: AUC {attack['auc']:.3f} (p {attack['p']:.3g}), "
            f"{attack['tpr_at_1_percent_fpr']:.1%} of members found at 1% false alarms"
            + (": members can be told." if found_one else ": nothing beyond chance was found.")
        )
        checks.append(Check("privacy", f"membership, {name}", None, verdict, text))
    return checks


def _copies(label: str, found: dict[str, Any], tests: int, protocol: Protocol) -> Check:
    share, p = found["flagged_share"], min(found["correlation"]["p"], found["distance"]["p"])
    shown = (
        f"{label}: {found['flagged']} of {found['n_fake']} generated images "
        f"({share:.1%}; {found['flagged_expected']:.1%} expected) lie nearer to a training image "
        "than 99% of unseen real ones do"
    )
    twins = found["copies_among_reference"]
    left = f" Unseen real images that are copies of training images, too: {twins}." if twins else ""
    few = found["n_reference"] < protocol.no_verdict
    if found["copies"]:
        text = f"{label}: {found['copies']} generated images are copies of training images.{left}"
        return Check("privacy", "near-copies", label, RED, text)
    if p <= 0.5 * protocol.level / tests:
        prefers = min(each["near_p"] for each in found["nearest_is_train"].values())
        if prefers > protocol.level / tests:
            text = (
                f"{shown}; but it is not shown that such images lie nearer to training images "
                f"than to other real ones (p {prefers:.3g}).{left}"
            )
            return Check("privacy", ALIKE, label, AMBER, text)
        verdict = RED if share > protocol.flagged_fail else AMBER
        return Check("privacy", "near-copies", label, verdict, f"{shown}.{left}")
    if few:
        text = f"{shown}; {found['n_reference']} unseen images are too few for a light.{left}"
        return Check("privacy", "near-copies", label, GREY, text)
    text = f"{shown}: no more than by chance.{left}"
    return Check("privacy", "near-copies", label, GREEN, text)


def _permutation(label: str, found: dict[str, Any], level: float, protocol: Protocol) -> Check:
    tests = found["nearest_is_train"]
    name = min(tests, key=lambda detector: tests[detector]["p"])
    p, share = tests[name]["p"], tests[name]["share"]
    shown = (
        f"{label}: the nearest real image is a training one for {share:.1%} "
        f"({tests[name]['expected']:.1%} of the real ones are; by {name}, p {p:.3g})"
    )
    if p <= level:
        return Check("privacy", "nearest is train", label, AMBER, f"{shown}.")
    if found["n_reference"] < protocol.no_verdict:
        text = f"{shown}; too few unseen images for a light."
        return Check("privacy", "nearest is train", label, GREY, text)
    return Check("privacy", "nearest is train", label, GREEN, f"{shown}: as by chance.")
