"""Runs of the later families: resumed to the bit, their best weights chosen, and fine-tuned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from features.distances import Gram
from features.extractors import efficientnet_lite0
from library.ancestors import DISCRIMINATOR, taken_over
from library.config import resolve
from library.datasets.choices import Choices
from library.datasets.opened import open_dataset
from library.datasets.records import begin
from library.decoded import decode
from library.errors import InvalidValue
from library.presets import PRESETS
from library.requests import read_request
from library.runs import RunFolder, checkpoints
from library.versions import ModelLibrary
from tests.sets import picture
from tests.test_resume import assert_same_end
from tests.trainer import Trainer
from training import schedules
from training.ancestor import Begun, begin_from
from training.checkpoints import State, load_checkpoint
from training.precision import Arithmetic
from training.selection import best_weights
from training.stopping import RESUMABLE
from training.trainer import new_game
from worker.events import EVENT

TRAIN, VALIDATION = 24, 20  # images of each class
# Everything on that a run can have, and small.
EVERYTHING: dict[str, Any] = {
    "family": "lite", "conditional": True, "generator_width": 8, "discriminator_width": 8,
    "latent_dim": 16, "batch_size": 8, "epochs": 4, "precision": "float32", "threads": 1,
    "seed": 7, "loss": "relativistic", "beta1": 0.0, "beta2": 0.9, "beta2_final": 0.99,
    "learning_rate_final": 5e-5, "penalty": 1.0, "penalty_final": 0.5, "penalty_every": 4,
    "ema_half_life_kimg": 0.05, "ema_ramp": 0.5, "sampling": "balanced", "label_ramp": 0.5,
    "diffaugment": {"probability": 0.2, "target": 0.6}, "validate_every_kimg": 0.064,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in train and val; 'A' is dark, 'B' bright and rarer."""
    root = tmp_path_factory.mktemp("sets") / "set"
    number = 0
    for split, count in (("train", TRAIN), ("val", VALIDATION)):
        for label, share in (("A", 1.0), ("B", 0.75)):
            for _ in range(count if split == "val" else int(count * share)):
                number += 1
                picture(root / split / label / f"{number}.png", number)
    return root


def request_in(data_dir: Path, folder: Path, model: str | None = None, **config: Any) -> Path:
    identity = begin(data_dir, folder, Choices(fit="crop", patient="none"))["id"]
    path = data_dir / "run.json"
    content = {"dataset": identity, "data_dir": str(data_dir), "model": model}
    path.write_text(json.dumps({**content, "config": {**EVERYTHING, **config}}))
    return path


def trained(request: Path) -> tuple[RunFolder, list[dict[str, Any]]]:
    with Trainer(request) as trainer:
        assert trainer.end() == 0, [trainer.events[-2:], request.with_suffix(".log").read_text()]
    return RunFolder(request.parent / "runs" / "run"), trainer.events


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, folder: Path
) -> tuple[Path, RunFolder, list[dict[str, Any]]]:
    """A run from end to end, published."""
    data_dir = tmp_path_factory.mktemp("whole")
    run, events = trained(request_in(data_dir, folder, "small", checkpoint_seconds=3600))
    return data_dir, run, events


def test_a_run_with_everything_on_goes_on_to_the_same_bytes(
    whole: tuple[Path, RunFolder, list[dict[str, Any]]], folder: Path, tmp_path: Path
) -> None:
    _, run, events = whole
    request = request_in(tmp_path, folder, "small", checkpoint_seconds=0)
    kills = (("metric", {"step": 3}), ("validation", {"step": 8}), ("checkpoint", {"step": 13}))
    for kind, least in kills:
        with Trainer(request) as trainer:
            trainer.wait_for(kind, **least)  # killed at the end of the block
    again, _ = trained(request)
    assert_same_end(again, run, {"adaptive"})
    chosen = json.loads((again.path / "published.json").read_text())
    assert chosen == json.loads((run.path / "published.json").read_text())
    told = [e for e in events if e["type"] == "validation"]
    assert [e["step"] for e in told] == [8, 16, 20]
    for event in events:  # as the service passes them on
        EVENT.validate_python(event)


