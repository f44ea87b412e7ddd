"""Training on 24 real images: what a step sees, what is kept, what is refused and published."""

from __future__ import annotations

import io
import json
import math
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from torch import nn

from app.engine.onnx import OnnxBackend
from app.engine.sampler import Sampler
from library.config import Augmentation, RunConfig, resolve
from library.decoded import Decoded
from library.digest import digest_file, digest_version
from library.errors import Conflict, InvalidValue, SynthoraxError, Unavailable
from library.latents import latents
from library.requests import RunRequest, read_request
from library.runs import RunFolder, checkpoints
from library.versions import ModelLibrary, Version
from tests.sets import decoded as decoded_of
from tests.trainer import REAL, TINY, Trainer, write_request
from training import __main__ as command
from training import ema
from training.adam import Optimiser
from training.augment import affine, augment
from training.batches import Batches
from training.checkpoints import State, load_checkpoint, save_checkpoint
from training.cost import cost
from training.events import Events
from training.export import TOLERANCE, ExportDiffers, check, round_to_half, to_onnx
from training.figures import write_figures
from training.loop import Diverged, Loop
from training.networks.dcgan import Generator
from training.precision import CANDIDATES, Arithmetic, choose_device, fastest
from training.publish import publish
from training.run import probe, run
from training.sampling import estimate_statistics, fixed_grid, sample, sample_version
from training.seeds import epoch_order, seed_torch
from training.stopping import FOLDER_BUSY, StopRequest
from training.trainer import Game, new_game, train_step

CPU = torch.device("cpu")
PLAIN = Arithmetic("float32", False)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Decoded:
    return decoded_of(REAL, tmp_path_factory.mktemp("data"))


@pytest.fixture
def stop() -> Iterator[StopRequest]:
    """A request to stop that never comes; the signals it took are given back."""
    taken = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield StopRequest(lifeline=False)
    for number, handler in taken.items():
        signal.signal(number, handler)


def tiny(**overrides: Any) -> RunConfig:
    return resolve("paper", {**TINY, **overrides})


def game_of(config: RunConfig) -> Game:
    return new_game(config, 2, CPU, PLAIN)


def state_of(game: Game, step: int = 0) -> State:
    modules: dict[str, nn.Module] = {
        "generator": game.generator,
        "discriminator": game.discriminator,
    }
    optimisers: dict[str, Optimiser] = {"g": game.optimiser_g, "d": game.optimiser_d}
    return State(modules, optimisers, {"step": step, "sums": [0.0] * 5, "seconds": 0.0})


def tensors_of(state: State) -> dict[str, bytes]:
    found = {
        f"{name}.{key}": tensor.numpy().tobytes()
        for name, module in state.modules.items()
        for key, tensor in module.state_dict().items()
    }
    for name, optimiser in state.optimisers.items():
        for index, values in optimiser.state_dict()["state"].items():
            for key, tensor in values.items():
                found[f"{name}.{index}.{key}"] = tensor.numpy().tobytes()
    return found


# Augmentation


def test_augmentation_that_is_off_is_the_identity() -> None:
    maps = affine(Augmentation(), 1, 2, 5)
    assert torch.equal(maps, torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(5, 2, 3))
    images = torch.rand(5, 1, 64, 64) * 2 - 1
    torch.testing.assert_close(augment(images, maps), images, rtol=0, atol=1e-4)


def test_rotations_are_within_their_degrees_and_fill_them() -> None:
    maps = affine(Augmentation(rotation=30), 1, 0, 2000).double()
    left = maps[:, :, :2]
    degrees = torch.rad2deg(torch.atan2(left[:, 1, 0], left[:, 0, 0]))
    assert degrees.abs().max() <= 30 + 1e-4
    assert degrees.min() < -29
    assert degrees.max() > 29
    assert abs(degrees.mean()) < 5 * 30 / math.sqrt(3 * 2000)
    # Nothing but a rotation: orthogonal, determinant 1, no shift.
    identity = torch.eye(2, dtype=torch.float64).expand(2000, 2, 2)
    torch.testing.assert_close(left @ left.transpose(1, 2), identity, rtol=0, atol=1e-6)
    assert (torch.linalg.det(left) > 0).all()
    assert not maps[:, :, 2].any()


