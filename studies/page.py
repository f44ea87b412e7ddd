"""A study's results as one HTML page that stands alone: the answer first, then its grounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evaluation.markup import details, fact_table, figure, section
from evaluation.style import STYLE
from studies import sections
from studies.words import (
    LIGHTS,
    MEANINGS,
    NO_VERDICT,
    WORDS,
    metric_name,
    question,
    verdict,
)

Content = Mapping[str, Any]
_ORDER = ("red", "amber", "grey", "green")
_CHECKS = 4  # of a light, that are open
_SHAPES = {"red": "■", "amber": "▲", "grey": "○", "green": "●"}
_SAID = {"red": "red", "amber": "amber", "grey": "not estimable", "green": "green"}
_LIGHTS = {
    "usefulness": ("Usefulness", "Did a classifier gain from the synthetic images?"),
    "shortcut": ("Shortcut", "Is “synthetic” learnt as a sign of a class?"),
    "told_apart": ("Told apart", "Can a classifier tell synthetic images from real ones?"),
}
_MEANS = {
    "usefulness": {"green": "it did", "amber": "no benefit was shown", "red": "it got worse"},
    "shortcut": {
        "green": "no sign of it", "amber": "there is a sign of it",
        "red": "yes, and not every class has synthetic images",
    },
    "told_apart": {
        "green": "no better than by chance",
        "amber": "yes, but every class has synthetic ones, so that they stand for none",
        "red": "yes, and not every class has them",
    },
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
  summary { list-style: none } table { font-size: .66rem }
  thead th, tbody th { min-width: 0 } th, td { padding-right: .4rem } }
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
        section("Fixed before the first run", sections.design(content)),
        section("What each classifier reached", sections.arms(content, figures)),
        section("All contrasts", sections.contrasts(content, figures)),
        sections.low_data(content, figures),
        section("The generators", sections.generators(content)),
        section("Told apart", sections.told_apart(content)),
        section("Shortcut", sections.shortcut(content)),
        section("The large test", sections.large_test(content)),
        section("Data", sections.data(content)),
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
    config = content["config"]
    if config["generator"]["images"] and (
        content["kind"] == "small_class" or min(config["sizes"]) < 1
    ):
        found.append("The synthetic images are the same folder’s in every part of the study: if "
                     "their generator was trained on this dataset, it has seen patients who are "
                     "tested on, or left out, in some of them.")  # fmt: skip
    return "".join(f"<p class=danger>{escape(text)}</p>" for text in found)


def _answer(content: Content, figures: Mapping[str, bytes]) -> str:
    found = verdict(content)
    delta, metric = content["config"]["smallest_useful_effect"], metric_name(content)
    lines = [f"<p>{escape(content['verdict']['text'])}</p>"]
    if found != NO_VERDICT:
        lines.append(
            f"<p>That a change of {metric} below {delta:g} would not matter was said before "
            "anything was run.</p>"
        )
    if found == "benefit" and content["verdict"]["contrast"]["interval"][0] < delta:
        lines.append(f"<p>Whether they help by as much as {delta:g} is open.</p>")
    lines.append(f"<p class=quiet>“{found.capitalize() if found != NO_VERDICT else 'No answer'}” "
                 f"means: {MEANINGS[found]}.</p>")  # fmt: skip
    if any(light == "red" for name, light in content["lights"].items() if name != "usefulness"):
        lines.append("<p><strong>A light below is red: read it before this is used.</strong></p>")
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
        name, asks = _LIGHTS.get(light, (light.replace("_", " ").capitalize(), ""))
        means = _MEANS.get(light, {}).get(found)
        words = f"{asks} {_SAID[found].capitalize()}: {means}." if means else asks
        cards.append(
            f"<article class='light {found}'><h2><span class=mark aria-hidden=true>"
            f"{_SHAPES[found]}</span> {escape(name)}: {_SAID[found]}</h2>"
            f"<p class=quiet>{words}</p>{_listed(checks)}</article>"
        )
    return f"<div class=lights>{''.join(cards)}</div>" if cards else ""


def _listed(checks: Sequence[Mapping[str, Any]]) -> str:
    """The worst few, and behind them the others."""
    items = [
        f"<li class={each['verdict']}><span class=mark aria-hidden=true>"
        f"{_SHAPES[each['verdict']]}</span> <span><b>{_SAID[each['verdict']]}</b> "
        f"{escape(each['text'])}</span></li>"
        for each in checks
    ]
    shown = len(items) if len(items) <= _CHECKS + 1 else _CHECKS
    parts = [f"<ul class=checks>{''.join(part)}</ul>" for part in (items[:shown], items[shown:])]
    more = details(f"{len(items) - shown} more checks", parts[1:]) if items[shown:] else ""
    return f"{parts[0]}{more}" if items else ""
