"""For a paper: tables as CSV and LaTeX, the methods in words, and the CLAIM checklist."""

from __future__ import annotations

import textwrap
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


def methods(content: Content) -> str:
    """The methods of a paper, from protocol and data."""
    protocol, data = content["protocol"], content["data"]
    sizes = ", ".join(f"{label} {n}" for label, n in protocol["n"].items())
    settings, loader = protocol["settings"], protocol.get("loader", {})
    reference, train = data["reference"], data["train"]
    patients = (
        f"{reference['patients']} patients" if reference["patients"] else "patients not known"
    )
    seeds = protocol.get("seeds")
    made = f"{data['generated']} images" + (
        f", seeds {seeds[0]} to {seeds[1]} of each class, none picked" if seeds else ""
    )
    floors = (
        f"the training images ({train['images']}), drawn by whole patients"
        if train
        else "one half of the reference, drawn by whole patients"
    )
    packages = ", ".join(f"{k} {v}" for k, v in protocol["packages"].items())
    kid, fd = metric(content, "kid"), metric(content, "fd")
    known = "not trained on" if data.get("training_known", True) else "said not to be trained on"
    parts = (
        f"Generated images ({made}) were compared with {reference['images']} real images "
        f"({patients}) that the generator was {known}. All images went through one loader "
        f"({', '.join(map(str, loader.values())) or 'see the protocol'}) at "
        f"{protocol['native_resolution']} pixels. Features were those of "
        f"`{protocol['extractor']}` (Tan and Le, 2019); the numbers {kid} and {fd} are therefore "
        "no FID and can be compared only with others of the same extractor.",
        f"Of each class, equal numbers were compared (n: {sizes}): kernel inception distance "
        "(KID, unbiased; Binkowski et al., 2018), Frechet distance (FD; Heusel et al., 2017), "
        "precision (Kynkaanniemi et al., 2019), density and coverage (Naeem et al., 2020; k = 5), "
        "MS-SSIM of random pairs (Wang et al., 2003), near-duplicates within a set (correlation "
        "of 32 x 32 thumbnails), laterality, and the agreement of a linear judge trained on real "
        f"images. Each number has a floor: its mean over {settings['draws']} sets of real images "
        f"of the same n from {floors}. A difference was called detected when the largest of all "
        f"z exceeded 1.3 times the {1 - settings['level']:.0%} quantile of the largest z of those "
        f"sets, so that the family of numbers has one level of {settings['level']:.0%}. Below "
        f"{settings['no_verdict']} images of a class no verdict was given. No feature space is "
        "neutral (Stein et al., 2023).",
        "Usefulness was looked at with a linear probe (real; synthetic; real and synthetic; real "
        "and as many duplicates of real images), tested on the reference; intervals are by "
        "bootstrap over patients. Copying was looked for with two detectors (thumbnail "
        "correlation, feature distance) whose bars are the nearest 1% of the reference, with a "
        "permutation test over patients, and with membership inference. Such tests do not prove "
        "anonymity.",
        f"Software: Synthorax {protocol['code_version']}, protocol {protocol['version']}; "
        f"{packages}; seed {settings['seed']}.",
    )
    wrapped = (textwrap.fill(part, 100, break_on_hyphens=False) for part in parts)
    return "# Methods\n\n" + "\n\n".join(wrapped) + "\n"


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
