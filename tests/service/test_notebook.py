"""The notebook of examples/ runs, its parameters made small."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from synthorax import Client
from tests.evaluation.pictures import LABELS, split_folders
from tests.service.conftest import ROOT, TINY, Service

SMALL = {"MODEL": "notebook@1", "REAL": "real", "SIZES": (20, None), "SEEDS": 2, "STEPS": 3}


def test_the_notebook_runs(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHORAX_URL", service.url)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    with Client(service.url) as client:
        found = client.datasets.add(split_folders(tmp_path / "chests"), "of the notebook")
        config = {**TINY, "epochs": 1, "conditional": True}
        client.train(found["id"], "notebook", "quick", config, report=False).wait()
    real = str(tmp_path / "real")
    process = service.command("datasets", "export", found["id"], "--like", "notebook", "-o", real)
    out, told = process.communicate(timeout=300)
    assert process.returncode == 0, (out, told)

    notebook = json.loads((ROOT / "examples" / "augmentation.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    parameters = {"DATASET": found["id"], **SMALL}
    for name, value in parameters.items():
        cells[0], times = re.subn(rf"^{name} = .*$", f"{name} = {value!r}", cells[0], flags=re.M)
        assert times == 1, name
    known: dict[str, object] = {}
    for number, cell in enumerate(cells):
        exec(compile(cell, f"cell {number}", "exec"), known)  # noqa: S102
    opened = known["client"]
    assert isinstance(opened, Client)
    opened.close()
    results = known["results"]
    assert isinstance(results, dict)
    assert len(results) == 2 * 4  # sizes, arms
    assert known["labels"] == sorted(LABELS)
    assert all(0 <= each <= 1 and len(found) == 2 for found in results.values() for each in found)


def test_its_outputs_are_those_of_its_cells() -> None:
    """It was executed from top to bottom, and nothing in it failed."""
    notebook = json.loads((ROOT / "examples" / "augmentation.ipynb").read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error"]