def test_the_best_weights_are_the_published_ones(
    whole: tuple[Path, RunFolder, list[dict[str, Any]]],
) -> None:
    data_dir, run, events = whole
    told = [e for e in events if e["type"] == "validation"]
    best = min(told, key=lambda e: float(e["kid"]))
    assert told[-1]["best"] == best["kid"]
    assert told[-1]["best_step"] == best["step"]
    version = ModelLibrary(data_dir / "models").find("small@1")
    chosen = version.card["training"]["chosen"]
    assert (chosen["step"], chosen["kid"]) == (best["step"], best["kid"])
    assert set(chosen["by_label"]) == {"A", "B"}
    assert "best by KID" in (version.path / "CARD.md").read_text()
    kept = load_file(best_weights(run, best["step"]))
    stored = load_file(version.path / "model.safetensors")
    name = "main.0.weight"
    torch.testing.assert_close(stored[name], kept[f"sampler.{name}"].half())
    assert [p.name for p in run.checkpoints.glob("best-*")] == [
        best_weights(run, best["step"]).name
    ]
    # KID as the reports compute it, from the kept weights.
    request = read_request(run.request)
    game = new_game(request.config, 2, torch.device("cpu"), Arithmetic("float32", False))
    state = {k.removeprefix("sampler."): t for k, t in kept.items() if k.startswith("sampler.")}
    game.sampler.load_state_dict(state)
    from training.sampling import sample

    with open_dataset(data_dir, str(request.dataset_named), lambda *_: None) as dataset:
        real = decode(dataset, 64, "crop", data_dir / "decoded", split="validation")
    extractor, kids = efficientnet_lite0(), []
    for index in range(2):
        levels = real.images[real.classes == index]
        both = [np.array(levels), sample(game.sampler, range(100), [index] * 100)]
        gram = Gram(np.concatenate([extractor.features(each) for each in both]))
        rows = np.arange(len(levels) + 100)
        kids.append(gram.kid(rows[: len(levels)], rows[len(levels) :]))
    assert np.mean(kids) == pytest.approx(best["kid"], abs=1e-4)


def test_last_means_the_newest_checkpoint(folder: Path, tmp_path: Path) -> None:
    run, _ = trained(request_in(tmp_path, folder, "small", choose="last", epochs=3))
    version = ModelLibrary(tmp_path / "models").find("small@1")
    assert version.card["training"]["chosen"] is None
    game = new_game(
        read_request(run.request).config, 2, torch.device("cpu"), Arithmetic("float32", False)
    )
    load_checkpoint(run.checkpoints, State(game.modules(), {}, {}))
    stored = load_file(version.path / "model.safetensors")
    torch.testing.assert_close(
        stored["main.0.weight"], game.sampler.state_dict()["main.0.weight"].half()
    )


def test_a_run_stopped_in_between_keeps_its_best(folder: Path, tmp_path: Path) -> None:
    request = request_in(tmp_path, folder, epochs=400)
    with Trainer(request) as trainer:
        trainer.wait_for("validation")
        trainer.process.terminate()
        assert trainer.end() == RESUMABLE
    run = RunFolder(tmp_path / "runs" / "run")
    facts = run.list_checkpoints()
    assert len(facts) == 1
    assert len(list(run.checkpoints.glob("best-*"))) == 1


