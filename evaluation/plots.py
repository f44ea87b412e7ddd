"""The report's figures as SVG, from its content alone: the same content, the same bytes."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

_STYLE = {
    "svg.hashsalt": "synthorax",
    "svg.fonttype": "path",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
}
# Okabe and Ito's colours, which colour-blind readers can tell apart.
REAL, MADE, FLOOR, ACCENT = "#0072B2", "#D55E00", "#009E73", "#555555"
_WIDTH = 6.4

Content = Mapping[str, Any]


def figures(content: Content) -> dict[str, bytes]:
    """Name -> SVG; only those for which there is something to show."""
    drawings = {
        "ruler.svg": _ruler,
        "coverage.svg": _coverage,
        "nearest.svg": _nearest,
        "usefulness.svg": _usefulness,
        "scatter.svg": _scatter,
        "confusion.svg": _confusion,
    }
    # A label may hold dollar signs, which matplotlib would take for formulas.
    return drawn(json.loads(json.dumps(content).replace("$", r"\\$")), drawings)


def drawn(
    content: Content, drawings: Mapping[str, Callable[[Content], Figure | None]], **style: Any
) -> dict[str, bytes]:
    """Name -> SVG of each drawing that has something to show; style: further rcParams."""
    found = {}
    settings: Any = _STYLE | style
    with plt.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a label that the font cannot draw
        for name, draw in drawings.items():
            figure = draw(content)
            if figure is not None:
                out = io.BytesIO()
                figure.savefig(out, format="svg", metadata={"Date": None}, bbox_inches="tight")
                plt.close(figure)
                found[name] = out.getvalue()
    return found


def _panels(count: int, height: float, columns: int = 2) -> tuple[Figure, list[Any]]:
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(_WIDTH, height * rows), squeeze=False, layout="constrained"
    )
    flat = list(axes.ravel())
    for unused in flat[count:]:
        unused.set_visible(False)
    return figure, flat[:count]


def metric(content: Content, kind: str) -> str:
    """The name of this report's KID or FD: it carries the extractor's."""
    names: list[str] = content["protocol"]["metrics"]
    return next(name for name in names if name.startswith(f"{kind}_"))


def _ruler(content: Content) -> Figure | None:
    rulers, kid = content["ruler"], metric(content, "kid")
    if not rulers:
        return None
    figure, axes = _panels(len(rulers), 2.6, 1)
    for axis, (label, rows) in zip(axes, rulers.items(), strict=True):
        found = content["fidelity"][label]
        bars = [(row["damage"], row[kid]) for row in rows] + [("generated", found[kid])]
        bars.sort(key=lambda bar: bar[1])
        colours = [MADE if name == "generated" else "#9DB4C8" for name, _ in bars]
        axis.barh(range(len(bars)), [max(value, 0) for _, value in bars], color=colours)
        axis.set_yticks(range(len(bars)), [name for name, _ in bars])
        for place, (_, value) in enumerate(bars):
            axis.annotate(f" {value:.2g}", (max(value, 0), place), va="center", fontsize=8)
        high = found[f"{kid}_floor"] + 2 * found[f"{kid}_sd"]
        axis.axvline(high, color=FLOOR, lw=1.2, ls="--", label="floor + 2 sd")
        axis.set_xscale("symlog", linthresh=max(high, 1e-4))
        axis.set_xlim(0, max(value for _, value in bars) * 3)
        axis.set_title(f"{label}: real images, damaged, and the generated ones", loc="left")
        axis.set_xlabel(f"{kid} to unseen real images (lower is nearer)")
        axis.legend(loc="lower right", frameon=False)
    return figure


def _coverage(content: Content) -> Figure:
    names = ("precision", "density", "coverage", "laterality", "label_agreement")
    found = {
        label: {**each, **_agreement(content, label)} for label, each in content["fidelity"].items()
    }
    figure, axes = _panels(len(found), 2.2)
    for axis, (label, each) in zip(axes, found.items(), strict=True):
        shown = [name for name in names if each.get(name) is not None]
        places = np.arange(len(shown))
        axis.bar(places - 0.2, [each[f"{n}_floor"] for n in shown], 0.38, color=REAL,
                 yerr=[each[f"{n}_sd"] for n in shown], label="real, other patients")  # fmt: skip
        axis.bar(places + 0.2, [each[n] for n in shown], 0.38, color=MADE, label="generated")
        labelsshown = [n.replace("_", "\n") for n in shown]
        axis.set_xticks(places, labelsshown, rotation=0, fontsize=7.5)
        axis.set_title(f"{label}, n = {each['n']}", loc="left")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=7.5, loc="outside lower center", ncols=2)
    return figure


def _agreement(content: Content, label: str) -> dict[str, Any]:
    labels = (content["conditioning"] or {}).get("labels")
    if not labels:
        return {}
    found = labels[label]
    return {
        "label_agreement": found["agreement"],
        "label_agreement_floor": found["agreement_floor"],
        "label_agreement_sd": found["agreement_sd"],
    }


def _nearest(content: Content) -> Figure | None:
    copies = content["privacy"]["near_copies"]
    if not copies:
        return None
    figure, axes = _panels(2 * len(copies), 2.0)
    cells = iter(axes)
    for label, found in copies.items():
        for detector in ("correlation", "distance"):
            axis, each = next(cells), found["nearest"][detector]
            edges = np.array(each["edges"], dtype=float)
            axis.stairs(each["reference"], edges, color=REAL, label="unseen real")
            axis.stairs(each["generated"], edges, color=MADE, fill=True, alpha=0.45,
                        label="generated")  # fmt: skip
            axis.axvline(found[detector]["bar"], color=ACCENT, ls="--", lw=1, label="nearest 1%")
            axis.set_title(f"{label}", loc="left")
            axis.set_xlabel(f"{detector} to the nearest training image")
            axis.set_yticks([])
    axes[0].legend(frameon=False, fontsize=7.5)
    return figure


def _usefulness(content: Content) -> Figure | None:
    probe = content["usefulness"]["probe"]
    if not probe:
        return None
    names = list(probe["arms"])
    figure, axes = _panels(1, 1.9)
    for place, name in enumerate(names):
        arm = probe["arms"][name]
        low, high = arm["auroc_interval"]
        axes[0].plot([low, high], [place, place], color=ACCENT, lw=2, solid_capstyle="round")
        colour = MADE if "synthetic" in name else REAL
        axes[0].plot(arm["auroc"], place, "o", color=colour, ms=7)
        axes[0].annotate(f"{arm['auroc']:.3f}", (arm["auroc"], place), xytext=(0, 6),
                         textcoords="offset points", ha="center", fontsize=8)  # fmt: skip
    axes[0].set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes[0].set_ylim(-0.6, len(names) - 0.2)
    axes[0].invert_yaxis()
    axes[0].set_xlabel("AUROC of a linear probe on unseen patients, 95% by patients")
    axes[0].axvline(0.5, color="#BBBBBB", lw=1, ls=":")
    return figure


def _scatter(content: Content) -> Figure | None:
    reference, made = content["scatter"]["reference"], content["scatter"]["generated"]
    figure, axes = _panels(len(reference), 2.6)
    for axis, label in zip(axes, reference, strict=True):
        for points, colour, mark, name in (
            (reference[label], REAL, "o", "unseen real"),
            (made[label], MADE, "x", "generated"),
        ):
            if points:
                x, y = np.array(points, dtype=float).T
                axis.scatter(x, y, s=9, c=colour, marker=mark, lw=0.8, alpha=0.7, label=name)
        axis.set_title(label, loc="left")
        axis.set_xlabel("first principal component of real features")
        axis.set_ylabel("second")
    axes[0].legend(frameon=False, fontsize=7.5)
    return figure


def _confusion(content: Content) -> Figure | None:
    if not content["conditioning"]:
        return None
    kid = content["conditioning"]["kid"]
    labels, values = content["data"]["labels"], np.array(kid["mean"], dtype=float)
    size = min(_WIDTH, 1.6 + 0.9 * len(labels))
    figure, axis = plt.subplots(figsize=(size, size * 0.8), layout="constrained")
    axis.imshow(np.sqrt(np.maximum(values, 0)), cmap="Blues", vmin=0)
    middle = np.sqrt(np.maximum(values, 0)).max() / 2
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            ink = "white" if np.sqrt(max(value, 0)) > middle else "black"
            axis.text(j, i, f"{value:.3g}", ha="center", va="center", color=ink,
                      weight="bold" if i == j else "normal", fontsize=8)  # fmt: skip
    axis.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    axis.set_yticks(range(len(labels)), labels)
    axis.set_xlabel("real")
    axis.set_ylabel("generated")
    axis.set_title(f"{kid['metric']} between classes, n = {kid['n']}", loc="left")
    return figure
