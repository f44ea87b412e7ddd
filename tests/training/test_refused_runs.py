"""Runs that are refused or end in an error, and what they say."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from library.decoded import Decoded
from library.errors import InvalidValue, SynthoraxError
from library.requests import read_request
from library.runs import RunFolder, checkpoints
from tests.trainer import REAL, write_request
from tests.training.games import CPU, PLAIN, game_of, tiny
from training.batches import Batches
from training.cost import cost
from training.events import Events
from training.export import ExportDiffers
from training.loop import Diverged, Loop
from training.run import run
from training.stopping import FOLDER_BUSY, StopRequest

pytestmark = pytest.mark.usefixtures("one_thread")


def refused_run(
    tmp_path: Path, stop: StopRequest, capsys: pytest.CaptureFixture[str], dataset: Path = REAL,
    **config: Any,
) -> dict[str, Any]:  # fmt: skip
    """The problem that a run ends with."""
    path = write_request(tmp_path, **config)
    content = {**json.loads(path.read_text()), "dataset": {"path": str(dataset)}}
    path.write_text(json.dumps(content))
    assert run(read_request(path), stop) == 1
    event: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (event["type"], event["status"]) == ("status", "failed")
    problem: dict[str, Any] = event["error"]
    return problem


def test_a_batch_larger_than_the_dataset_is_refused(
    tmp_path: Path, stop: StopRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = refused_run(tmp_path, stop, capsys, batch_size=25)
    (error,) = problem["errors"]
    assert error["field"] == "config.batch_size"
    assert error["given"] == 25
    assert "24" in error["allowed"]
    assert problem["status"] == 422
    with pytest.raises(InvalidValue) as caught:  # and no cost of it is measured
        cost(tiny(batch_size=25), 24, 2, CPU)
    assert caught.value.as_problem() == problem


def test_classes_need_more_than_one_class(
    tmp_path: Path, stop: StopRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = refused_run(tmp_path, stop, capsys, dataset=REAL / "NORMAL", conditional=True)
    assert problem["errors"][0]["field"] == "config.conditional"
    assert "one class" in problem["detail"]


def test_a_set_without_a_whole_image_is_refused_without_naming_files(
    tmp_path: Path, stop: StopRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set" / "A").mkdir(parents=True)
    (tmp_path / "set" / "A" / "jones.png").write_text("no picture")
    problem = refused_run(tmp_path, stop, capsys, dataset=tmp_path / "set")
    assert problem["errors"][0]["field"] == "dataset.path"
    assert "jones" not in json.dumps(problem)


def test_a_dataset_that_changed_does_not_go_on_unnoticed(
    tmp_path: Path, stop: StopRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    shutil.copytree(REAL, folder)
    path = write_request(tmp_path, epochs=1)
    request = json.loads(path.read_text())
    path.write_text(json.dumps({**request, "dataset": {"path": str(folder)}}))
    assert run(read_request(path), stop) == 0
    next((folder / "NORMAL").iterdir()).unlink()
    assert run(read_request(path), stop) == 1
    assert "has changed since this run began" in capsys.readouterr().out


def test_a_run_that_diverges_names_its_learning_rate(
    data: Decoded, tmp_path: Path, stop: StopRequest
) -> None:
    config = tiny(learning_rate=0.25, checkpoint_seconds=0)
    game = game_of(config)
    with torch.no_grad():
        game.generator.state_dict()["main.0.weight"][0, 0] = (
            math.inf
        )  # as after a step that was too large
    folder = RunFolder(tmp_path)
    batches, events = Batches(data, config, CPU), Events(folder, None)
    loop = Loop(folder, config, batches, game, PLAIN, events, stop, [30.0])
    with pytest.raises(Diverged) as caught:
        loop.train()
    assert caught.value.field == "config.learning_rate"
    assert caught.value.value == 0.25
    assert "0.125" in str(caught.value.remedy)
    assert not checkpoints(folder.checkpoints)  # nothing to go on from


def test_a_run_whose_folder_is_in_use_is_left_alone(
    tmp_path: Path,
    stop: StopRequest,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.run.LOCK_SECONDS", 0.3)
    folder = RunFolder(tmp_path / "runs" / "tiny")
    with folder.lock():
        assert run(read_request(write_request(tmp_path)), stop) == FOLDER_BUSY
        assert [path.name for path in folder.path.iterdir()] == ["lock"]
    told = json.loads(capsys.readouterr().out)
    assert told["type"] == "log"
    assert "Another trainer" in told["message"]
    with folder.lock():
        pass  # free again


def test_every_refusal_of_a_run_is_in_the_tree_of_errors() -> None:
    for kind in (Diverged, ExportDiffers, InvalidValue):
        assert issubclass(kind, SynthoraxError)
        assert kind.slug != SynthoraxError.slug
