"""In which precision and on which device a run computes: named, or measured by a probe."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from library.decoded import Decoded
from library.errors import Unavailable
from tests.training.games import CPU, game_of, state_of, tensors_of, tiny
from training.precision import CANDIDATES, Arithmetic, choose_device, fastest
from training.run import probe

pytestmark = pytest.mark.usefixtures("one_thread")


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
