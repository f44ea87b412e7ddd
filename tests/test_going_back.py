"""A run that goes back to an earlier checkpoint: what it finds there, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from features.extractors import FeatureCache, efficientnet_lite0
from library.config import resolve
from library.decoded import Decoded
from library.runs import RunFolder, checkpoints
from tests.sets import decoded as decoded_of
from tests.trainer import REAL
from training import selection
from training.checkpoints import (
    State,
    counters_in,
    drop_checkpoints_after,
    load_checkpoint,
    save_checkpoint,
)
from training.precision import Arithmetic
from training.selection import Selection, best_weights, load_best
from training.trainer import Game, new_game

CPU = torch.device("cpu")
SMALL = {"generator_width": 4, "discriminator_width": 4, "latent_dim": 4, "conditional": False}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Decoded:
    return decoded_of(REAL, tmp_path_factory.mktemp("data"))


def small_game() -> Game:
    config = resolve("lite", {**SMALL, "seed": 1})
    return new_game(config, 2, CPU, Arithmetic("float32", False))


def test_each_kept_checkpoint_has_its_best_weights(
    data: Decoded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kids = iter([0.3, 0.2, 0.1])  # it gets better while the game is already doubtful
    monkeypatch.setattr(selection, "kid", lambda *_: next(kids))
    monkeypatch.setattr(selection, "FAKES_MIN", 1)
    run, game = RunFolder(tmp_path), small_game()
    state = State(game.modules(), {}, {"step": 0})
    features = FeatureCache(efficientnet_lite0(), None)
    chosen = Selection(run, state.counters, data, (), features)
    for step in (10, 20, 30):
        state.counters["step"], game.sampler.label_weight = step, step / 30
        with torch.no_grad():
            next(game.discriminator.parameters()).fill_(step)
        chosen.measure(game.sampler, game.discriminator, step)
        save_checkpoint(run.checkpoints, state, lambda other: other == 10)
        chosen.forget_others()
    assert len(checkpoints(run.checkpoints)) == 3
    drop_checkpoints_after(run.checkpoints, 10)  # as a collapse does
    other = small_game()
    back = State(other.modules(), {}, {})
    load_checkpoint(run.checkpoints, back)
    best = load_best(run, back.counters, other.sampler, other.discriminator)
    assert best is not None
    assert (best["step"], best["label_weight"]) == (10, 1 / 3)
    assert next(other.discriminator.parameters()).flatten()[0] == 10
    chosen.forget_others()  # nothing is kept of those that are gone
    assert sorted(run.checkpoints.glob("best-*")) == [best_weights(run, 10)]
    assert [counters["step"] for counters in counters_in(run.checkpoints)] == [10]

    for lost in (False, True):
        best_weights(run, 10).write_bytes(b"none")
        if lost:
            best_weights(run, 10).unlink()
        caplog.clear()
        before = {name: t.clone() for name, t in other.sampler.state_dict().items()}
        assert load_best(run, back.counters, other.sampler, other.discriminator) is None
        assert "of step 10, cannot be read" in caplog.text
        torch.testing.assert_close(other.sampler.state_dict(), before)