def test_a_quarter_turn_turns_the_picture() -> None:
    images = torch.rand(1, 1, 8, 8) * 2 - 1
    quarter = torch.tensor([[[0.0, -1, 0], [1, 0, 0]]])
    turned = augment(images, quarter)
    torch.testing.assert_close(turned, torch.rot90(images, 1, (2, 3)), rtol=0, atol=1e-5)


def test_what_comes_from_outside_is_black() -> None:
    white = torch.ones(8, 1, 64, 64)
    turned = augment(white, affine(Augmentation(rotation=30), 3, 0, 8))
    assert turned.min() >= -1
    assert turned.max() <= 1 + 1e-6
    assert (turned[:, :, 20:44, 20:44] > 1 - 1e-5).all()
    corners = turned[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert torch.equal(corners.amax(1), torch.full((8,), -1.0))


def test_crop_and_scale_stay_within_their_bounds() -> None:
    crop = affine(Augmentation(crop=0.2), 1, 0, 2000)
    side, shift = crop[:, 0, 0], crop[:, :, 2]
    assert side.min() >= 0.8 - 1e-6
    assert side.max() <= 1
    assert side.min() < 0.81
    # The window lies inside the picture.
    assert (shift.abs() <= (1 - side)[:, None] + 1e-6).all()
    scale = 1 / affine(Augmentation(scale=0.1), 1, 0, 2000)[:, 0, 0]
    assert scale.min() >= 0.9 - 1e-6
    assert scale.max() <= 1.1 + 1e-6
    assert scale.max() - scale.min() > 0.19


def test_half_of_the_pictures_are_mirrored() -> None:
    mirrored = affine(Augmentation(flip=True), 1, 0, 2000)[:, 0, 0]
    assert set(mirrored.tolist()) == {-1, 1}
    assert abs(mirrored.mean()) < 5 / math.sqrt(2000)
    images = torch.rand(1, 1, 8, 8)
    flipped = augment(images, torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]]))
    torch.testing.assert_close(flipped, images.flip(3), rtol=0, atol=1e-5)


def test_augmentation_is_a_function_of_seed_and_step() -> None:
    rule = Augmentation(rotation=30, crop=0.1, scale=0.1, flip=True)
    first = affine(rule, 7, 4, 16)
    assert torch.equal(affine(rule, 7, 4, 16), first)
    assert not torch.equal(affine(rule, 7, 5, 16), first)
    assert not torch.equal(affine(rule, 8, 4, 16), first)
    # Switching one kind off leaves the draws of the others alone.
    less = affine(Augmentation(rotation=30), 7, 4, 16)
    angles = [torch.atan2(m[:, 1, 1], m[:, 0, 1]) for m in (first, less)]
    torch.testing.assert_close(*angles)


# Batches


def test_a_batch_is_a_function_of_its_step(data: Decoded) -> None:
    config = tiny()
    walked = Batches(data, config, CPU)
    batches = [walked.batch(step) for step in range(7)]
    for step in (6, 2, 5):
        alone = Batches(data, config, CPU).batch(step)
        for name in ("real", "labels", "z"):
            assert torch.equal(getattr(alone, name), getattr(batches[step], name)), name
    other = Batches(data, tiny(seed=8), CPU).batch(2)
    assert not torch.equal(other.real, batches[2].real)
    assert not torch.equal(other.z, batches[2].z)
    assert len({batch.z.numpy().tobytes() for batch in batches}) == 7


def test_an_epoch_shows_every_image_once_with_its_own_label(data: Decoded) -> None:
    batches = Batches(data, tiny(augmentation={}), CPU)
    assert batches.steps_per_epoch == 3
    known = {levels.tobytes(): int(c) for levels, c in zip(data.images, data.classes, strict=True)}
    for epoch in range(2):
        shown = {}
        for step in range(3 * epoch, 3 * epoch + 3):
            batch = batches.batch(step)
            assert batch.real.dtype == torch.float32
            assert batch.real.shape == (8, 1, 64, 64)
            assert batch.z.shape == (8, 100)
            levels = ((batch.real[:, 0] + 1) * 127.5).round().byte().numpy()
            for image, label in zip(levels, batch.labels.tolist(), strict=True):
                shown[image.tobytes()] = label
        assert shown == known


