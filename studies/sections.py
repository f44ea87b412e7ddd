"""The sections of a study's page below its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evaluation.markup import details, fact_table, figure, section, table
from library.studies.config import ARMS
from studies.design import facts, left_out
from studies.words import (
    arm_name,
    between,
    chance,
    classifier_name,
    digits_of,
    generator_name,
    group_name,
    groups,
    metric_name,
    negatives_alone,
    one_generator,
    signed,
    size_name,
    value,
    within,
)

Content = Mapping[str, Any]
_OTHERS = "The other classifiers and sizes"
_FIGURE = "The figure of all {}"
_LONG = 40  # rows


def design(content: Content) -> str:
    """What was fixed beforehand."""
    words = (
        "<p>The configuration was closed before anything was trained. The primary contrast, its k "
        "and its smallest useful effect were therefore not chosen by a result of this study; every "
        "other contrast is secondary, and its p is corrected for their number. Other studies of "
        "the same images, if there are any, are not in that number.</p>"
    )
    used = dict.fromkeys(row["arm"] for row in content["arms"])
    arms = [(arm_name(arm), ARMS.get(arm, "")) for arm in used]
    return words + fact_table(facts(content)) + details(
        "What the arms are", [fact_table(dict(arms))]
    )  # fmt: skip


def arms(content: Content, figures: Mapping[str, bytes]) -> str:
    """A table a classifier and size; the primary ones are open."""
    metric = content["config"]["metric"]
    others = [name for name in ("auroc", "auprc", "sensitivity", "brier") if name != metric]
    header = ("trained on", metric_name(content), "95% interval",
              *(metric_name(content, name) for name in others),
              "calibration slope", "calibration intercept", "runs")  # fmt: skip
    tables = [
        table(
            group_name(content, *group).capitalize(),
            header,
            [
                (arm_name(row["arm"], row["ratio"]), _metric(row, metric),
                 between(row["metrics"].get(metric, {}).get("interval")),
                 *(_metric(row, name) for name in others), _metric(row, "calibration_slope"),
                 _metric(row, "calibration_intercept"), row["runs"])
                for row in within(content["arms"], group)
            ],
        )
        for group in groups(content, content["arms"])
    ]  # fmt: skip
    note = (
        "<p class=quiet>Every arm had the same budget. A run is one classifier; the interval holds "
        f"patients, {_whose(content)}, and classifiers. Well calibrated: slope 1, intercept 0. All "
        "intervals are in tables/arms.csv.</p>"
    )
    alt = f"{metric_name(content)} of each arm, 95% intervals"
    picture = _folded(figure(figures, "arms.svg", alt), len(content["arms"]), _LONG, _FIGURE)
    return note + _first_open(tables, _OTHERS) + picture


def _whose(content: Content) -> str:
    if content["kind"] == "small_class":
        return "what the folds’ classifiers share"
    if one_generator(content):
        return "samples of the one generator, and no other"
    return "generators or partitions"


def _metric(row: Mapping[str, Any], name: str) -> str:
    return value(row["metrics"].get(name, {}).get("value"))


def _folded(shown: str, count: int, most: int, summary: str) -> str:
    """What has more rows than `most` would hide what comes after it: closed at first."""
    return details(summary.format(count), [shown]) if shown and count > most else shown


def _first_open(tables: Sequence[str], summary: str) -> str:
    return "".join(tables[:1]) + (details(summary, tables[1:]) if tables[1:] else "")


def contrasts(content: Content, figures: Mapping[str, bytes]) -> str:
    """The forest plot, and a table a classifier and size."""
    digits = digits_of(content)
    header = ("arm", "less", "difference", "95% interval", "p", "p, Holm", "verdict")
    tables = [
        table(
            f"{group_name(content, *group).capitalize()}: {metric_name(content)}",
            header,
            [
                (arm_name(row["arm"], row["ratio"]), row["control"].replace("_", " "),
                 signed(row["difference"], digits), between(row["interval"], digits, True),
                 chance(row["p"]), "primary" if row["primary"] else chance(row["p_holm"]),
                 row["verdict"] if row["difference"] is not None else "–")
                for row in within(content["contrasts"], group)
            ],
        )
        for group in groups(content, content["contrasts"])
    ]  # fmt: skip
    delta = content["config"]["smallest_useful_effect"]
    words = (
        "<p>Each contrast is a difference between two arms on the same test images. Equivalent: "
        f"the interval lies within ±{delta:g}. Benefit: above 0. Harm: below 0. Inconclusive: none "
        "of these. Of a secondary contrast, benefit and harm also need a p of at most 0.05 after "
        "Holm’s correction for their number; the intervals are not corrected.</p>"
    )
    alt = f"Every contrast in {metric_name(content)}, 95% intervals; shaded: too small to matter"
    return (
        words
        + _folded(figure(figures, "contrasts.svg", alt), len(content["contrasts"]), _LONG, _FIGURE)
        + _first_open(tables, _OTHERS)
    )  # fmt: skip


def low_data(content: Content, figures: Mapping[str, bytes]) -> str:
    """Empty where there is one size."""
    if "low-data.svg" not in figures:
        return ""
    too = "" if one_generator(content) else ": the generator, too, was trained on those alone"
    words = (
        f"<p>The same study with fewer training patients{too}. Above what the arms reach, below "
        "what synthetic images add to as many duplicates.</p>"
    )
    alt = f"{metric_name(content)} by share of the training set, 95% intervals"
    return section("With less data", words + figure(figures, "low-data.svg", alt))


def generators(content: Content) -> str:
    """A row a generator of the study's own; empty where it has none."""
    if not content["generators"]:
        return ""
    rows = [
        (_made_by(content, row), row["partition"], f"{row['images']:,}", f"{row['steps']:,}",
         value(row["kid"]))
        for row in content["generators"]
    ]  # fmt: skip
    words = (
        "<p>Images shown count each time that one was trained on. KID: from the images that chose "
        "a checkpoint, the chosen one’s, mean of the classes; 0: the same distribution. With few "
        "images shown, or a large KID, the study tells what an early generator is worth.</p>"
    )
    header = ("generator", "partition", "images shown", "steps", "KID")
    tables = table("What the generators were trained for", header, rows)
    return words + _folded(tables, len(rows), 6, "All {} generators") + _collapsed(content)


