"""The methods of a paper, from a study's content: what was done, by whose method, what was fixed
beforehand, and where each part of it goes in two checklists."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from library.studies.config import ARMS, NETWORK, PROBE
from studies.arms import BATCH
from studies.design import counted, generator, tested
from studies.sources import cited
from studies.statistical_methods import analysis
from studies.words import (
    arm_name,
    classifier_name,
    marked,
    metric_name,
    one_generator,
    size_name,
)

Content = Mapping[str, Any]
_WIDTH = 100
# Part of this text -> items of CLAIM (2024) and of TRIPOD+AI that ask for it.
_ITEMS = (
    ("Data; which patients are in which partition", "7, 19, 20", "5, 16"),
    ("Resolution and fit of the images", "9", "7"),
    ("Numbers of images and patients", "21", "10"),
    ("Classifiers, arms, budget", "22, 24, 25", "12"),
    ("Arms that weigh or oversample classes", "25", "13"),
    ("Metrics, intervals, corrections", "28, 29", "12"),
    ("Smaller sizes, shortcut, told apart", "30", "12"),
    ("Results with intervals", "32, 37, 38", "23"),
    ("Limits", "40", "26"),
    ("Configuration with its seeds, software", "23, 42, 43", "18"),
)


def methods(content: Content) -> str:
    """methods.md.  A user's names are escaped: what they hold is no Markdown."""
    parts = [
        "# Methods",
        _wrapped(_design(content)),
        _wrapped(_data(content)),
        _wrapped(_training(content)),
        _list(_arms(content)),
        _wrapped(_classifiers(content)),
        *map(_wrapped, analysis(content)),
        "## Limits",
        _list(list(map(marked, content["limits"]))),
        "## Software",
        _wrapped(", ".join(f"{marked(k)} {marked(v)}" for k, v in content["software"].items())
                 + f"; study {content['study']}, seed {content['config']['seed']}."),
        "## Where this goes in a checklist",
        _checklists(),
    ]  # fmt: skip
    text = "\n\n".join(part for part in parts if part)
    return f"{text}\n\n## References\n\n{_list(cited(text))}\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_on_hyphens=False, break_long_words=False)


def _list(lines: list[str]) -> str:
    return "\n".join(
        textwrap.fill(line, _WIDTH, initial_indent="- ", subsequent_indent="  ",
                      break_on_hyphens=False, break_long_words=False)
        for line in lines
    )  # fmt: skip


def _design(content: Content) -> str:
    config = content["config"]
    others = ", ".join(marked(label) for label in content["labels"] if label != content["positive"])
    kind = (
        "by repeated cross-validation of a small class"
        if content["kind"] == "small_class" else "on one test set of other patients"
    )  # fmt: skip
    return (
        f"It was studied whether synthetic images help a classifier to tell "
        f"{marked(content['positive'])} from {others}, {kind}. The configuration was resolved and "
        "stored before the first training run and was not changed afterwards. It fixed one primary "
        f"contrast: {metric_name(content)} of the {classifier_name(config['primary_classifier'])} "
        f"trained on real and synthetic images ({config['ratio']:g} for each real one) less that "
        "of the same classifier trained on real images and as many duplicates of them, on "
        f"{size_name(content, config['sizes'][0])}; and a smallest useful effect of "
        f"{config['smallest_useful_effect']:g}. All other contrasts are secondary."
    )


