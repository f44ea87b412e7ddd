"""How a run ends: early by a wish, on a full disk, on a collapse; and what is kept then."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from library.decoded import Decoded
from library.errors import Conflict
from library.requests import read_request
from library.runs import RunFolder, checkpoints
from library.versions import ModelLibrary
from tests.sets import decoded as decoded_of
from tests.test_resume import (
    assert_same_end,
    disturbed_run,
    epoch_lines,
    final_state,
    run_of,
    undisturbed_run,
)
from tests.trainer import REAL, Trainer, write_request
from tests.training.games import CPU, PLAIN, game_of, tiny
from training import health
from training.batches import Batches
from training.events import Events
from training.health import Collapsed, Health, of_classes, of_real_images
from training.loop import Loop
from training.publish import publish
from training.stopping import FOLDER_BUSY, StopRequest

ENDLESS = 500  # epochs
CONFIG: dict[str, Any] = {"batch_size": 8, "checkpoint_seconds": 0}  # 3 steps an epoch


def ended(trainer: Trainer) -> dict[str, Any]:
    """The last status that a trainer tells of."""
    return [event for event in trainer.events if event["type"] == "status"][-1]


def finish_early(request: Path) -> dict[str, Any]:
    with Trainer(request, "--lifeline") as trainer:
        trainer.wait_for("sample", epoch=2)
        assert trainer.process.stdin is not None
        trainer.process.stdin.write("finish\n")
        trainer.process.stdin.flush()
        assert trainer.end() == 0, request.with_suffix(".log").read_text()
    return ended(trainer)


def assert_same_but_for_its_length(run: RunFolder, other: RunFolder) -> None:
    """The same weights and numbers, of runs that began with other numbers of epochs."""
    assert final_state(run)[1] == final_state(other)[1]
    mine, theirs = (
        [
            {k: v for k, v in line.items() if k not in ("epochs", "fraction")}
            for line in epoch_lines(r)
        ]
        for r in (run, other)
    )
    assert mine == theirs


def test_a_run_told_to_finish_is_one_of_so_many_epochs(tmp_path: Path) -> None:
    for name in ("early", "whole"):
        (tmp_path / name).mkdir()
    request = write_request(tmp_path / "early", model="tiny", **CONFIG, epochs=ENDLESS)
    end = finish_early(request)
    assert end["status"] == "succeeded"
    assert end["model"] == "tiny@1"
    assert end["finished_early"] is True
    assert 2 <= end["epochs"] < ENDLESS
    run = run_of(request)
    whole = write_request(tmp_path / "whole", **CONFIG, epochs=end["epochs"])
    run_of(whole).path.mkdir(parents=True)
    shutil.copy(run.environment, run_of(whole).environment)
    with Trainer(whole) as trainer:
        assert trainer.end() == 0
    assert ended(trainer)["finished_early"] is False
    assert_same_but_for_its_length(run, run_of(whole))

    # It was decided for good: whoever starts the run again finds it done.
    with Trainer(request) as again:
        assert again.end() == 0
    assert (ended(again)["epochs"], ended(again)["model"]) == (end["epochs"], "tiny@1")
    assert not [e for e in again.events if e["type"] == "metric"]
    # Unless it is told to have another number of epochs.
    given = json.loads(request.read_text())
    given["config"]["epochs"] = end["epochs"] + 1
    request.write_text(json.dumps(given))
    with Trainer(request) as more:
        assert more.end() == 0
    assert (ended(more)["epochs"], ended(more)["model"]) == (end["epochs"] + 1, "tiny@2")


def test_more_epochs_end_in_the_bytes_of_a_run_that_had_them_from_the_start(
    tmp_path: Path,
) -> None:
    for name in ("whole", "grown"):
        (tmp_path / name).mkdir()
    whole = undisturbed_run(tmp_path / "whole", {**CONFIG, "epochs": 5})
    request = disturbed_run(tmp_path / "grown", {**CONFIG, "epochs": 3}, whole)
    run = run_of(request)
    with Trainer(request) as trainer:
        assert trainer.end() == 0
    given = json.loads(request.read_text())
    for epochs, status in ((2, 1), (5, 0)):
        given["config"]["epochs"] = epochs
        request.write_text(json.dumps(given))
        with Trainer(request) as trainer:
            assert trainer.end() == status
        if status:
            error = ended(trainer)["error"]
            assert error["status"] == 409
            assert error["errors"][0]["field"] == "config.epochs"
            assert "epoch 3" in error["detail"]
    assert_same_but_for_its_length(run, whole)


def test_a_trainer_waits_for_the_one_before_it(tmp_path: Path) -> None:
    request = write_request(tmp_path, **CONFIG, epochs=1)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with run_of(request).lock():
            held.set()
            release.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(60)
    threading.Timer(4, release.set).start()  # while the trainer loads or waits
    with Trainer(request) as trainer:
        assert trainer.end() == 0
    other.join()
    assert FOLDER_BUSY == 76  # what the supervisor knows it by


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB; mounting needs root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs the right to")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return undisturbed_run(tmp_path_factory.mktemp("forty"), {**CONFIG, "epochs": 40})


@pytest.mark.parametrize("kind", ["full", pytest.param("read-only", marks=pytest.mark.long)])
def test_a_disk_that_takes_no_more_leaves_the_checkpoint_good(
    small_disk: Path, forty: RunFolder, kind: str
) -> None:
    request = disturbed_run(small_disk, {**CONFIG, "epochs": 40}, forty)
    run = run_of(request)
    with Trainer(request) as trainer:
        trainer.wait_for("checkpoint", step=4)
        if kind == "full":
            with open(small_disk / "filler", "wb", buffering=0) as file:
                with contextlib.suppress(OSError):
                    while file.write(b"0" * 4096) == 4096:
                        pass
        else:
            shade = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(run.checkpoints)]
            subprocess.run(shade, check=True)
        assert trainer.end() == 1
    if kind == "read-only":
        subprocess.run(["umount", str(run.checkpoints)], check=True)
    error = ended(trainer)["error"]
    assert error["type"].endswith("disk-full" if kind == "full" else "not-writable")
    assert error["errors"][0]["field"] == "SYNTHORAX_DATA_DIR"
    assert str(run.path) in error["detail"]
    assert len(checkpoints(run.checkpoints)) == 2
    if kind == "full":
        assert not list(run.path.rglob("*.tmp"))
        (small_disk / "filler").unlink()
    with Trainer(request) as trainer:
        assert trainer.end() == 0
    assert any("Resumed" in event.get("message", "") for event in trainer.events)
    assert_same_end(run, forty)
    epochs = [line["epoch"] for line in run.read_metrics() if line["scope"] == "epoch"]
    assert epochs == list(range(1, 41))


def test_one_wrong_byte_in_a_checkpoint_is_found(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "wrong").mkdir()
    whole = undisturbed_run(tmp_path / "whole", {**CONFIG, "epochs": 3})
    request = disturbed_run(tmp_path / "wrong", {**CONFIG, "epochs": 3}, whole)
    with Trainer(request) as trainer:
        assert trainer.end() == 0
    run = run_of(request)
    newest, before = checkpoints(run.checkpoints)
    content = bytearray(newest.read_bytes())
    content[-100] ^= 1
    newest.write_bytes(content)
    with Trainer(request) as trainer:
        assert trainer.end() == 0
    messages = " ".join(event.get("message", "") for event in trainer.events)
    assert "its bytes are not those that were written" in messages
    assert f"Resumed from the checkpoint at step {int(before.stem)}" in messages
    assert_same_end(run, whole)


def test_the_timeline_keeps_every_second_epoch(tmp_path: Path) -> None:
    config = {**CONFIG, "epochs": 7, "checkpoint_every_epochs": 2, "checkpoint_seconds": 3600}
    request = write_request(tmp_path, **config)
    with Trainer(request) as trainer:
        assert trainer.end() == 0
    listed = run_of(request).list_checkpoints()
    assert [each["epoch"] for each in listed] == [7, 6, 4, 2]
    assert [each["step"] for each in listed] == [21, 18, 12, 6]
    assert all(len(each["sha256"]) == 64 and each["bytes"] > 1000 for each in listed)


def test_no_orphan_outlives_its_supervisor_for_long() -> None:
    code = (
        "import time, training.stopping as s; s.ALONE_SECONDS = 0.2;"
        "s.StopRequest(lifeline=True); time.sleep(60)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, start_new_session=True, timeout=50
    )
    assert ended.returncode == -9


def test_a_version_is_published_once_for_a_job_and_step(tmp_path: Path) -> None:
    request_path = write_request(tmp_path, model="tiny", **CONFIG, epochs=1)
    content = {**json.loads(request_path.read_text()), "job": "job-1", "run": str(tmp_path / "r")}
    request_path.write_text(json.dumps(content))
    with Trainer(request_path) as trainer:
        assert trainer.end() == 0
    library = ModelLibrary(tmp_path / "models")
    request = read_request(tmp_path / "r" / "request.json")
    # Killed after the rename and before it could say so: its like finds the version.
    request.run.published.unlink()
    assert publish(request, "tiny", library).reference == "tiny@1"
    assert library.with_job("tiny", "job-1", 3) is not None
    for other in (("tiny", "job-1", 4), ("tiny", "job-2", 3), ("small", "job-1", 3)):
        assert library.with_job(*other) is None


# Health


def test_a_game_that_goes_on_is_left_alone() -> None:
    health = Health({}, [30.0, 30.0])
    for epoch in range(200):
        # The bundled versions' extremes, and a start without any variety.
        share = min(0.6, 0.02 * epoch)
        assert health.look(0.93, 0.14, [30 * share, 20 * share], 78) is None
        assert not health.doubtful


def test_a_sure_discriminator_is_found_after_a_thousand_steps() -> None:
    counters: dict[str, Any] = {}
    for epoch in range(1, 11):
        counters = json.loads(json.dumps(counters))  # as through a checkpoint
        health = Health(counters, [30.0])
        found = health.look(0.995, 0.004, [20.0], 100)
        assert (found is not None) == (epoch == 10)
        assert health.doubtful == (epoch < 10)
    assert found is not None
    assert "10 epochs" in found
    assert Health(counters, [30.0]).look(0.9, 0.1, [20.0], 100) is None


def test_a_class_that_loses_its_variety_is_found() -> None:
    health = Health({}, [34.0, 34.0])
    # What was measured of a long conditional run, docs/training.md.
    course = [8.1, 20.2, 19.6, 19.9, 19.1, 13.5, 6.2, 6.0, 5.1]
    found = [health.look(0.8, 0.2, [small, 30.0], 78) for small in course]
    assert [each is not None for each in found] == [False] * 8 + [True]
    assert "class 0" in str(found[-1])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Decoded:
    return decoded_of(REAL, tmp_path_factory.mktemp("data"))


def test_variety_is_a_pixel_s_deviation(data: Decoded) -> None:
    real = of_real_images(data, 2)
    assert len(real) == 2
    assert all(20 < value < 60 for value in real)
    assert len(of_real_images(data, 0)) == 1
    same = data.images[:1].repeat(4, 0)
    assert of_classes(same, [0, 0, 1, 1], 2) == [0, 0]
    assert of_classes(data.images, list(data.classes), 2) == real


@pytest.mark.parametrize(
    ("on_collapse", "checkpoint_seconds"), [("stop", 3600), ("stop", 0), ("continue", 3600)]
)
def test_a_collapse_stops_the_run_or_is_told_of(
    tmp_path: Path,
    data: Decoded,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    on_collapse: str,
    checkpoint_seconds: int,  # 0: each step, so also between the last look and the first sign
) -> None:
    # Every game is thin by these; the first two epochs are not looked at.
    monkeypatch.setattr(health, "VARIED", -1.0)
    monkeypatch.setattr(health, "THIN", 10.0)
    config = tiny(
        on_collapse=on_collapse, epochs=8, checkpoint_seconds=checkpoint_seconds, batch_size=8
    )
    folder = RunFolder(tmp_path)

    def loop() -> Loop:
        batches, events = Batches(data, config, CPU), Events(folder, None)
        real = [30.0] * max(1, len(data.labels) if config.conditional else 1)
        return Loop(
            folder, config, batches, game_of(config), PLAIN, events, StopRequest(False), real
        )

    first = loop()
    first.state.counters["step"] = 0
    first._save()  # a checkpoint from before
    if on_collapse == "continue":
        assert loop().train()
        assert "looked alike" in capsys.readouterr().out
        return
    with pytest.raises(Collapsed) as caught:
        loop().train()
    assert caught.value.suggestion == {"learning_rate": config.learning_rate / 2}
    assert '{"epochs": 0}' in str(caught.value)
    assert [int(path.stem) for path in checkpoints(folder.checkpoints)] == [0]
    assert "suggestion" in caught.value.as_problem()
    assert folder.sampled_epochs()[0] == 1  # of epochs that a run which goes on does not have
    folder.sample(0).touch()
    loop()._resume()
    assert folder.sampled_epochs() == [0]


def test_a_smaller_run_than_its_checkpoint_is_refused(data: Decoded, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for epochs in (2, 1):
        config = tiny(epochs=epochs, batch_size=8)
        batches, events = Batches(data, config, CPU), Events(folder, None)
        loop = Loop(
            folder, config, batches, game_of(config), PLAIN, events, StopRequest(False), [30.0] * 2
        )
        if epochs == 2:
            assert loop.train()
        else:
            with pytest.raises(Conflict, match="epoch 2"):
                loop.train()


# Memory


@pytest.mark.long
def test_the_batch_size_that_fits_is_measured(tmp_path: Path) -> None:
    request = write_request(tmp_path, batch_size=512)
    environment = {**os.environ, "SYNTHORAX_TRAIN_DEVICE": "cpu"}

    def fit(*options: str) -> Any:
        command = [sys.executable, "-m", "training", "fit", str(request), *options]
        answer = subprocess.run(
            command,
            cwd=Path(__file__).parent.parent,
            env=environment,
            capture_output=True,
            check=True,
        )
        return json.loads(answer.stdout)

    assert fit("--memory-mb", "64") == {"batch_size": None}
    limit = fit("--batch-size", "100")["bytes"] // 2**20
    found = fit("--memory-mb", str(limit))["batch_size"]
    assert 32 <= found <= 112
    assert fit("--batch-size", str(found))["bytes"] <= limit * 2**20
