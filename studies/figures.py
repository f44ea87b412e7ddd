"""A study's figures as SVG, from its content alone: the same content, the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.plots import ACCENT, FLOOR, MADE, REAL, drawn
from library.studies.config import WITH_SYNTHETIC
from studies.words import (
    NO_VERDICT,
    arm_name,
    between,
    classifier_name,
    digits_of,
    groups,
    metric_name,
    percent,
    signed,
    value,
    verdict,
    within,
)

Content = Mapping[str, Any]
Row = Mapping[str, Any]
_WIDTH, _LINE = 6.4, 0.21  # inches: of a figure, and of a row of it
_LONGEST = 30  # characters of a name
COLOURS = {"benefit": FLOOR, "equivalent": REAL, "inconclusive": ACCENT, "harm": MADE}
# Told apart without colours too.
_MARKS = {"benefit": "^", "equivalent": "s", "inconclusive": "o", "harm": "v"}
_BAND = "#DDE7EE"


def figures(content: Content) -> dict[str, bytes]:
    """Name -> SVG; only those for which there is something to show."""
    # Names are a user's: no formula begins in them.
    return drawn(
        content,
        {
            "primary.svg": _primary,
            "contrasts.svg": _contrasts,
            "arms.svg": _arms,
            "low-data.svg": _low_data,
        },
        **{"text.parse_math": False, "axes.unicode_minus": True},
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _heading(content: Content, classifier: str, size: float) -> str:
    name = _short(classifier_name(classifier))
    return name if len(content["config"]["sizes"]) == 1 else f"{name}, {percent(size)} of training"


def band(axis: Axes, delta: float, upright: bool = True) -> None:
    """What is too small to matter, and no difference."""
    (axis.axvspan if upright else axis.axhspan)(-delta, delta, color=_BAND, lw=0, zorder=0)
    (axis.axvline if upright else axis.axhline)(0, color=ACCENT, lw=0.8, zorder=1)


def _primary(content: Content) -> Figure | None:
    """The one contrast that was named beforehand: small, so that a phone can show it."""
    if verdict(content) == NO_VERDICT:
        return None
    found, delta = content["verdict"]["contrast"], content["config"]["smallest_useful_effect"]
    low, high = found["interval"]
    colour = COLOURS[found["verdict"]]
    figure = Figure(figsize=(4.3, 1.45), layout="constrained")
    axis = figure.subplots()
    band(axis, delta)
    axis.plot([low, high], [0, 0], color=colour, lw=4, solid_capstyle="round")
    axis.plot(found["difference"], 0, "D", color=colour, ms=9, mec="white")
    digits = digits_of(content)
    words = f"{signed(found['difference'], digits)} ({between(found['interval'], digits, True)})"
    # Beside the middle of the picture, wherever the interval lies.
    axis.text(0.5, 0.9, words, transform=axis.transAxes, ha="center", va="top", weight="bold")
    reach = 1.25 * max(abs(low), abs(high), 1.6 * delta)
    axis.set(xlim=(-reach, reach), ylim=(-0.7, 1.1), yticks=[])
    axis.spines["left"].set_visible(False)
    axis.locator_params(axis="x", nbins=5)
    axis.set_title("← duplicates better", loc="left", fontsize=8, weight="normal")
    axis.set_title("synthetic better →", loc="right", fontsize=8, weight="normal")
    axis.set_xlabel(
        f"difference in {metric_name(content)}; shaded: too small to matter (±{delta:g})",
        fontsize=8,
    )
    return figure


def _grouped(
    content: Content, rows: Sequence[Row]
) -> tuple[Figure, Axes, list[tuple[float, Row]], list[tuple[float, str]]]:
    """A figure of as many lines as there are rows and headings: places of each, from the top."""
    placed: list[tuple[float, Row]] = []
    headings: list[tuple[float, str]] = []
    place = 0.0
    for group in groups(content, rows):
        place += 0.4 if headings else 0
        headings.append((place, _heading(content, *group)))
        for row in within(rows, group):
            place += 1
            placed.append((place, row))
        place += 1
    figure = Figure(figsize=(_WIDTH, 0.9 + _LINE * place), layout="constrained")
    axis = figure.subplots()
    axis.set_ylim(place - 0.2, -0.8)
    axis.set_yticks([at for at, _ in (*headings, *placed)])
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    return figure, axis, placed, headings


def _contrasts(content: Content) -> Figure | None:
    """Forest plot of every contrast that could be estimated."""
    rows = [row for row in content["contrasts"] if row["interval"][0] is not None]
    if not rows:
        return None
    figure, axis, placed, headings = _grouped(content, rows)
    delta, digits = content["config"]["smallest_useful_effect"], digits_of(content)
    band(axis, delta)
    # One arm that fails must not press the others together: it is cut, and its numbers tell.
    ends = np.abs([row["interval"] for row in rows])
    reach = 1.05 * max(min(float(ends.max()), 5 * float(np.median(ends))), 2 * delta)
    axis.set_xlim(-reach, reach)
    edge = 0.96 * reach  # an arrow's head touches no words
    texts = [text for _, text in headings]
    for place, row in placed:
        low, high = row["interval"]
        colour = COLOURS[row["verdict"]]
        axis.plot(np.clip([low, high], -edge, edge), [place, place], color=colour, lw=1.8)
        if low < -edge:
            axis.plot(-edge, place, "<", color=colour, ms=4, clip_on=False)
        if high > edge:
            axis.plot(edge, place, ">", color=colour, ms=4, clip_on=False)
        if abs(row["difference"]) <= edge:
            mark, large = ("D", 7) if row["primary"] else (_MARKS[row["verdict"]], 5)
            axis.plot(row["difference"], place, mark, color=colour, ms=large, mec="white", mew=0.6)
        texts.append(f"{arm_name(row['arm'], row['ratio'])} − {_control(row)}")
    _finish(axis, texts, len(headings), placed, [
        f"{signed(row['difference'], digits)} ({between(row['interval'], digits, True)})"
        for _, row in placed
    ])  # fmt: skip
    axis.set_xlabel(f"difference in {metric_name(content)}, 95% interval", fontsize=8)
    for kind, mark in _MARKS.items():
        axis.plot([], [], mark, color=COLOURS[kind], ms=5, label=kind)
    axis.plot([], [], "D", color=ACCENT, ms=6, label="primary")
    axis.fill_between([], [], color=_BAND, label=f"smaller than ±{delta:g}")
    figure.legend(frameon=False, fontsize=7, loc="outside lower center", ncols=6,
                  handletextpad=0.3, columnspacing=1.2)  # fmt: skip
    return figure


def _control(row: Row) -> str:
    return "duplicates" if row["control"] == "duplicates" else arm_name(row["control"])


def _finish(
    axis: Axes, texts: Sequence[str], headings: int, placed: Sequence[tuple[float, Row]],
    beside: Sequence[str],
) -> None:  # fmt: skip
    """Names at the ticks, numbers at the right; the primary row bold."""
    axis.set_yticks(axis.get_yticks(), list(texts), fontsize=8)
    for number, label in enumerate(axis.get_yticklabels()):
        bold = number < headings or placed[number - headings][1].get("primary")
        label.set_fontweight("bold" if bold else "normal")
    for (place, row), text in zip(placed, beside, strict=True):
        axis.annotate(text, (1.02, place), xycoords=("axes fraction", "data"), va="center",
                      fontsize=7.5, weight="bold" if row.get("primary") else "normal",
                      annotation_clip=False)  # fmt: skip
    axis.tick_params(axis="x", labelsize=8)


def _arms(content: Content) -> Figure | None:
    """Each arm's primary metric with its interval, beside real images alone."""
    metric = content["config"]["metric"]
    rows = [
        row for row in content["arms"]
        if metric in row["metrics"] and row["metrics"][metric]["interval"][0] is not None
    ]  # fmt: skip
    if not rows:
        return None
    figure, axis, placed, headings = _grouped(content, rows)
    texts = [text for _, text in headings]
    for group in groups(content, rows):
        places = [place for place, row in placed if (row["classifier"], row["size"]) == group]
        for row in within(rows, group):
            if row["arm"] == "real":
                at, ends = row["metrics"][metric]["value"], (places[0] - 0.4, places[-1] + 0.4)
                axis.plot([at, at], ends, color=REAL, lw=0.8, ls=":")
    for place, row in placed:
        found = row["metrics"][metric]
        axis.plot(found["interval"], [place, place], color=ACCENT, lw=1.6)
        axis.plot(found["value"], place, "o", color=_colour(row["arm"]), ms=5, mec="white",
                  mew=0.6)  # fmt: skip
        texts.append(arm_name(row["arm"], row["ratio"]))
    _finish(axis, texts, len(headings), placed, [
        f"{value(row['metrics'][metric]['value'])} ({between(row['metrics'][metric]['interval'])})"
        for _, row in placed
    ])  # fmt: skip
    axis.set_xlabel(f"{metric_name(content)} on unseen test images, 95% interval", fontsize=8)
    axis.plot([], [], "o", color=REAL, ms=5, label="real images only")
    axis.plot([], [], "o", color=MADE, ms=5, label="with synthetic images")
    axis.plot([], [], color=REAL, lw=0.8, ls=":", label="real alone")
    figure.legend(frameon=False, fontsize=7, loc="outside lower center", ncols=3)
    return figure


