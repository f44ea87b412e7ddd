"""The methods of a paper in words: what was done for this report, and nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from evaluation.plots import metric

Content = Mapping[str, Any]


def methods(content: Content) -> str:
    """Markdown, from protocol and data."""
    parts = (_data(content), _fidelity(content), *_beside(content), _software(content))
    wrapped = (textwrap.fill(part, 100, break_on_hyphens=False) for part in parts)
    return "# Methods\n\n" + "\n\n".join(wrapped) + "\n"


def unit(content: Content) -> str:
    """What is drawn and resampled as one."""
    return "patients" if content["data"]["patients_known"] else "images"


def _data(content: Content) -> str:
    protocol, data = content["protocol"], content["data"]
    reference, loader = data["reference"], protocol.get("loader", {})
    patients = (
        f"{reference['patients']} patients" if reference["patients"] else "patients not known"
    )
    seeds = protocol.get("seeds")
    made = f"{data['generated']} images" + (
        f", seeds {seeds[0]} to {seeds[1]} of each class, none picked" if seeds else ""
    )
    kid, fd = metric(content, "kid"), metric(content, "fd")
    known = "not trained on" if data.get("training_known", True) else "said not to be trained on"
    return (
        f"Generated images ({made}) were compared with {reference['images']} real images "
        f"({patients}) that the generator was {known}. All images went through one loader "
        f"({', '.join(map(str, loader.values())) or 'see the protocol'}) at "
        f"{protocol['native_resolution']} pixels. Features were those of "
        f"`{protocol['extractor']}` (Tan and Le, 2019); the numbers {kid} and {fd} are therefore "
        "no FID and can be compared only with others of the same extractor."
    )


def _fidelity(content: Content) -> str:
    protocol, train = content["protocol"], content["data"]["train"]
    settings = protocol["settings"]
    sizes = ", ".join(f"{label} {n}" for label, n in protocol["n"].items())
    judged = bool((content["conditioning"] or {}).get("labels"))
    whole = f"drawn by whole {unit(content)}"
    floors = (
        f"the training images ({train['images']}), {whole}"
        if train
        else f"one half of the reference, {whole}"
    )
    return (
        f"Of each class, equal numbers were compared (n: {sizes}): kernel inception distance "
        "(KID, unbiased; Binkowski et al., 2018), Frechet distance (FD; Heusel et al., 2017), "
        "precision (Kynkaanniemi et al., 2019), density and coverage (Naeem et al., 2020; k = 5), "
        "MS-SSIM of random pairs (Wang et al., 2003), near-duplicates within a set (correlation "
        f"of 32 x 32 thumbnails){',' if judged else ' and'} laterality"
        + (", and the agreement of a linear judge trained on real images" if judged else "")
        + f". Each number has a floor: its mean over {settings['draws']} sets of real images "
        f"of the same n from {floors}. A difference was called detected when the largest of all "
        f"z exceeded 1.3 times the {1 - settings['level']:.0%} quantile of the largest z of those "
        f"sets, so that the family of numbers has one level of {settings['level']:.0%}. Below "
        f"{settings['no_verdict']} images of a class, or {settings['no_verdict'] // 2} a side, no "
        "verdict was given. Intervals (95%) are of other seeds of the same generator against the "
        "same real images (jackknife over tenths of the generated ones; binomial for laterality "
        "and label agreement). No feature space is neutral (Stein et al., 2023)."
    )


def _beside(content: Content) -> Iterator[str]:
    """Usefulness and copying: a paragraph, where either was looked at."""
    said, attacks = [], content["privacy"]["membership"]
    if content["usefulness"]["probe"]:
        said.append(
            "Usefulness was looked at with a linear probe (real; synthetic; real and synthetic; "
            "real and as many duplicates of real images), tested on the reference; intervals are "
            f"by bootstrap over {unit(content)}."
        )
    if content["privacy"]["near_copies"]:
        member = ", and with membership inference" if any(attacks.values()) else ""
        said.append(
            "Copying was looked for with two detectors (thumbnail correlation, feature distance) "
            "whose bars are the nearest 1% of the reference (its own copies of training images, at "
            "a correlation of 0.999, left out), "
            f"{'with' if member else 'and with'} permutation tests over {unit(content)}{member}. "
            "Such tests do not prove anonymity."
        )
    else:
        said.append("Copying was not looked for, since the training images were not at hand.")
    yield " ".join(said)


def _software(content: Content) -> str:
    protocol = content["protocol"]
    packages = ", ".join(f"{k} {v}" for k, v in protocol["packages"].items())
    return (
        f"Software: Synthorax {protocol['code_version']}, protocol {protocol['version']}; "
        f"{packages}; seed {protocol['settings']['seed']}."
    )
