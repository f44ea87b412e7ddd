"""`python -m training`, from the request to a version: events, samples, publishing, figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from app.engine.onnx import OnnxBackend
from app.engine.sampler import Sampler
from library.digest import digest_file, digest_version
from library.errors import Conflict
from library.requests import RunRequest, read_request
from library.versions import ModelLibrary, Version
from tests.trainer import REAL, Trainer, write_request
from training import __main__ as command
from training.figures import write_figures
from training.publish import publish
from training.sampling import sample_version

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRequest, list[dict[str, Any]]]:
    """A run by the command line, and its events."""
    folder = tmp_path_factory.mktemp("finished")
    path = write_request(folder, model="tiny")
    with Trainer(path) as trainer:
        status = trainer.end()
    assert status == 0, path.with_suffix(".log").read_text()
    return read_request(folder / "runs" / "tiny" / "request.json"), trainer.events


def library_of(request: RunRequest) -> ModelLibrary:
    return ModelLibrary(request.data_dir / "models", bundled=None)


@pytest.fixture(scope="module")
def version(finished: tuple[RunRequest, list[dict[str, Any]]]) -> Version:
    return library_of(finished[0]).find("tiny@1")


def test_a_run_tells_its_story(finished: tuple[RunRequest, list[dict[str, Any]]]) -> None:
    request, events = finished
    states = [(e["status"], e.get("phase")) for e in events if e["type"] == "status"]
    assert states == [
        ("running", "preparing"), ("running", "training"), ("running", "publishing"),
        ("succeeded", None),
    ]  # fmt: skip
    assert events[-1]["model"] == "tiny@1"
    metrics = [e for e in events if e["type"] == "metric" and e["scope"] == "epoch"]
    assert [(e["epoch"], e["step"], e["images"]) for e in metrics] == [(1, 3, 24), (2, 6, 48)]
    assert metrics[-1]["fraction"] == 1
    for event in metrics:
        assert all(0 <= event[key] <= 1 for key in ("d_x", "d_g_z1", "d_g_z2"))
        assert event["images_per_second"] > 0
    assert [e["epoch"] for e in events if e["type"] == "sample"] == [1, 2]
    assert [e["step"] for e in events if e["type"] == "checkpoint"] == [6]
    kept = request.run.read_metrics()
    assert kept == [e for e in events if e["type"] == "metric"]
    names = {path.stem for path in REAL.rglob("*.jpeg")}
    assert not [name for name in names if name in json.dumps(events)]


def test_a_run_writes_its_samples_and_its_dataset(
    finished: tuple[RunRequest, list[dict[str, Any]]],
) -> None:
    request, _ = finished
    assert request.run.sampled_epochs() == [1, 2]
    first, second = (np.asarray(Image.open(request.run.sample(e))) for e in (1, 2))
    assert first.shape == (8 * 66 - 2, 8 * 66 - 2)
    assert not np.array_equal(first, second)
    dataset = json.loads(request.run.dataset.read_text())
    assert dataset["labels"] == {"NORMAL": 12, "PNEUMONIA": 12}
    assert request.run.path.stat().st_mode & 0o777 == 0o700


def test_a_published_version_is_whole(version: Version) -> None:
    version.verify()
    assert version.labels == ["NORMAL", "PNEUMONIA"]
    assert version.label_frequencies == [0.5, 0.5]
    assert version.private
    tensors = load_file(version.path / "model.safetensors")
    assert {str(t.dtype) for t in tensors.values()} == {"float16", "float32"}
    identity = {
        key: version.card[key] for key in ("architecture", "labels", "label_frequencies", "latents")
    }
    assert digest_version(identity, tensors) == version.digest
    for name in ("samples.png", "loss.png"):
        with Image.open(version.path / name, formats=["PNG"]) as image:
            image.load()
    text = (version.path / "CARD.md").read_text()
    assert version.digest in text
    assert "not for diagnosis" in text
    assert {file.name for file in version.path.iterdir()} == {
        "model.safetensors", "model.onnx", "model.json", "samples.png", "loss.png",
        "metrics.jsonl", "CARD.md",
    }  # fmt: skip
    assert digest_file(version.path / "model.onnx") == version.card["files"]["model.onnx"]["sha256"]


def test_publishing_again_finds_the_same_version(
    finished: tuple[RunRequest, list[dict[str, Any]]], version: Version
) -> None:
    request, _ = finished
    library = library_of(request)
    before = (version.path / "model.json").stat().st_mtime_ns
    assert publish(request, "tiny", library).reference == "tiny@1"
    assert (version.path / "model.json").stat().st_mtime_ns == before
    assert [v.reference for v in library.versions() if isinstance(v, Version)] == ["tiny@1"]
    other = publish(request, "other", library, "whose images these are")
    assert other.reference == "other@1"
    assert other.digest == version.digest
    assert "whose images these are" in (other.path / "CARD.md").read_text()


def test_a_run_without_a_checkpoint_is_not_published(tmp_path: Path) -> None:
    request = read_request(write_request(tmp_path))
    request.write()
    with pytest.raises(Conflict, match="no checkpoint"):
        publish(request, "tiny", library_of(request))


def test_the_service_s_engine_draws_what_torch_draws(version: Version) -> None:
    sampler = Sampler(version, OnnxBackend(version))
    seeds = [5, 2**53 - 1, 7, 0, 9]
    drawn = sampler.levels(seeds, [1] * len(seeds), 0.7)
    for position, seed in enumerate(seeds):
        alone = sampler.levels([seed], [1], 0.7)
        assert alone.tobytes() == drawn[position : position + 1].tobytes()
        by_torch = sample_version(version, "PNEUMONIA", seed, 1, 0.7)
        assert np.abs(by_torch.astype(int) - alone).max() <= 1
    assert len({image.tobytes() for image in drawn}) == len(seeds)


def test_the_figures_of_the_paper_are_made(
    finished: tuple[RunRequest, list[dict[str, Any]]],
) -> None:
    paths = write_figures(finished[0])
    drawn = [f"figure-{n}{end}" for n in (5, 6, 7) for end in (".png", ".svg")]
    assert [path.name[:8] + path.suffix for path in paths] == drawn
    before = [path.read_bytes() for path in paths]
    write_figures(finished[0])
    assert before == [path.read_bytes() for path in paths]
    assert all(path.read_text().count("<svg") == 1 for path in paths if path.suffix == ".svg")
    for path in paths[::2]:
        with Image.open(path, formats=["PNG"]) as image:
            pixels = np.asarray(image.convert("L"))
        assert min(pixels.shape) > 500
        assert pixels.std() > 5


def test_there_are_no_figures_before_the_first_epoch(tmp_path: Path) -> None:
    request = read_request(write_request(tmp_path))
    request.write()
    with pytest.raises(Conflict, match="has not finished an epoch"):
        write_figures(request)


def test_the_command_draws_a_version(
    version: Version,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data_dir, output = version.path.parents[2], tmp_path / "grid.png"
    arguments = ["sample", "tiny", "--data-dir", str(data_dir), "--label", "NORMAL", "--seed", "3"]
    monkeypatch.setattr("sys.argv", ["training", *arguments, "--count", "4", "-o", str(output)])
    assert command.main() == 0
    assert capsys.readouterr().out.strip() == str(output)
    drawn = np.asarray(Image.open(output))
    assert drawn.shape == (64, 4 * 66 - 2)
    assert np.array_equal(drawn[:, 66:130], sample_version(version, "NORMAL", 4, 1, 1.0)[0])


@pytest.mark.parametrize(
    "arguments", [["run", "no.json"], ["publish", "."], ["figures", "."], ["sample", "no-model"]]
)
def test_the_command_tells_an_error_and_its_remedy(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNTHORAX_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["training", *arguments])
    assert command.main() == 1
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    if arguments[0] == "run":
        assert json.loads(told.out)["status"] == "failed"