def test_the_last_incomplete_batch_is_not_shown(data: Decoded) -> None:
    batches = Batches(data, tiny(batch_size=10), CPU)
    assert batches.steps_per_epoch == 2
    assert torch.equal(batches.batch(2).labels, batches.classes[epoch_order(7, 1, 24)[:10]])


# Steps, EMA, precision


def test_a_step_moves_both_networks_and_measures_them(data: Decoded) -> None:
    config = tiny()
    game = game_of(config)
    before = tensors_of(state_of(game))
    measures = train_step(game, Batches(data, config, CPU).batch(0), config, PLAIN)
    after = tensors_of(state_of(game))
    for name in ("generator.main.0.weight", "discriminator.main.0.weight"):
        assert before[name] != after[name]
    loss_d, loss_g, d_x, d_g_z1, d_g_z2 = measures.tolist()
    assert measures.isfinite().all()
    assert all(0 < p < 1 for p in (d_x, d_g_z1, d_g_z2))
    # Jensen: a mean of -log p is at least -log of the mean of p.
    assert loss_g >= -math.log(d_g_z2) - 1e-6
    assert loss_d >= -math.log(d_x) - math.log(1 - d_g_z1) - 1e-6
    assert all(p.requires_grad for p in game.discriminator.parameters())


def test_the_moving_average_has_its_half_life() -> None:
    average, current = Generator(64, 10, 4), Generator(64, 10, 4)
    names = ("main.0.weight", "main.1.running_mean")
    for network, level in ((average, 0.0), (current, 1.0)):
        for name in names:
            nn.init.constant_(network.state_dict()[name], level)
    untouched = {k: v.clone() for k, v in current.state_dict().items()}
    for shown in range(1, 11):
        ema.update(average, current, 100, 0.5)
        expected = 1 - 0.5 ** (shown * 100 / 500)
        for name in names:
            tensor = average.state_dict()[name]
            torch.testing.assert_close(tensor, torch.full_like(tensor, expected))
    for key, value in current.state_dict().items():
        assert torch.equal(value, untouched[key])


def test_without_a_half_life_there_is_no_average(data: Decoded) -> None:
    game = game_of(tiny(ema_half_life_kimg=0))
    assert game.average is None
    assert game.sampler is game.generator
    averaged = game_of(tiny())
    assert averaged.sampler is averaged.average
    config = tiny()
    train_step(averaged, Batches(data, config, CPU).batch(0), config, PLAIN)
    assert averaged.average is not None
    mine, theirs = averaged.average.state_dict(), averaged.generator.state_dict()
    assert not torch.equal(mine["main.0.weight"], theirs["main.0.weight"])


def test_the_probe_picks_the_fastest_that_this_cpu_computes(data: Decoded) -> None:
    chosen, speeds = probe(tiny(precision="auto", batch_size=2, epochs=100), data, CPU)
    emulated = torch.backends.cpu.get_cpu_capability() == "AVX2"
    measured = [c for c in CANDIDATES if not (emulated and c.precision == "bfloat16")]
    assert speeds.keys() == {f"{c.precision} {c.layout}" for c in measured}
    assert speeds[f"{chosen.precision} {chosen.layout}"] == max(speeds.values())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_named_precision_is_not_measured(precision: str, data: Decoded) -> None:
    # Two runs of one configuration must not differ by what was faster that day.
    chosen, speeds = probe(tiny(precision=precision), data, CPU)
    assert (chosen.precision, chosen.channels_last, speeds) == (precision, True, {})


def test_a_run_shorter_than_its_measuring_is_not_measured() -> None:
    def never(_: Arithmetic) -> Any:
        raise AssertionError("it is measured")

    chosen, speeds = fastest(tiny(precision="auto"), CPU, never, planned=179)
    assert (chosen.precision, chosen.channels_last, speeds) == ("float32", True, {})


