"""Versions leave a service as files and come into another, by hand, by address and by a hub."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from synthorax import Client, Conflict, ConnectionFailed, InvalidRequest, SynthoraxError
from tests.service.conftest import Service
from tests.service.hub import TOKEN, hub
from tests.service.test_cli import run

PUBLIC = "chest-xray-dcgan@2"


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as found:
        yield found


@pytest.fixture(scope="module")
def exported(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return client.models.export(PUBLIC, tmp_path_factory.mktemp("exported") / "a.synthorax")


def test_a_version_that_is_brought_draws_the_same(client: Client, exported: Path) -> None:
    sent: list[tuple[int, int]] = []
    found = client.models.bring(exported, "brought", progress=lambda *so: sent.append(so))
    assert found["reference"] == "brought@1"
    assert sent[-1] == (exported.stat().st_size,) * 2
    one = client.generate("NORMAL", 4, 7, model=PUBLIC)
    other = client.generate("NORMAL", 4, 7, model="brought@1")
    assert np.array_equal(one.images, other.images)
    assert one.digest == other.digest
    # Once more is no second version.
    assert client.models.bring(exported, "brought")["reference"] == "brought@1"
    card = client.models.get("brought@1")
    assert card["imported"] == {"name": "chest-xray-dcgan", "version": 2}
    assert card["private"] is False


def test_a_private_version_leaves_only_with_an_approval(
    service: Service, client: Client, tmp_path: Path
) -> None:
    with pytest.raises(Conflict, match=r"is private.*It is recorded"):
        client.models.export("tiny@2", tmp_path / "b.synthorax")
    assert list(tmp_path.iterdir()) == []
    path = client.models.export("tiny@2", tmp_path / "b.synthorax", "Dr Example, for a review")
    lines = (service.data_dir / "departures.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["approval"] == "Dr Example, for a review"
    assert json.loads(lines[-1])["model"] == "tiny@2"
    assert client.models.bring(path, "still-private")["private"] is True
    assert not list((service.data_dir / "exports").iterdir())


def test_a_broken_file_is_refused_and_leaves_nothing(
    service: Service, client: Client, exported: Path, tmp_path: Path
) -> None:
    content = bytearray(exported.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "broken").write_bytes(content)
    with pytest.raises(InvalidRequest) as refused:
        client.models.bring(tmp_path / "broken", "broken")
    assert refused.value.errors[0]["field"] == "body"
    with pytest.raises(InvalidRequest, match="is no name"):
        client.models.bring(exported, "Über/all")
    assert "broken" not in {each["name"] for each in client.models.list()}
    assert not [p for p in (service.data_dir / "models").iterdir() if p.name.startswith(".")]


def test_a_version_is_fetched_by_its_address(
    client: Client, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = sha256(exported.read_bytes()).hexdigest()
    with hub() as there:
        there.files["lab/chest"] = {"a.synthorax": exported.read_bytes(), "README.md": b"# A"}
        there.files["lab/two"] = {"a.synthorax": b"", "b.synthorax": b""}
        file = f"{there.url}/lab/chest/resolve/main/a.synthorax"
        with pytest.raises(SynthoraxError, match="could be any file"):
            client.models.bring(file, "fetched")
        with pytest.raises(SynthoraxError, match="was expected"):
            client.models.bring(file, "fetched", "0" * 64)
        assert client.models.bring(file, "fetched", digest)["reference"] == "fetched@1"
        with pytest.raises(SynthoraxError, match="answered 404"):
            client.models.bring(f"{there.url}/nothing", "fetched", digest)
        monkeypatch.setenv("HF_ENDPOINT", there.url)
        for source in ("hf://lab/chest/a.synthorax", "hf://lab/chest"):
            assert client.models.bring(source, "hub")["reference"] == "hub@1"
        with pytest.raises(SynthoraxError, match=r"holds a\.synthorax, b\.synthorax"):
            client.models.bring("hf://lab/two", "hub")
        with pytest.raises(SynthoraxError, match="answered 404"):
            client.models.bring("hf://lab/nothing", "hub")
        with pytest.raises(SynthoraxError, match="names no repository"):
            client.models.bring("hf://lab", "hub")
    with pytest.raises(ConnectionFailed):
        client.models.bring("hf://lab/chest/a.synthorax", "hub")


def test_a_version_is_pushed_to_a_hub_and_comes_back(service: Service, tmp_path: Path) -> None:
    with hub() as there:
        # The package reads these when it is imported: so it is another process, as for users.
        service.environment.update(
            HF_ENDPOINT=there.url, HF_HUB_DISABLE_XET="1", HF_HOME=str(tmp_path), HF_TOKEN=TOKEN
        )
        code, out, words = run(service, "models", "push", PUBLIC, "hf://lab/chest", "--json")
        assert code == 0, words
        assert json.loads(out)["url"] == f"{there.url}/lab/chest"
        assert there.private == {"lab/chest": True}
        assert there.commits == [PUBLIC]
        files = there.files["lab/chest"]
        assert sorted(files) == ["README.md", "chest-xray-dcgan-2.synthorax", "samples.png"]
        readme = files["README.md"].decode()
        assert readme.startswith("---\nlibrary_name: synthorax\n")
        assert "synthorax models import hf://lab/chest/chest-xray-dcgan-2.synthorax" in readme
        code, out, words = run(service, "models", "import", "hf://lab/chest", "--json")
        assert code == 0, words
        assert json.loads(out)["reference"] == PUBLIC  # the same weights are no second version

        # A private version goes nowhere without an approval, which says where it went.
        private = ("models", "push", "tiny@2", "lab/secret")
        code, _, words = run(service, *private)
        assert code == 1
        assert "is private" in words
        assert "lab/secret" not in there.files
        code, _, words = run(service, *private, "--approval", "Dr Example", "--public")
        assert code == 0, words
        assert there.private["lab/secret"] is False
        lines = (service.data_dir / "departures.jsonl").read_text().splitlines()
        assert json.loads(lines[-1])["approval"] == "Dr Example (to hf://lab/secret)"

        service.environment.update(HF_TOKEN=TOKEN[:-1])
        code, _, words = run(service, "models", "push", PUBLIC, "lab/chest")
        assert code == 1
        assert "HF_TOKEN" in words
    code, _, words = run(service, "models", "push", PUBLIC, "no-repository")
    assert code == 1
    assert "is no repository" in words


def test_the_command_line_exports_and_imports(service: Service, tmp_path: Path) -> None:
    file = str(tmp_path / "c.synthorax")
    code, out, words = run(service, "models", "export", PUBLIC, "-o", file, "--json")
    assert code == 0, words
    told = json.loads(out)
    assert told["sha256"] == sha256(Path(file).read_bytes()).hexdigest()
    code, out, words = run(service, "models", "import", file, "--name", "by-hand", "--json")
    assert code == 0, words
    assert json.loads(out)["reference"] == "by-hand@1"
    code, _, words = run(service, "models", "import", str(tmp_path / "nothing"))
    assert code == 1
    assert "no file" in words


def test_an_exported_graph_runs_in_plain_onnxruntime(exported: Path) -> None:
    with zipfile.ZipFile(exported) as archive:
        session = onnxruntime.InferenceSession(archive.read("model.onnx"))
        dim = json.loads(archive.read("model.json"))["architecture"]["latent_dim"]
    z = np.random.default_rng(0).standard_normal((4, dim), np.float32)
    (images,) = session.run(None, {"z": z, "label": np.array([0, 0, 1, 1])})
    assert images.shape == (4, 1, 64, 64)
    assert np.abs(images).max() <= 1
