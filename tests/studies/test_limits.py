"""What a study cannot say follows from what it was: each sentence where it is true, and nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studies.limits import limits
from studies.predictions import Arm, read
from studies.words import arm_name
from tests.studies.planted import planted_study

WORDS = {
    "private": "a privacy budget of its own",
    "folder": "The synthetic images are a folder's.",
    "one": "There is one generator, and it is taken as it is",
    "size 1": "At size 1 all arms share the training patients",
    "chose": "which chose the generator's weights",
    "folds": "learn from one another's test patients",
    "seed": "One classifier was trained of each kind",
    "few": "is found by chance more often than",
    "once": "There is one training of",
    "silent": "had too few images of a class",
    "shared": "up to 50% of them in common",
}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"generator": {"preset": "dp"}}, {"private", "size 1"}),
        ({"generator": {"preset": "quick"}, "sizes": [0.5]}, set()),
        ({"generator": {"images": "/made"}}, {"folder", "one", "size 1"}),
        ({"generators": 1, "seeds": 1}, {"one", "seed", "size 1"}),
        ({"seeds": 1}, {"seed", "size 1", "few"}),
        ({"seeds": 1, "sizes": [0.5]}, {"seed"}),
        ({"test": "validation"}, {"size 1"}),
        (
            {"generator": {"model": "m@1"}, "test": "validation"},
            {"one", "size 1", "chose"},
        ),
        ({"kind": "small_class"}, {"folds"}),
    ],
)
def test_each_limit_is_said_where_it_is_one(
    tmp_path: Path, given: dict[str, Any], wanted: set[str]
) -> None:
    found = limits(read(planted_study(tmp_path, given, {})))
    assert {name for name, words in WORDS.items() if words in " ".join(found)} == wanted


def test_what_units_have_told_is_a_limit_too(tmp_path: Path) -> None:
    generator = {"preset": "quick"}
    found = read(planted_study(tmp_path / "a", {"generator": generator, "sizes": [0.5]}, {}))
    for each, names in zip(found.generators, (["NORMAL"], ["NORMAL", "PNEUMONIA"]), strict=True):
        each["chose"] = names
    assert WORDS["silent"] in " ".join(limits(found))
    assert "Of 2 generators 1 had" in " ".join(limits(found))
    assert "collapsed" not in " ".join(limits(found))
    found.generators[0]["collapsed"] = 80_000
    assert "Of 2 generators 1 collapsed" in " ".join(limits(found))

    given = {"generator": {"images": "/made"}}
    found = read(planted_study(tmp_path / "b", given, {}))
    found.prepared["folder"] = {"labels": {"NORMAL": 100, "PNEUMONIA": 160}}
    found.prepared["partitions"]["s1d0"]["train"]["labels"] = {"NORMAL": 50, "PNEUMONIA": 50}
    assert WORDS["shared"] in " ".join(limits(found))
    found.prepared["folder"] = {"labels": {"NORMAL": 1000, "PNEUMONIA": 1600}}
    assert "in common" not in " ".join(limits(found))


def test_an_arm_of_ones_own_that_was_trained_once_is_named(tmp_path: Path) -> None:
    found = read(planted_study(tmp_path, {"arms": ["real", "duplicates", "real_synthetic"]}, {}))
    for name in ("real", "real_synthetic"):
        own = Arm("yours: mine", name, 1.0 if name == "real_synthetic" else None)
        scores = found.runs[Arm("probe", name, own.ratio)]
        found.runs[own] = {place: rows[:1] for place, rows in scores.items()}
    said = next(text for text in limits(found) if WORDS["once"] in text)
    assert arm_name("real") in said
    assert "mine" in said
    assert "synthetic" not in said  # two generators, a training each
