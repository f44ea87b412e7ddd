"""What the README, docs/client.md and the tutorial say runs, in the order in which it is read.

Python as it stands, on a small dataset; of the shell, what `synthorax` is asked to do here.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from synthorax import Client
from tests.evaluation.pictures import FEW, split_folders
from tests.service.conftest import ROOT, TINY, Service

BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHORT = repr({**TINY, "epochs": 1, "conditional": True})


@pytest.fixture(scope="module")
def folder(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """Train and test of two classes, the patient in each file's name."""
    return split_folders(tmp_path_factory.mktemp("snippets") / "chests", *FEW)


@pytest.fixture(scope="module")
def dataset_id(service: Service, folder: Path) -> str:
    with Client(service.url) as client:
        found = client.datasets.add(folder, "chests", {"patient": r"(?:^|/)p(\d+)_"})
    return str(found["id"])


# Other people's packages warn of one another.
RECIPES = pytest.param("docs/recipes.md", marks=pytest.mark.filterwarnings("ignore"))


@pytest.mark.parametrize("name", ["README.md", "docs/client.md", "docs/tutorial.md", RECIPES])
def test_what_is_written_runs(
    service: Service,
    folder: Path,
    dataset_id: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SYNTHORAX_URL", service.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    meant = {
        "ds-0123456789ab": dataset_id,
        "DATASET ": f"{dataset_id} ",
        "/path/to/images": str(folder),
        '{"epochs": 20}': f"{SHORT}, report=False",  # what is written asks for one afterwards
        '{"epochs": 20, "conditional": True}': SHORT,
        "steps=200": "steps=3",
    }
    known: dict[str, object] = {}
    for language, block in BLOCK.findall((ROOT / name).read_text()):
        for written, instead in meant.items():
            block = block.replace(written, instead)
        if language == "python":
            exec(compile(block, name, "exec"), known)  # noqa: S102
        elif name == "docs/tutorial.md":
            for line in block.splitlines():
                if line.startswith(".venv/bin/synthorax "):
                    _command(service, tmp_path, line)
    client = known.get("client")
    assert isinstance(client, Client)
    client.close()
    made = {
        "README.md": "out/manifest.csv",
        "docs/client.md": "parquet/dataset.json",
        "docs/recipes.md": "parquet/dataset.json",
        "docs/tutorial.md": "real/manifest.csv",
    }
    assert (tmp_path / made[name]).is_file()


def _command(service: Service, folder: Path, line: str) -> None:
    words = shlex.split(line)[1:]
    if "-o" in words:
        place = words.index("-o") + 1
        words[place] = str(folder / words[place])
    process = service.command(*words)
    out, told = process.communicate(timeout=300)
    assert process.returncode == 0, (line, out, told)
