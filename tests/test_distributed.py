"""Two processes on one run: the same samples in the same order, one voice, no orphan."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from library.decoded import Decoded
from library.errors import InvalidValue
from library.runs import RunFolder, checkpoints
from tests.faults.cluster import commands
from tests.sets import decoded as decoded_of
from tests.test_resume import assert_same_end, disturbed_run, epoch_lines, run_of, undisturbed_run
from tests.trainer import REAL, Trainer, write_request
from tests.training.games import CPU, tiny
from training.batches import Batches
from training.distributed import Team, check_divides
from training.stopping import RESUMABLE

CONFIG: dict[str, Any] = {"batch_size": 8, "epochs": 6, "checkpoint_seconds": 0}
TWO = ("--processes", "2")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Decoded:
    return decoded_of(REAL, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of two processes that nobody disturbed."""
    request = write_request(
        tmp_path_factory.mktemp("whole"), **{**CONFIG, "checkpoint_seconds": 60}
    )
    with Trainer(request, *TWO) as trainer:
        assert trainer.end() == 0, request.with_suffix(".log").read_text()
    return run_of(request)


def processes(request: Path) -> Iterator[int]:
    """The trainers of a request, not the programs that started them."""
    for pid, line in commands():
        if f"training\0run\0{request}\0" in line + "\0" and "torch.distributed.run" not in line:
            if "--processes" not in line:
                yield pid


@pytest.mark.parametrize("size", [2, 4, 8])
def test_any_team_sees_the_samples_of_one(data: Decoded, size: int) -> None:
    config = tiny(batch_size=8)
    alone = Batches(data, config, CPU)
    team = [Batches(data, config, CPU, Team(rank, size)) for rank in range(size)]
    for step in (0, 1, 2, 3, 7):
        one = alone.batch(step)
        parts = [batches.batch(step) for batches in team]
        for name in ("real", "labels", "z"):
            joined = torch.cat([getattr(part, name) for part in parts])
            assert torch.equal(joined, getattr(one, name)), (step, name)


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="3 processes") as caught:
        check_divides(3, 8)
    assert caught.value.field == "config.batch_size"
    request = write_request(tmp_path, **CONFIG)
    with Trainer(request, "--processes", "3") as trainer:
        assert trainer.end() == 1
    assert trainer.events[-1]["error"]["errors"][0]["field"] == "config.batch_size"
    assert not run_of(request).path.exists()


def test_one_voice_and_the_numbers_of_one_process(whole: RunFolder, tmp_path: Path) -> None:
    lines = epoch_lines(whole)
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
    alone = epoch_lines(undisturbed_run(tmp_path, CONFIG))
    # Batch norm sees four images of each eight: the numbers are near, not the same.
    for name in ("loss_d", "d_x"):
        mine, theirs = (np.array([line[name] for line in of]) for of in (lines, alone))
        assert abs(mine - theirs).max() < 0.35
    assert len(list(whole.path.glob("samples/*.png"))) == 6
    assert json.loads(whole.environment.read_text())["processes"] == 2


def test_without_batch_statistics_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    """With penalties, whose gradients of gradients must be means over the processes, too."""
    config: dict[str, Any] = {
        "family": "flagship", "generator_width": 16, "discriminator_width": 16, "latent_dim": 16,
        "batch_size": 8, "epochs": 2, "loss": "relativistic", "penalty": 5.0, "penalty_every": 2,
        "diffaugment": {"probability": 0.3, "target": 0.6}, "augmentation": {}, "beta1": 0.0,
        "learning_rate": 1e-3,
    }  # fmt: skip
    found = []
    for name, options in (("one", ()), ("two", TWO)):
        (tmp_path / name).mkdir()
        request = write_request(tmp_path / name, **config)
        with Trainer(request, *options) as trainer:
            assert trainer.end() == 0, request.with_suffix(".log").read_text()
        found.append(
            (epoch_lines(run_of(request)), load_file(checkpoints(run_of(request).checkpoints)[0]))
        )
    (lines, weights), (others, shared) = found
    for one, other in zip(lines, others, strict=True):
        for name in ("loss_d", "loss_g", "d_x", "d_g_z1", "d_g_z2"):
            assert one[name] == pytest.approx(other[name], abs=2e-3), name
    # Adam makes a step of every rounding where a gradient is zero: most weights, not all.
    for key in ("discriminator.stages.64.0.spread.weight", "generator.basis.weight"):
        assert np.quantile(np.abs(weights[key] - shared[key]), 0.9) < 1e-3
    assert weights["adaptive.probability"] == pytest.approx(shared["adaptive.probability"])


@pytest.mark.parametrize(
    "how",
    [
        "kill the other",
        pytest.param("stdin", marks=pytest.mark.long),
        pytest.param("kill the first", marks=pytest.mark.long),
        pytest.param("SIGTERM", marks=pytest.mark.long),
    ],
)
def test_however_it_is_ended_it_goes_on_to_the_same_bytes(
    whole: RunFolder, tmp_path: Path, how: str
) -> None:
    request = disturbed_run(tmp_path, CONFIG, whole)
    run = run_of(request)
    with Trainer(request, *TWO, "--lifeline") as trainer:
        trainer.wait_for("checkpoint", step=5)
        ranks: dict[int, int] = {}
        for pid in processes(request):
            environment = Path(f"/proc/{pid}/environ").read_text().split("\0")
            ranks |= {
                int(e.removeprefix("RANK=")): pid for e in environment if e.startswith("RANK=")
            }
        assert set(ranks) == {0, 1}
        if how == "SIGTERM":
            trainer.process.terminate()
        elif how == "stdin":
            assert trainer.process.stdin is not None
            trainer.process.stdin.close()
            trainer.process.stdin = None
        else:
            os.kill(ranks[0 if "first" in how else 1], signal.SIGKILL)
        code = trainer.end()
    assert code == RESUMABLE if "kill" not in how else code not in (0, RESUMABLE)
    statuses = [event["status"] for event in trainer.events if event["type"] == "status"]
    assert "failed" not in statuses  # a lost process is a death, not a verdict
    until = time.monotonic() + 60
    while list(processes(request)):
        assert time.monotonic() < until, "a process is left"
        time.sleep(0.1)
    assert checkpoints(run.checkpoints)
    with Trainer(request, *TWO) as trainer:
        assert trainer.end() == 0, request.with_suffix(".log").read_text()
    assert_same_end(run, whole)


def test_finish_ends_every_process_after_the_same_epoch(tmp_path: Path) -> None:
    request = write_request(tmp_path, **{**CONFIG, "epochs": 500})
    with Trainer(request, *TWO, "--lifeline") as trainer:
        trainer.wait_for("sample", epoch=2)
        assert trainer.process.stdin is not None
        trainer.process.stdin.write("finish\n")
        trainer.process.stdin.flush()
        assert trainer.end() == 0, request.with_suffix(".log").read_text()
    end = trainer.events[-1]
    assert (end["status"], end["finished_early"]) == ("succeeded", True)
    assert run_of(request).list_checkpoints()[0]["epoch"] == end["epochs"]


def test_another_number_of_processes_goes_on_and_says_so(whole: RunFolder, tmp_path: Path) -> None:
    request = disturbed_run(tmp_path, {**CONFIG, "epochs": 2}, whole)
    with Trainer(request) as trainer:
        assert trainer.end() == 0
    messages = " ".join(event.get("message", "") for event in trainer.events)
    assert "Started in 2 process(es)" in messages
    assert load_file(checkpoints(run_of(request).checkpoints)[0])
