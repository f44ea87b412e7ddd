"""The Python of the README and of docs/client.md runs, in the order in which it is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from synthorax import Client
from tests.evaluation.pictures import split_folders
from tests.service.conftest import ROOT, TINY, Service

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def dataset_id(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset with held-out images, whose patients its file names tell."""
    folder = split_folders(tmp_path_factory.mktemp("snippets") / "chests")
    with Client(service.url) as client:
        found = client.datasets.add(folder, "chests", {"patient": r"(?:^|/)p(\d+)_"})
    return str(found["id"])


@pytest.mark.parametrize("name", ["README.md", "docs/client.md"])
def test_what_is_written_runs(
    service: Service,
    dataset_id: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SYNTHORAX_URL", service.url)
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((ROOT / name).read_text())
    assert blocks
    known: dict[str, object] = {}
    for block in blocks:
        for written, meant in (
            ("ds-0123456789ab", dataset_id),
            ('{"epochs": 20}', repr({**TINY, "epochs": 1, "conditional": True})),
        ):
            block = block.replace(written, meant)
        exec(compile(block, name, "exec"), known)  # noqa: S102
    client = known.get("client")
    assert isinstance(client, Client)
    client.close()
    assert (tmp_path / "out" / "manifest.csv").is_file()
