"""Finished studies side by side: the tables and the figure of docs/studies.md.

    python -m benchmarks.study_answers FOLDER … [--figure FILE.svg]

FOLDER, named as its study, has its results.json.  One line a study for its primary contrast; what
each arm reached; and what synthetic images add to everything else that one could do, by both
classifiers.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from evaluation.plots import drawn
from library.atomic import read_json, write_bytes
from library.studies.config import CLASSIFIERS
from studies.design import counted
from studies.figures import COLOURS, band
from studies.words import arm_name, between, chance, classifier_name, signed, value

Content = Mapping[str, Any]
Studies = Mapping[str, Content]  # by the names of their folders
_NAME, _ROW = 44, 0.46  # characters of a name's line; inches of a row


def reached(content: Content, classifier: str, arm: str) -> Mapping[str, Any] | None:
    """An arm's primary metric at the first size and ratio."""
    config = content["config"]
    for row in content["arms"]:
        here = (row["classifier"], row["arm"], row["size"]) == (classifier, arm, config["sizes"][0])
        if here and row["ratio"] in (None, config["ratio"]):
            found: Mapping[str, Any] = row["metrics"][config["metric"]]
            return found
    return None


def answers(studies: Studies) -> Iterator[str]:
    """The primary contrast of each study."""
    heads = ("study", "trained on", "tested on", "real", "and duplicates", "and synthetic",
             "difference, 95% interval", "verdict")  # fmt: skip
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * 8}"
    for name, content in studies.items():
        contrast = content["verdict"]["contrast"]
        classifier = content["config"]["primary_classifier"]
        values = (
            value((reached(content, classifier, arm) or {}).get("value"))
            for arm in ("real", "duplicates", "real_synthetic")
        )
        page = f"[`{name}`](studies/{name}/results.html)"
        cells = [page, counted(content, "train"), counted(content, "test"), *values,
                 f"{signed(contrast['difference'], 4)} ({between(contrast['interval'], 4, True)})",
                 f"**{content['verdict']['verdict']}**"]  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def arms(studies: Studies, classifier: str) -> Iterator[str]:
    """What each arm reached by a classifier, a column a study."""
    yield f"| {classifier_name(classifier)} | {' | '.join(f'`{name}`' for name in studies)} |"
    yield f"|{'---|' * (1 + len(studies))}"
    for arm in next(iter(studies.values()))["config"]["arms"]:
        found = [reached(content, classifier, arm) for content in studies.values()]
        if not any(found):
            continue
        cells = (
            "–" if one is None else f"{value(one['value'])} ({between(one['interval'])})"
            for one in found
        )
        yield f"| {arm_name(arm)} | {' | '.join(cells)} |"


def against(studies: Studies) -> Iterator[str]:
    """Real and synthetic images less everything else, with Holm's p; and synthetic ones alone."""
    yield "| study | classifier | arm | less | difference, 95% interval | p, Holm | verdict |"
    yield f"|{'---|' * 7}"
    for name, content in studies.items():
        for row in content["contrasts"]:
            if row["arm"] not in ("real_synthetic", "synthetic") or row["primary"]:
                continue
            cells = (f"`{name}`", classifier_name(row["classifier"]), arm_name(row["arm"]),
                     arm_name(row["control"]),
                     f"{signed(row['difference'])} ({between(row['interval'], 3, True)})",
                     chance(row["p_holm"]), row["verdict"])  # fmt: skip
            yield f"| {' | '.join(cells)} |"


def figure(studies: Studies) -> bytes:
    """Every primary contrast with its interval, beside what is too small to matter."""
    return drawn(
        {},
        {"answers.svg": lambda _: _forest(list(studies.values()))},
        **{"axes.unicode_minus": True},
    )["answers.svg"]


def _forest(contents: Sequence[Content]) -> Figure:
    picture = Figure(figsize=(7.2, 0.9 + _ROW * len(contents)), layout="constrained")
    axis = picture.subplots()
    delta = max(content["config"]["smallest_useful_effect"] for content in contents)
    band(axis, delta)
    for place, content in enumerate(contents):
        found = content["verdict"]["contrast"]
        colour = COLOURS[found["verdict"]]
        axis.plot(found["interval"], [place, place], color=colour, lw=2.4, solid_capstyle="round")
        axis.plot(found["difference"], place, "D", color=colour, ms=6, mec="white", mew=0.6)
        text = f"{signed(found['difference'])} ({between(found['interval'], 3, True)})  "
        axis.annotate(
            text + content["verdict"]["verdict"], (1.02, place), va="center", fontsize=8,
            xycoords=("axes fraction", "data"), annotation_clip=False,
        )  # fmt: skip
    axis.set_yticks(range(len(contents)), [_name(content) for content in contents], fontsize=8)
    axis.set_ylim(len(contents) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set_title("← duplicates better", loc="left", fontsize=8, weight="normal")
    axis.set_title("synthetic better →", loc="right", fontsize=8, weight="normal")
    axis.set_xlabel(
        f"difference in AUROC, 95% interval; shaded: smaller than ±{delta:g}", fontsize=8
    )
    return picture


def _name(content: Content) -> str:
    question, _, rest = content["name"].partition(", ")
    return "\n".join([question, *textwrap.wrap(rest, _NAME)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    studies = {folder.name: read_json(folder / "results.json") for folder in given.folders}
    reaching = (arms(studies, classifier) for classifier in CLASSIFIERS[::-1])
    for lines in (answers(studies), *reaching, against(studies)):
        print("\n".join(lines), end="\n\n")
    for name, content in studies.items():
        apart = ", ".join(value(row["auroc"]) for row in content["told_apart"])
        lights = ", ".join(f"{key} {light}" for key, light in content["lights"].items())
        print(f"{name}: {lights}; told apart by AUROC {apart}")
    if given.figure:
        write_bytes(given.figure, figure(studies))


if __name__ == "__main__":
    main()
