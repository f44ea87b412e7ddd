"""What a study cannot say follows from what it was: each sentence where it is true, and nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studies.limits import limits
from studies.predictions import read
from tests.studies.planted import planted_study

WORDS = {
    "private": "a privacy budget of its own",
    "folder": "The synthetic images are a folder's.",
    "one": "There is one generator, and it is taken as it is",
    "size 1": "At size 1 all arms share the training patients",
    "chose": "which chose the generator's weights",
    "folds": "learn from one another's test patients",
    "seed": "One classifier was trained of each kind",
}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"generator": {"preset": "dp"}}, {"private", "size 1"}),
        ({"generator": {"preset": "quick"}, "sizes": [0.5]}, set()),
        ({"generator": {"images": "/made"}}, {"folder", "one", "size 1"}),
        ({"generators": 1, "seeds": 1}, {"one", "seed", "size 1"}),
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
