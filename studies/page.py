"""A study's results as one HTML page that stands alone: the answer first, then what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evaluation.markup import details, fact_table, figure, section, table
from evaluation.style import STYLE
from library.studies.config import ARMS
from studies.design import facts
from studies.words import (
    LIGHTS, MEANINGS, NO_VERDICT, WORDS, arm_name, between, chance, classifier_name, digits_of,
    group_name, groups, metric_name, question, signed, size_name, value, verdict, within,
)  # fmt: skip

Content = Mapping[str, Any]
_ORDER = ("red", "amber", "grey", "green")
_SHAPES = {"red": "■", "amber": "▲", "grey": "○", "green": "●"}
_SAID = {"red": "red", "amber": "amber", "grey": "not estimable", "green": "green"}
_LIGHTS = {
    "usefulness": ("Usefulness", "Did a classifier gain from the synthetic images?"),
    "shortcut": ("Shortcut", "Is “synthetic” learnt as a sign of a class?"),
    "told_apart": ("Told apart", "Can a classifier tell synthetic images from real ones?"),
}
_OTHERS = "The other classifiers and sizes"
_MEANS = {
    "usefulness": {"green": "it did", "amber": "no benefit was shown", "red": "it got worse"},
    "shortcut": {
        "green": "no sign of it", "amber": "there is a sign, or it cannot be excluded",
        "red": "it is",
    },
    "told_apart": {"green": "hardly, or not at all", "amber": "to some degree", "red": "easily"},
}  # fmt: skip
_STYLE = """
.answer { border: 1px solid var(--line); border-left: 10px solid var(--grey); border-radius: 8px;
  padding: 1rem 1.2rem; margin: 1.2rem 0 }
.answer.red { border-left-color: var(--red) } .answer.amber { border-left-color: var(--amber) }
.answer.green { border-left-color: var(--green) }
.answer .word { font-size: clamp(1.8rem, 7vw, 2.6rem); font-weight: 700; line-height: 1.15;
  margin: 0 0 .5rem }
.answer.red .mark { color: var(--red) } .answer.amber .mark { color: var(--amber) }
.answer.green .mark { color: var(--green) }
.answer p { margin: .5rem 0 } .answer figure { margin: .8rem 0 0 }
h1, h2, p, li, caption, figcaption { overflow-wrap: anywhere } caption { max-width: 36rem }
thead th { white-space: normal; vertical-align: bottom; min-width: 4.2rem }
tbody th { white-space: normal; overflow-wrap: anywhere; min-width: min(13rem, 36vw) }
@media print { .answer { break-inside: avoid } .wide { overflow: visible }
  details::details-content { content-visibility: visible; height: auto }
  summary { list-style: none } table { font-size: .7rem } th, td { padding-right: .5rem } }
