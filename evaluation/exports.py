"""For a paper: tables as CSV and LaTeX, and the CLAIM checklist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.checklist import ITEMS
from evaluation.plots import metric
from evaluation.tabular import Table, written

Content = Mapping[str, Any]


def tables(content: Content) -> dict[str, str]:
    """File name -> text, each table as .csv and .tex; those that the report has."""
    made = {
        "fidelity": _fidelity(content),
        "ruler": _ruler(content),
        "usefulness": _usefulness(content),
        "privacy": _privacy(content),
    }
    return written(made)


def _fidelity(content: Content) -> Table:
    kid, fd = metric(content, "kid"), metric(content, "fd")
    names = (kid, fd, "precision", "density", "coverage", "duplicates", "laterality")
    header = ("class", "number", "n", "generated", "low", "high", "floor", "floor_sd", "z")
    rows: list[Sequence[Any]] = []
    for label, each in content["fidelity"].items():
        for name in names:
            if each.get(name) is not None:
                rows.append(
                    (label, name, each["n"], each[name], *each[f"{name}_interval"],
                     each[f"{name}_floor"], each[f"{name}_sd"], each[f"{name}_z"])
                )  # fmt: skip
        rows.append(
            (label, "msssim", each["n"], each["msssim_fake"], *each["msssim_interval"],
             each["msssim_floor"], each["msssim_sd"], each["msssim_z"])
        )  # fmt: skip
    return header, rows


def _ruler(content: Content) -> Table:
    kid, fd = metric(content, "kid"), metric(content, "fd")
    rows = [
        (label, row["damage"], row[kid], row[fd], row["precision"], row["coverage"])
        for label, found in content["ruler"].items()
        for row in found
    ]
    return ("class", "damage", kid, fd, "precision", "coverage"), list(rows)


def _usefulness(content: Content) -> Table:
    header = ("trained_on", "auroc", "low", "high", "balanced_accuracy")
    probe = content["usefulness"]["probe"]
    if not probe:
        return header, []
    return header, [
        (name, arm["auroc"], *arm["auroc_interval"], arm["balanced_accuracy"])
        for name, arm in probe["arms"].items()
    ]


def _privacy(content: Content) -> Table:
    header = ("class", "generated", "flagged", "low", "high", "expected", "copies",
              "p_correlation", "p_distance", "p_nearest_is_train")  # fmt: skip
    rows = [
        (label, each["n_fake"], each["flagged_share"], *each["flagged_interval"],
         each["flagged_expected"], each["copies"], each["correlation"]["p"],
         each["distance"]["p"], min(t["p"] for t in each["nearest_is_train"].values()))
        for label, each in content["privacy"]["near_copies"].items()
    ]  # fmt: skip
    return header, list(rows)


def claim(content: Content) -> str:
    """CLAIM 2024, filled as far as the report can."""
    lines = [
        "# CLAIM checklist (2024 update)",
        "",
        "Items in our words, after Tejani et al., Radiology: Artificial Intelligence 6 (2024), "
        "doi:10.1148/ryai.240300. “Authors” marks what this report cannot know.",
        "",
        "| no. | item | from this report |",
        "|---|---|---|",
    ]
    for number, (item, fill) in enumerate(ITEMS, 1):
        text = fill(content) if fill else None
        lines.append(f"| {number} | {item} | {_cell(text) if text else 'Authors'} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