def test_the_probe_measures_every_candidate_and_trains_nothing(data: Decoded) -> None:
    tried: list[Arithmetic] = []

    def steps(arithmetic: Arithmetic) -> Any:
        return lambda: tried.append(arithmetic)

    chosen, speeds = fastest(tiny(precision="auto"), CPU, steps, planned=180)
    assert {CANDIDATES[0], CANDIDATES[1]} <= set(tried)
    assert chosen in tried
    assert len(speeds) == len(set(tried))
    config = tiny(precision="auto", epochs=100)
    game = game_of(config)
    weights = tensors_of(state_of(game))
    probe(config, data, CPU)
    assert tensors_of(state_of(game_of(config))) == weights
    assert tensors_of(state_of(game)) == weights


def test_a_gpu_that_cannot_be_used_is_an_error() -> None:
    assert choose_device("cpu") == CPU
    if not torch.cuda.is_available():
        with pytest.raises(Unavailable, match="cannot use a GPU"):
            choose_device("cuda")


# Checkpoints


def trained_state(data: Decoded, steps: int = 1) -> State:
    config = tiny()
    game = game_of(config)
    batches = Batches(data, config, CPU)
    for step in range(steps):
        train_step(game, batches.batch(step), config, PLAIN)
    return state_of(game, steps)


def test_a_checkpoint_restores_every_tensor(data: Decoded, tmp_path: Path) -> None:
    state = trained_state(data)
    state.counters["sums"] = [0.1, 1 / 3, 1e-300, 2.0, -0.7]
    path = save_checkpoint(tmp_path, state)
    assert path.name == "0000000001.safetensors"
    fresh = trained_state(data)
    for optimiser in fresh.optimisers.values():
        optimiser.load_state_dict({**optimiser.state_dict(), "state": {}})
    for module in fresh.modules.values():
        for parameter in module.parameters():
            nn.init.zeros_(parameter)
    assert tensors_of(fresh) != tensors_of(state)
    assert load_checkpoint(tmp_path, fresh) == (path, [])
    assert tensors_of(fresh) == tensors_of(state)
    assert fresh.counters == state.counters


def test_the_two_newest_checkpoints_are_kept(data: Decoded, tmp_path: Path) -> None:
    state = trained_state(data)
    for step in (1, 5, 9, 12):
        state.counters["step"] = step
        save_checkpoint(tmp_path, state)
    assert [int(path.stem) for path in checkpoints(tmp_path)] == [12, 9]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "no counters"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_older(
    damage: str, data: Decoded, tmp_path: Path
) -> None:
    state = trained_state(data)
    older = save_checkpoint(tmp_path, state)
    state.counters["step"] = 20
    newest = save_checkpoint(tmp_path, state)
    whole = newest.read_bytes()
    newest.write_bytes(
        {
            "empty": b"",
            "cut": whole[:-100],
            "text": b"not a checkpoint",
            "no counters": whole.replace(b'"counters"', b'"countess"', 1),
        }[damage]
    )
    fresh = trained_state(data, 0)
    path, damaged = load_checkpoint(tmp_path, fresh)
    assert path == older
    assert fresh.counters["step"] == 1
    assert len(damaged) == 1
    assert newest.name in damaged[0]
    # From here on the damaged one counts as none of the two that are kept.
    for step in (2, 3):
        fresh.counters["step"] = step
        save_checkpoint(tmp_path, fresh)
    assert [int(path.stem) for path in checkpoints(tmp_path)] == [3, 2]


def test_without_a_whole_checkpoint_a_run_begins_anew(data: Decoded, tmp_path: Path) -> None:
    state = trained_state(data)
    before = tensors_of(state)
    assert load_checkpoint(tmp_path / "none", state) == (None, [])
    (tmp_path / "0000000003.safetensors").write_bytes(b"")
    (tmp_path / ".0000000004.safetensors.abc.tmp").write_bytes(b"half")
    path, damaged = load_checkpoint(tmp_path, state)
    assert path is None
    assert len(damaged) == 1
    assert tensors_of(state) == before