def _data(content: Content) -> str:
    config, data = content["config"], content["data"]
    dataset = data["dataset"] or {}
    disjoint = (
        "No patient is in both." if data["patients_known"]
        else "Patients are not known: images, not patients, were kept apart and counted as "
        "independent."
    )  # fmt: skip
    trained = "classifiers" if one_generator(content) else "generator and classifiers"
    folds = (
        f" The patients were dealt into {config['folds']} folds, stratified by class, "
        f"{config['repeats']} times; in each, {trained} were trained on the other folds alone."
        if content["kind"] == "small_class" else ""
    )  # fmt: skip
    few, rest = "", data["large_test"]
    if config["small_count"]:
        few = f" {config['small_count']:,} images of {marked(content['positive'])} took part."
    if rest and rest.get("set_aside"):
        few += (
            f" {rest['set_aside']:,} images of other classes took none, since their patients are "
            "in the large test."
        )
    smaller = " and ".join(size_name(content, size) for size in config["sizes"] if size != 1)
    shares = "drawn anew for each generator" + (
        "" if one_generator(content) else ", which was trained on the same share"
    )
    sizes = (
        "" if not smaller
        else f" The study was repeated with {smaller}, {shares}." if 1 in config["sizes"]
        else f" Trained on was a share, {smaller}, {shares}."
    )  # fmt: skip
    owed = str(dataset.get("attribution") or "").rstrip(".")
    source = f" {marked(owed)}." if owed else ""
    return (
        f"Data: {marked(dataset.get('name') or dataset.get('id'))} (fingerprint "
        f"{dataset.get('fingerprint')}).{source} Training: {counted(content, 'train')}; test: "
        f"{counted(content, 'test')} ({tested(content)}). {disjoint}{folds}{few}{sizes} All "
        f"images, real and synthetic, went through one pipeline to {config['resolution']} x "
        f"{config['resolution']} pixels of 8 bits ({config['fit']})."
    )


def _training(content: Content) -> str:
    config = content["config"]
    ratios = dict.fromkeys((config["ratio"], *config["other_ratios"]))
    only = ", ".join(map(marked, config["synthetic_classes"]))
    classes = (
        f"Synthetic images, and the duplicates they are held against, are of {only} alone."
        if only
        else "Where real and synthetic images are trained on together, synthetic ones are in every "
        "class, so that “synthetic” cannot stand for one, but for the arm that says otherwise."
    )
    return (
        f"Synthetic images came from a generator ({marked(generator(content))}). Every arm had "
        f"the same budget, whatever it was trained on: {config['epochs']:g} epochs of the real "
        f"images, and no fewer than {config['steps_min']} steps of {BATCH} images. {classes} The "
        f"arms (k: images added for each real one, {', '.join(f'{k:g}' for k in ratios)}):"
    )


def _arms(content: Content) -> list[str]:
    used = {row["arm"] for row in content["arms"]}
    return [f"{arm_name(arm)}: {ARMS[arm]}" for arm in content["config"]["arms"] if arm in used]


def _classifiers(content: Content) -> str:
    config = content["config"]
    known = {
        PROBE: "a linear probe (logistic regression on fixed features of the images)",
        NETWORK: "a small convolutional network, trained from scratch",
    }
    own = dict.fromkeys(
        row["classifier"] for row in content["arms"] if row["classifier"] not in known
    )
    added = (
        f" Predictions of models of our own ({', '.join(map(_own, own))}), trained "
        "on the same lists of images, were scored by the same code."
        if own else ""
    )  # fmt: skip
    seeds = config["seeds"]
    times = "once" if seeds == 1 else f"{seeds} times, each time from another start"
    often = {
        NETWORK: f"The network was trained {times}, for every arm and {_draw(content)}.",
        PROBE: "The probe, which has one optimum, was fitted once for each of them"
        + (f", and for each of {seeds} draws of duplicates." if seeds > 1 else "."),
    }
    return (
        f"Classifiers were {' and '.join(known[name] for name in config['classifiers'])}. "
        f"{' '.join(often[name] for name in often if name in config['classifiers'])}{added}"
    )


def _draw(content: Content) -> str:
    if content["kind"] == "small_class":
        return "fold"
    return "draw of synthetic images" if one_generator(content) else "generator"


def _own(classifier: str) -> str:
    """Of a model of the user's own, its name."""
    return marked(classifier.partition(":")[2] or classifier)


def _checklists() -> str:
    lines = [
        _wrapped(
            "Item numbers of CLAIM (Tejani 2024) and TRIPOD+AI (Collins 2024) that these parts "
            "answer. All others are for the authors."
        ),
        "",
        "| part | CLAIM 2024 | TRIPOD+AI |",
        "|---|---|---|",
        *(f"| {part} | {claim} | {tripod} |" for part, claim, tripod in _ITEMS),
    ]
    return "\n".join(lines)