def _collapsed(content: Content) -> str:
    found = [
        f"{_made_by(content, row)} (after {row['collapsed']:,} images, {row['images']:,} are used)"
        for row in content["generators"]
        if row["collapsed"] is not None
    ]
    if not found:
        return ""
    return (
        "<p><b>Collapsed in training</b>, and used as they were at the last epoch before the "
        f"signs: {'; '.join(found)}.</p>"
    )


def told_apart(content: Content) -> str:
    """A row a generator."""
    if not content["told_apart"]:
        return ""
    rows = [
        (_made_by(content, row), value(row["auroc"]), between(row["interval"]),
         f"{row['n']:,}")
        for row in content["told_apart"]
    ]  # fmt: skip
    words = (
        "<p>A linear probe tries to tell synthetic from real images, on images that it was not "
        "trained on. AUROC 0.5: it cannot. 1: every one is told. Images that are told apart can "
        "still be useful, but a classifier may learn the difference as well.</p>"
    )
    header = ("images of", "AUROC", "95% interval", "n")
    tables = table("Told apart, by generator", header, rows)
    return words + _folded(tables, len(rows), 6, "All {} generators")


def _made_by(content: Content, row: Mapping[str, Any]) -> str:
    name = generator_name(not one_generator(content), row["generator"])
    several = len(content["config"]["sizes"]) > 1
    return f"{name}, {size_name(content, row['size'])}" if several else name


def shortcut(content: Content) -> str:
    """A table a classifier and size."""
    if not content["shortcut"]:
        return ""
    positive, taken = content["positive"], f"Taken for {content['positive']}"
    words = (
        f"<p>How often images of the other classes are taken for {escape(positive)}: synthetic "
        "ones, and real ones. Where synthetic images were trained on in one class alone, "
        f"“synthetic” can become a sign of {escape(positive)}; then the first share is the "
        "larger.</p>"
    )
    if negatives_alone(content):
        taken = f"{positive} taken for another class"
        words = (
            f"<p>How often images of {escape(positive)} are taken for another class: synthetic "
            "ones, and real ones. Synthetic images were trained on in other classes alone, whose "
            "sign “synthetic” can become; then the first share is the larger.</p>"
        )
    header = ("trained on", "of synthetic", "of real", "difference", "95% interval")
    tables = [
        table(
            f"{taken}: {group_name(content, *group)}",
            header,
            [
                (arm_name(row["arm"], row.get("ratio")), _share(row["rate_synthetic"]),
                 _share(row["rate_real"]), signed(row["difference"]),
                 between(row["interval"], sign=True))
                for row in within(content["shortcut"], group)
            ],
        )
        for group in groups(content, content["shortcut"])
    ]  # fmt: skip
    return words + _first_open(tables, _OTHERS)


def _share(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.1%}"


def large_test(content: Content) -> str:
    """Empty where there is none."""
    if not content["large_test"]:
        return ""
    rows = [
        (f"{classifier_name(row['classifier'])}, {arm_name(row['arm'], row['ratio'])}",
         value(row["cross_validated"]["value"]), between(row["cross_validated"]["interval"]),
         value(row["large"]["value"]), "yes" if row["inside"] else "no")
        for row in content["large_test"]
    ]  # fmt: skip
    words = (
        f"<p>The study saw {content['config']['small_count']:,} images of the small class. "
        f"{left_out(content)}, on which nothing was trained, say what the cross-validated numbers "
        "were worth: an honest 95% interval holds the large test’s value nearly always.</p>"
    )
    header = ("classifier, arm", "AUROC, cross-validated", "95% interval",
              "large test", "inside")  # fmt: skip
    return words + table("Cross-validated, and on the large test", header, rows)


def data(content: Content) -> str:
    """The data set, and how many of which class are in which partition."""
    rows = [
        (f"{each['name']}, {part}", f"{each[part]['images']:,}",
         "not known" if each[part]["patients"] is None else f"{each[part]['patients']:,}",
         *(f"{each[part]['labels'].get(label, 0):,}" for label in content["labels"]))
        for each in content["data"]["partitions"]
        for part in ("train", "test")
    ]  # fmt: skip
    header = ("partition", "images", "patients", *content["labels"])
    partitions = table("Partitions", header, rows)
    count = len(content["data"]["partitions"])
    return fact_table(content["data"]["dataset"] or {}) + _folded(
        partitions, count, 3, "All {} partitions"
    )