"""


def html(content: Content, figures: Mapping[str, bytes]) -> str:
    """The page; figures are SVGs by name."""
    title = question(content)
    name = f"{content['name']}, " if content["name"] else ""
    parts = [
        "<!doctype html>",
        f"<html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>",
        "<meta name=viewport content='width=device-width'>",
        f"<style>{STYLE}{_STYLE}</style></head><body><main>",
        f"<header><h1>{escape(title)}</h1><p class=quiet>{escape(name)}study "
        f"{escape(content['study'])}. Synthetic images; not for diagnosis.</p></header>",
        _dangers(content),
        _answer(content, figures),
        _lights(content),
        section("Fixed before the first run", _design(content)),
        section("What each classifier reached", _arms(content, figures)),
        section("All contrasts", _contrasts(content, figures)),
        _low_data(content, figures),
        section("Told apart", _told_apart(content)),
        section("Shortcut", _shortcut(content)),
        section("The large test", _large_test(content)),
        section("Data", _data(content)),
        section("Limits", "<ul>" + "".join(f"<li>{escape(t)}</li>" for t in content["limits"])
                 + "</ul>"),
        section("Software", fact_table(content["software"])),
        "</main></body></html>\n",
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _dangers(content: Content) -> str:
    found = []
    if not content["data"]["patients_known"]:
        found.append("Patients are not known: that a patient is both trained and tested on cannot "
                     "be excluded, and every image counts as a patient of its own.")  # fmt: skip
    if content["data"]["test_split"] == "validation":
        found.append("Tested on the validation images: where they chose a checkpoint or a setting "
                     "before, they are not quite unseen.")  # fmt: skip
    return "".join(f"<p class=danger>{escape(text)}</p>" for text in found)


def _answer(content: Content, figures: Mapping[str, bytes]) -> str:
    found, contrast = verdict(content), content["verdict"]["contrast"]
    delta, metric, digits = (
        content["config"]["smallest_useful_effect"], metric_name(content), digits_of(content)
    )  # fmt: skip
    lines = [f"<p>{escape(content['verdict']['text'])}</p>"]
    if found != NO_VERDICT:
        lines.append(
            f"<p>Synthetic images, in place of as many duplicates of real ones, changed {metric} by "
            f"<strong>{signed(contrast['difference'], digits)}</strong> (95% interval "
            f"{between(contrast['interval'], digits, True)}). That a change below {delta:g} would "
            "not matter was said before anything was run.</p>"
        )
    lines.append(f"<p class=quiet>“{found.capitalize() if found != NO_VERDICT else 'No answer'}” "
                 f"means: {MEANINGS[found]}.</p>")  # fmt: skip
    picture = figure(
        figures, "primary.svg",
        f"The primary contrast: {metric} with synthetic images less {metric} with duplicates, and "
        f"its 95% interval, against the smallest useful effect of {delta:g}",
    )  # fmt: skip
    return (
        f"<section class='answer {LIGHTS[found]}' aria-label='The answer'>"
        f"<p class=word><span class=mark aria-hidden=true>{_SHAPES[LIGHTS[found]]}</span> "
        f"{WORDS[found]}</p>{''.join(lines)}{picture}</section>"
    )


def _lights(content: Content) -> str:
    cards = []
    lights = sorted(content["lights"].items(), key=lambda item: _ORDER.index(item[1]))
    for light, found in lights:
        checks = [check for check in content["checks"] if check["light"] == light]
        checks.sort(key=lambda check: _ORDER.index(check["verdict"]))
        items = "".join(
            f"<li class={each['verdict']}><span class=mark aria-hidden=true>"
            f"{_SHAPES[each['verdict']]}</span> <span><b>{_SAID[each['verdict']]}</b> "
            f"{escape(each['text'])}</span></li>"
            for each in checks
        )
        name, asks = _LIGHTS.get(light, (light.replace("_", " ").capitalize(), ""))
        means = _MEANS.get(light, {}).get(found)
        words = f"{asks} {_SAID[found].capitalize()}: {means}." if means else asks
        listed = f"<ul class=checks>{items}</ul>" if items else ""
        cards.append(
            f"<article class='light {found}'><h2><span class=mark aria-hidden=true>"
            f"{_SHAPES[found]}</span> {escape(name)}: {_SAID[found]}</h2>"
            f"<p class=quiet>{words}</p>{listed}</article>"
        )
    return f"<div class=lights>{''.join(cards)}</div>" if cards else ""


def _design(content: Content) -> str:
    words = (
        "<p>The configuration was closed before anything was trained. The primary contrast, its k "
        "and its smallest useful effect were therefore not chosen by a result; every other contrast "
        "is secondary, and its p is corrected for their number.</p>"
    )
    used = dict.fromkeys(row["arm"] for row in content["arms"])
    arms = [(arm_name(arm), ARMS.get(arm, "")) for arm in used]
    return words + fact_table(facts(content)) + details(
        "What the arms are", [fact_table(dict(arms))]
    )  # fmt: skip


def _arms(content: Content, figures: Mapping[str, bytes]) -> str:
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
        "patients, generators or partitions, and classifiers. Well calibrated: slope 1, intercept "
        "0. All intervals are in tables/arms.csv.</p>"
    )
    picture = figure(figures, "arms.svg", f"{metric_name(content)} of each arm, 95% intervals")
    return note + _first_open(tables, _OTHERS) + picture


def _metric(row: Mapping[str, Any], name: str) -> str:
    return value(row["metrics"].get(name, {}).get("value"))


def _first_open(tables: Sequence[str], summary: str) -> str:
    return "".join(tables[:1]) + (details(summary, tables[1:]) if tables[1:] else "")


def _contrasts(content: Content, figures: Mapping[str, bytes]) -> str:
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
        "<p>Each contrast is a difference between two arms on the same test images. Benefit: the "
        "interval lies above 0. Harm: below 0. Equivalent: within "
        f"±{delta:g}. Inconclusive: neither. The verdict of a secondary contrast is its own "
        "interval’s; trust it only where Holm’s p, which corrects for all secondary contrasts, is "
        "small too.</p>"
    )
    alt = f"Every contrast in {metric_name(content)} with its 95% interval; shaded: too small to matter"
    return (
        words + figure(figures, "contrasts.svg", alt)
        + _first_open(tables, _OTHERS)
    )  # fmt: skip


def _low_data(content: Content, figures: Mapping[str, bytes]) -> str:
    if "low-data.svg" not in figures:
        return ""
    words = (
        "<p>The same study with fewer training patients: the generator, too, was trained on those "
        "alone. Above what the arms reach, below what synthetic images add to as many "
        "duplicates.</p>"
    )
    alt = f"{metric_name(content)} by share of the training set, 95% intervals"
    return section("With less data", words + figure(figures, "low-data.svg", alt))


def _told_apart(content: Content) -> str:
    if not content["told_apart"]:
        return ""
    rows = [
        (_made_by(content, number, row), value(row["auroc"]), between(row["interval"]),
         f"{row['n']:,}")
        for number, row in enumerate(content["told_apart"], 1)
    ]  # fmt: skip
    words = (
        "<p>A linear probe tries to tell synthetic from real images, on images that it was not "
        "trained on. AUROC 0.5: it cannot. 1: every one is told. Images that are told apart can "
        "still be useful, but a classifier may learn the difference as well.</p>"
    )
    header = ("images of", "AUROC", "95% interval", "n")
    tables = table("Told apart, by generator", header, rows)
    return words + (details(f"All {len(rows)} generators", [tables]) if len(rows) > 6 else tables)


def _made_by(content: Content, number: int, row: Mapping[str, Any]) -> str:
    if content["kind"] == "small_class":
        return f"the generator of fold {number}"
    name = f"generator {row['generator'] + 1}"
    several = len(content["config"]["sizes"]) > 1
    return f"{name}, {size_name(content, row['size'])}" if several else name


def _shortcut(content: Content) -> str:
    if not content["shortcut"]:
        return ""
    positive = content["positive"]
    words = (
        f"<p>How often images of the other classes are taken for {escape(positive)}: synthetic "
        "ones, and real ones. Where synthetic images were trained on in one class alone, "
        f"“synthetic” can become a sign of {escape(positive)}; then the first share is the "
        "larger.</p>"
    )
    header = ("trained on", "of synthetic", "of real", "difference", "95% interval")
    tables = [
        table(
            f"Taken for {positive}: {group_name(content, *group)}",
            header,
            [
                (arm_name(row["arm"]), _share(row["rate_synthetic"]), _share(row["rate_real"]),
                 signed(row["difference"]), between(row["interval"], sign=True))
                for row in within(content["shortcut"], group)
            ],
        )
        for group in groups(content, content["shortcut"])
    ]  # fmt: skip
    return words + _first_open(tables, _OTHERS)


def _share(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.1%}"


def _large_test(content: Content) -> str:
    if not content["large_test"]:
        return ""
    rows = [
        (f"{classifier_name(row['classifier'])}, {arm_name(row['arm'], row['ratio'])}",
         value(row["cross_validated"]["value"]), between(row["cross_validated"]["interval"]),
         value(row["large"]["value"]), "yes" if row["inside"] else "no")
        for row in content["large_test"]
    ]  # fmt: skip
    words = (
        f"<p>The study saw {content['config']['small_count']:,} images of the small class. Its "
        "other patients, whom nothing was trained on, say what the cross-validated numbers were "
        "worth: an honest 95% interval holds the large test’s value nearly always.</p>"
    )
    header = ("classifier, arm", f"{metric_name(content)}, cross-validated", "95% interval",
              "large test", "inside")  # fmt: skip
    return words + table("Cross-validated, and on the large test", header, rows)


def _data(content: Content) -> str:
    rows = [
        (f"{each['name']}, {part}", f"{each[part]['images']:,}",
         "not known" if each[part]["patients"] is None else f"{each[part]['patients']:,}",
         *(f"{each[part]['labels'].get(label, 0):,}" for label in content["labels"]))
        for each in content["data"]["partitions"]
        for part in ("train", "test")
    ]  # fmt: skip
    header = ("partition", "images", "patients", *content["labels"])
    partitions = table("Partitions", header, rows)
    if len(rows) > 6:
        partitions = details(f"All {len(rows) // 2} partitions", [partitions])
    return fact_table(content["data"]["dataset"]) + partitions
