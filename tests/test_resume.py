"""A run that is killed or stopped and started again ends in the same bytes as one that was not."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from library.runs import RunFolder, checkpoints
from tests.trainer import Trainer, write_request
from training.stopping import RESUMABLE

# 6 steps an epoch; checkpoints after every step, so that a kill is always between two.
SHORT: dict[str, Any] = {"epochs": 4, "batch_size": 4, "checkpoint_seconds": 0}
LONG: dict[str, Any] = {"epochs": 20, "batch_size": 4, "checkpoint_seconds": 0}
MID_EPOCH = 8


def run_of(request: Path) -> RunFolder:
    return RunFolder(request.parent / "runs" / request.stem)


def undisturbed_run(folder: Path, config: dict[str, Any]) -> RunFolder:
    """A run from end to end.  How often it saves must not matter, so it saves once."""
    request = write_request(folder, **{**config, "checkpoint_seconds": 3600})
    with Trainer(request) as trainer:
        status = trainer.end()
    assert status == 0, request.with_suffix(".log").read_text()
    return run_of(request)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return undisturbed_run(tmp_path_factory.mktemp("undisturbed"), SHORT)


def disturbed_run(folder: Path, config: dict[str, Any], like: RunFolder) -> Path:
    """The request of a run in the arithmetic of another: a probe may choose differently."""
    request = write_request(folder, **config)
    run_of(request).path.mkdir(parents=True)
    shutil.copy(like.environment, run_of(request).environment)
    return request


def final_state(run: RunFolder) -> tuple[dict[str, Any], dict[str, bytes]]:
    with safe_open(checkpoints(run.checkpoints)[0], framework="np") as file:
        counters = json.loads(file.metadata()["counters"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    return counters, {k: f"{t.dtype}{t.shape}".encode() + t.tobytes() for k, t in tensors.items()}


def epoch_lines(run: RunFolder) -> list[dict[str, Any]]:
    """The epochs of metrics.jsonl, less what is measured by a clock."""
    clock = ("time", "images_per_second", "eta_seconds")
    lines = [line for line in run.read_metrics() if line["scope"] == "epoch"]
    return [{key: line[key] for key in line if key not in clock} for line in lines]


def assert_same_end(
    run: RunFolder, undisturbed: RunFolder, more: AbstractSet[str] = frozenset()
) -> None:
    counters, tensors = final_state(run)
    expected_counters, expected = final_state(undisturbed)
    parts = {key.split(".")[0] for key in expected}
    always = {"generator", "discriminator", "average", "optimiser_g", "optimiser_d"}
    assert parts == always | more
    assert tensors.keys() == expected.keys()
    assert not [key for key in expected if tensors[key] != expected[key]]
    for name in ("step", "sums"):
        assert counters[name] == expected_counters[name]
    lines = epoch_lines(run)
    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines == epoch_lines(undisturbed)
    steps = [line["step"] for line in run.read_metrics()]
    assert steps == sorted(set(steps))
    assert run.sampled_epochs() == undisturbed.sampled_epochs()
    for epoch in run.sampled_epochs():
        assert run.sample(epoch).read_bytes() == undisturbed.sample(epoch).read_bytes()


def test_a_killed_run_ends_in_the_same_bytes(undisturbed: RunFolder, tmp_path: Path) -> None:
    request = disturbed_run(tmp_path, SHORT, undisturbed)
    run = run_of(request)
    with Trainer(request) as trainer:
        trainer.wait_for("checkpoint", step=MID_EPOCH)
        trainer.process.kill()
        assert trainer.end() == -signal.SIGKILL
    killed_at = int(checkpoints(run.checkpoints)[0].stem)
    assert MID_EPOCH <= killed_at < 24
    # What a kill can leave: lines above the checkpoint, and half a line.
    with open(run.metrics, "a") as file:
        above = {"scope": "epoch", "epoch": 4, "images": 96, "step": 24}
        file.write(json.dumps(above) + "\n" + '{"scope": "epo')
    with Trainer(request) as trainer:
        assert trainer.end() == 0, request.with_suffix(".log").read_text()
    resumed = [e["step"] for e in trainer.events if e["type"] == "log" and "step" in e]
    assert resumed == [killed_at]
    assert_same_end(run, undisturbed)


def test_a_run_asked_to_stop_says_so_and_ends_in_the_same_bytes(
    undisturbed: RunFolder, tmp_path: Path
) -> None:
    request = disturbed_run(tmp_path, SHORT, undisturbed)
    run = run_of(request)
    with Trainer(request, "--lifeline") as trainer:
        trainer.wait_for("checkpoint", step=MID_EPOCH)
        trainer.process.terminate()
        assert trainer.end() == RESUMABLE == 75
        first = trainer.events[-1]
    assert (first["status"], first["reason"]) == ("stopped", "SIGTERM")
    stopped_at = int(checkpoints(run.checkpoints)[0].stem)
    assert MID_EPOCH <= stopped_at < 24
    with Trainer(request, "--lifeline") as trainer:
        trainer.wait_for("checkpoint", step=min(stopped_at + 2, 20))
        assert trainer.process.stdin is not None
        trainer.process.stdin.close()
        trainer.process.stdin = None  # so that communicate() leaves it alone
        assert trainer.end() == RESUMABLE
        second = trainer.events[-1]
    assert second["status"] == "stopped"
    assert "supervisor" in second["reason"]
    assert stopped_at < int(checkpoints(run.checkpoints)[0].stem) < 24
    # Without --lifeline the end of stdin means nothing.
    with Trainer(request) as trainer:
        assert trainer.process.stdin is not None
        trainer.process.stdin.close()
        trainer.process.stdin = None
        assert trainer.end() == 0, request.with_suffix(".log").read_text()
    assert_same_end(run, undisturbed)


@pytest.mark.long  # training/test_refused_runs does the same within a process
def test_a_second_trainer_on_a_run_folder_is_refused(
    undisturbed: RunFolder, tmp_path: Path
) -> None:
    request = disturbed_run(tmp_path, SHORT, undisturbed)
    with run_of(request).lock(), Trainer(request) as second:
        assert second.end() == 76
    (event,) = second.events
    assert event["type"] == "log"
    assert "Another trainer" in event["message"]
    assert sorted(p.name for p in run_of(request).path.iterdir()) == ["environment.json", "lock"]


@pytest.mark.long
def test_a_finished_run_that_is_started_again_changes_nothing(
    undisturbed: RunFolder, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed.path, tmp_path / "runs" / "tiny")
    shutil.copytree(undisturbed.path.parent.parent / "datasets", tmp_path / "datasets")
    request = write_request(tmp_path, **SHORT)
    stored = json.loads((tmp_path / "runs" / "tiny" / "request.json").read_text())
    stored |= {"run": str(tmp_path / "runs" / "tiny"), "data_dir": str(tmp_path)}
    (tmp_path / "runs" / "tiny" / "request.json").write_text(json.dumps(stored))
    with Trainer(request) as trainer:
        assert trainer.end() == 0
    assert not [e for e in trainer.events if e["type"] in ("metric", "checkpoint", "sample")]
    assert_same_end(run_of(request), undisturbed)


@pytest.mark.long
def test_twenty_kills_at_any_moment_end_in_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "undisturbed").mkdir()
    (tmp_path / "killed").mkdir()
    undisturbed = undisturbed_run(tmp_path / "undisturbed", LONG)
    request = disturbed_run(tmp_path / "killed", LONG, undisturbed)
    run = run_of(request)
    dice = random.Random(1)
    killed = 0
    for kill in range(20):
        with Trainer(request) as trainer:
            if dice.random() < 0.3:
                time.sleep(dice.uniform(0, 6))  # also while it loads, decodes or resumes
            else:
                done = checkpoints(run.checkpoints)
                ahead = (int(done[0].stem) if done else 0) + dice.randint(1, 4)
                trainer.wait_for("checkpoint", step=ahead)
                time.sleep(dice.uniform(0, 0.1))
            trainer.process.kill()
            killed += trainer.end() == -signal.SIGKILL
        newest = checkpoints(run.checkpoints)
        if len(newest) == 2 and kill % 5 == 4:  # a disk that lost the end of a file
            newest[0].write_bytes(newest[0].read_bytes()[: dice.randrange(5000)])
    assert killed == 20
    with Trainer(request) as trainer:
        assert trainer.end() == 0, request.with_suffix(".log").read_text()
    assert_same_end(run, undisturbed)
    assert not list(run.path.rglob("*.tmp"))