def test_half_a_checkpoint_of_a_killed_trainer_is_removed(data: Decoded, tmp_path: Path) -> None:
    left = tmp_path / ".0000000004.safetensors.abc.tmp"
    left.write_bytes(b"half")
    save_checkpoint(tmp_path, trained_state(data))
    assert not left.exists()


# Refused runs


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


def test_each_class_is_judged_as_a_batch_of_its_own(data: Decoded) -> None:
    config = tiny(conditional=True)
    network = game_of(config).discriminator
    batch = Batches(data, config, CPU).batch(0)
    judged = network(batch.real, batch.labels)
    for c in range(2):
        own = batch.labels == c
        assert 0 < int(own.sum()) < len(judged)
        assert torch.equal(judged[own], network(batch.real[own], batch.labels[own]))
    mixed = network.eval()(batch.real, batch.labels)
    assert not torch.allclose(judged, mixed)


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


# Export


@pytest.mark.parametrize("classes", [0, 3])
def test_onnx_equals_torch(classes: int, tmp_path: Path) -> None:
    seed_torch(5)
    generator = Generator(128, 20, 4, classes)
    round_to_half(generator)
    estimate_statistics(generator, 64)
    path = tmp_path / "model.onnx"
    onnx.save(to_onnx(generator), path)
    assert check(generator, path) <= TOLERANCE
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["z", *(["label"] if classes else [])]
    for count in (1, 5):
        z, label = latents(range(100, 100 + count), 20), np.arange(count) % max(classes, 1)
        (images,) = session.run(["images"], {"z": z, "label": label} if classes else {"z": z})
        with torch.no_grad():
            expected = generator(torch.from_numpy(z), torch.from_numpy(label)).numpy()
        assert images.shape == (count, 1, 128, 128)
        assert np.abs(images - expected).max() <= TOLERANCE
    assert expected.std() > 0.01


def test_an_export_that_differs_is_not_published(tmp_path: Path) -> None:
    seed_torch(5)
    generator = Generator(64, 20, 4)
    round_to_half(generator)
    estimate_statistics(generator, 64)
    onnx.save(to_onnx(generator), tmp_path / "model.onnx")
    with torch.no_grad():
        generator.state_dict()["main.3.weight"].mul_(1.01)
    with pytest.raises(ExportDiffers):
        check(generator, tmp_path / "model.onnx")


def test_statistics_are_means_over_the_latents() -> None:
    seed_torch(5)
    generator = Generator(64, 20, 4)
    first, norm = generator.main[0], generator.main[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    grad: list[bool] = []
    generator.register_forward_hook(lambda *_: grad.append(torch.is_grad_enabled()))
    estimate_statistics(generator, 256, chunk=128)
    assert grad == [False, False]  # a graph of each chunk would be most of what publishing takes
    with torch.no_grad():
        columns = first(torch.from_numpy(latents(range(256), 20))[:, :, None, None])
    torch.testing.assert_close(norm.running_mean, columns.mean((0, 2, 3)), rtol=0, atol=1e-5)
    torch.testing.assert_close(norm.running_var, columns.var((0, 2, 3)), rtol=0.02, atol=1e-5)
    assert norm.momentum == 0.1
    assert not generator.training


def test_samples_do_not_depend_on_their_neighbours_or_the_mode() -> None:
    seed_torch(5)
    generator = Generator(64, 20, 4, 2).train()
    many = sample(generator, range(20), [i % 2 for i in range(20)])
    assert generator.training
    assert np.abs(many[13:14].astype(int) - sample(generator, [13], [1])).max() <= 1
    grid = np.asarray(Image.open(io.BytesIO(fixed_grid(generator, 4))))
    assert np.array_equal(grid[:64, :64], many[0])


# `python -m training`, from the request to a version


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


def test_every_refusal_of_a_run_is_in_the_tree_of_errors() -> None:
    for kind in (Diverged, ExportDiffers, InvalidValue):
        assert issubclass(kind, SynthoraxError)
        assert kind.slug != SynthoraxError.slug