@pytest.mark.parametrize("public", [True, False])
def test_fine_tuning_begins_with_both_networks(
    whole: tuple[Path, RunFolder, list[dict[str, Any]]], folder: Path, tmp_path: Path, public: bool
) -> None:
    """From a discriminator beside the version, and without one that could be found."""
    data_dir, run, _ = whole
    shutil.copytree(data_dir / "models", tmp_path / "models")
    if public:
        found = load_file(best_weights(run, _best_step(data_dir)))
        beside = {
            name.removeprefix("discriminator."): tensor
            for name, tensor in found.items()
            if name.startswith("discriminator.")
        }
        from safetensors.torch import save_file

        save_file(beside, tmp_path / "models" / "small" / "1" / DISCRIMINATOR)
    tuned = shutil.copytree(folder, tmp_path / "tuned" / "set")
    (tuned / "train" / "B").rename(tuned / "train" / "C")
    (tuned / "val" / "B").rename(tuned / "val" / "C")
    old_images = ModelLibrary(tmp_path / "models").find("small@1").card["training"]["images"]
    request = request_in(
        tmp_path, tuned, "tuned", fine_tune="small@1", epochs=1, learning_rate=1e-9,
        learning_rate_final=0.0, ema_half_life_kimg=0.0, diffaugment={}, validate_every_kimg=0.0,
    )  # fmt: skip
    _, events = trained(request)
    begun = next(e for e in events if e["type"] == "log" and e.get("model") == "small@1")
    assert begun["labels"] == {"A": "A", "C": None}
    assert "no class 'C'" in begun["message"]
    # A private version made elsewhere: its job's run folder is not on this server.
    assert begun["discriminator"] is public
    # A discriminator that is begun with is past the phases in which its parts join.
    assert begun["images"] == (old_images if public else 0)
    library = ModelLibrary(tmp_path / "models")
    old, new = library.find("small@1"), library.find("tuned@1")
    assert [each["model"] for each in new.card["ancestry"]] == ["small@1"]
    assert new.card["ancestry"][0]["digest"] == old.digest
    assert "It began with the weights of small@1" in (new.path / "CARD.md").read_text()
    before, after = (load_file(v.path / "model.safetensors") for v in (old, new))
    torch.testing.assert_close(after["main.0.weight"], before["main.0.weight"], atol=1e-3, rtol=0)
    table = before["embedding.weight"].float()
    torch.testing.assert_close(after["embedding.weight"][0].float(), table[0], atol=1e-3, rtol=0)
    torch.testing.assert_close(
        after["embedding.weight"][1].float(), table.mean(0), atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("chosen", [True, False])
def test_a_private_version_s_discriminator_is_that_of_its_step(
    whole: tuple[Path, RunFolder, list[dict[str, Any]]], folder: Path, tmp_path: Path, chosen: bool
) -> None:
    """In the run folder of its job, which may have gone on since."""
    data_dir, run, _ = whole
    shutil.copytree(data_dir / "models", tmp_path / "models")
    theirs = RunFolder(shutil.copytree(run.path, tmp_path / "runs" / "theirs"))
    path = tmp_path / "models" / "small" / "1" / "model.json"
    card = json.loads(path.read_text())
    card["job"] = "theirs"
    (newest,) = checkpoints(theirs.checkpoints)
    of_its_step = newest if not chosen else best_weights(run, _best_step(data_dir))
    if not chosen:
        card["training"]["chosen"] = None
    path.write_text(json.dumps(card))
    (theirs.checkpoints / "0000009999.safetensors").write_bytes(b"of a later step, damaged")
    request = read_request(request_in(tmp_path, folder, "tuned", fine_tune="small@1"))

    def begun() -> tuple[Begun, dict[str, torch.Tensor]]:
        game = new_game(request.config, 2, torch.device("cpu"), Arithmetic("float32", False))
        return begin_from(request, game, ("A", "B")), game.discriminator.state_dict()

    told, found = begun()
    assert told.discriminator
    for name, tensor in load_file(of_its_step).items():
        if name.startswith("discriminator.") and not name.endswith("num_batches_tracked"):
            assert torch.equal(found[name.removeprefix("discriminator.")], tensor), name
    (theirs.checkpoints / of_its_step.name).write_bytes(b"damaged")
    told, _ = begun()
    assert not told.discriminator
    assert told.differs == ["The ancestor's discriminator cannot be read (SafetensorError)."]


def _best_step(data_dir: Path) -> int:
    version = ModelLibrary(data_dir / "models").find("small@1")
    return int(version.card["training"]["chosen"]["step"])


def test_an_ancestor_s_shape_is_taken_over(
    whole: tuple[Path, RunFolder, list[dict[str, Any]]],
) -> None:
    library = ModelLibrary(whole[0] / "models")
    taken = taken_over(
        {"family": "turbo", "epochs": 9}, {"fine_tune": "small", "epochs": 3}, library
    )
    assert taken["fine_tune"] == "small@1"
    assert (taken["family"], taken["generator_width"], taken["latent_dim"]) == ("lite", 8, 16)
    assert taken["epochs"] == 3
    assert taken["penalty_every"] == EVERYTHING["penalty_every"]  # its recipe, too
    reached = library.find("small@1").card["training"]["augmentation_probability"]
    last = load_file(checkpoints(whole[1].checkpoints)[0])
    assert reached == pytest.approx(last["adaptive.probability"].item(), abs=1e-4)
    assert taken["diffaugment"]["probability"] == reached
    assert taken["diffaugment"]["target"] == EVERYTHING["diffaugment"]["target"]
    # Its schedules go on from where they had come to, whatever the preset begins with.
    preset = PRESETS["flagship"]
    tuned = resolve("flagship", taken_over(preset, {"fine_tune": "small"}, library))
    for share in (0.0, 0.5, 1.0):
        now = schedules.at(tuned, int(share * 1000), 1000)
        assert (now.penalty, now.beta2, now.label_weight) == (0.5, 0.99, 1.0)
    assert tuned.sampling == EVERYTHING["sampling"]
    assert (tuned.learning_rate, tuned.learning_rate_final) == (2e-4, 5e-5)
    asked = {"fine_tune": "small", "penalty": 3.0, "penalty_final": 1.0, "label_ramp": 0.1}
    assert taken_over(preset, asked, library).items() >= {**asked, "fine_tune": "small@1"}.items()
    plain = {"family": "turbo", "epochs": 3}
    assert taken_over({"family": "turbo", "epochs": 9}, {"epochs": 3}, library) == plain
    with pytest.raises(InvalidValue) as caught:
        taken_over({}, {"fine_tune": "small", "generator_width": 9, "latent_dim": 3}, library)
    fields = {each["field"] for each in caught.value.as_problem()["errors"]}
    assert fields == {"config.generator_width", "config.latent_dim"}
    with pytest.raises(InvalidValue, match="nobody"):
        taken_over({}, {"fine_tune": "nobody"}, library)


def test_a_public_version_has_its_discriminator_beside_it(folder: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {"validate_every_kimg": 0.0, "label_ramp": 1.0}
    request = request_in(tmp_path, folder, "public", epochs=1, **more)
    content = json.loads(request.read_text())
    request.write_text(json.dumps({**content, "private": False}))
    trained(request)
    version = ModelLibrary(tmp_path / "models").find("public@1")
    assert DISCRIMINATOR in version.card["files"]
    version.verify()
    (newest,) = checkpoints(RunFolder(tmp_path / "runs" / "run").checkpoints)
    assert (version.path / DISCRIMINATOR).is_file()
    # It ended while labels were ramped in (4 of 5 steps before the last): as its grid was drawn.
    table = load_file(newest)["average.embedding.weight"]
    stored = load_file(version.path / "model.safetensors")["embedding.weight"]
    assert torch.equal(stored, (table * 0.8).half())


def test_a_private_version_has_none(
    whole: tuple[Path, RunFolder, list[dict[str, Any]]],
) -> None:
    version = ModelLibrary(whole[0] / "models").find("small@1")
    assert version.private
    assert not (version.path / DISCRIMINATOR).exists()
