"""The studies that the project has fixed for the public set can be run as they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from library.studies.resolving import resolve

FILES = sorted((Path(__file__).resolve().parents[2] / "benchmarks" / "studies").glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_fixed_study_is_one_that_the_service_takes(path: Path) -> None:
    content = json.loads(path.read_text())
    assert list(content) == ["config"]
    given = content["config"]
    found = resolve(given).as_dict()
    assert "seed" in given  # drawn anew otherwise: it would be another study each time
    assert {name: found[name] for name in given if name != "generator"} == {
        name: value for name, value in given.items() if name != "generator"
    }