def _colour(arm: str) -> str:
    return MADE if arm in WITH_SYNTHETIC else REAL


def _low_data(content: Content) -> Figure | None:
    """By share of the training set: what the arms reach, and what synthetic images add."""
    sizes = sorted(content["config"]["sizes"])
    metric, ratio = content["config"]["metric"], content["config"]["ratio"]
    shown = (("real", None, REAL, "o"), ("duplicates", ratio, FLOOR, "s"),
             ("real_synthetic", ratio, MADE, "^"))  # fmt: skip
    classifiers = [
        name for name in dict.fromkeys(row["classifier"] for row in content["arms"])
        if len({row["size"] for row in content["arms"] if row["classifier"] == name}) > 1
    ]  # fmt: skip
    if len(sizes) < 2 or not classifiers:
        return None
    figure = Figure(figsize=(_WIDTH, 4.6), layout="constrained")
    axes = figure.subplots(2, len(classifiers), squeeze=False, sharex=True, sharey="row")
    for column, classifier in enumerate(classifiers):
        top, bottom = axes[0][column], axes[1][column]
        for shift, (arm, k, colour, mark) in zip((-0.12, 0, 0.12), shown, strict=True):
            found = {
                row["size"]: row["metrics"][metric] for row in content["arms"]
                if (row["classifier"], row["arm"], row["ratio"]) == (classifier, arm, k)
            }  # fmt: skip
            _by_size(top, sizes, found, "value", shift, colour, mark, arm_name(arm, k))
        differences = {
            row["size"]: row for row in content["contrasts"]
            if (row["classifier"], row["arm"]) == (classifier, "real_synthetic")
            and (row["control"], row["ratio"]) == ("duplicates", ratio)
        }  # fmt: skip
        band(bottom, content["config"]["smallest_useful_effect"], upright=False)
        _by_size(bottom, sizes, differences, "difference", 0, MADE, "D", None)
        top.set_title(_short(classifier_name(classifier)), loc="left")
        bottom.set_xticks(range(len(sizes)), [percent(size) for size in sizes])
        bottom.set_xlabel("share of the training set", fontsize=8)
        bottom.set_xlim(-0.5, len(sizes) - 0.5)
    axes[0][0].set_ylabel(metric_name(content))
    axes[1][0].set_ylabel("synthetic − duplicates")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=7.5, loc="outside lower center", ncols=3)
    return figure


def _by_size(
    axis: Axes, sizes: Sequence[float], found: Mapping[float, Row], name: str, shift: float,
    colour: str, mark: str, label: str | None,
) -> None:  # fmt: skip
    """Points with their intervals, in a line over the sizes that could be estimated."""
    there = [
        (place + shift, found[size]) for place, size in enumerate(sizes)
        if size in found and found[size]["interval"][0] is not None
    ]  # fmt: skip
    for place, each in there:
        axis.plot([place, place], each["interval"], color=colour, lw=1.6)
    axis.plot([place for place, _ in there], [each[name] for _, each in there], f"{mark}-",
              color=colour, lw=1, ms=5, mec="white", mew=0.6, label=label)  # fmt: skip
