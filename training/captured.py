"""Training steps captured as CUDA graphs: a step of these networks is a thousand short kernels, and
Python cannot launch them as fast as a card computes them.

A captured step replays its kernels on the same memory.  What differs from step to step lies in
tensors (the batch, the learning rate, the penalty's weight, the probability of the augmentation);
what Python decides (whether a penalty is due, the phase of the discriminator, beta2, the weight of
the labels) is the key of a graph of its own, captured when it first comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from library.config import RunConfig
from training import schedules
from training.batches import Batch
from training.precision import Arithmetic
from training.trainer import Game, after_step, before_step, penalty_due, play, train_step

Step = Callable[[Batch], Tensor]
UNCAPTURED = 2  # steps of a key before it is captured: optimisers and libraries set themselves up


def stepper(game: Game, config: RunConfig, how: Arithmetic, device: torch.device) -> Step:
    """train_step of these networks, on a card that plays alone as captured graphs."""
    captured = device.type == "cuda" and game.team.size == 1 and game.discriminator.capturable
    if captured:
        return Captured(game, config, how, device).step
    return lambda batch: train_step(game, batch, config, how)


def steps_to_settle(config: RunConfig) -> int:
    """Steps until each kind of step, with a penalty and without, is captured."""
    return (1 + UNCAPTURED) * (config.penalty_every if config.penalty else 1)


@dataclass(frozen=True)
class Graph:
    """A captured step: the batch that it reads, and the measures that it leaves."""

    graph: torch.cuda.CUDAGraph
    measures: Tensor


class Captured:
    """The graphs of a run, begun after its checkpoint is loaded: they know tensors by place."""

    def __init__(
        self, game: Game, config: RunConfig, how: Arithmetic, device: torch.device
    ) -> None:
        self.game, self.config, self.how = game, config, how
        self._graphs: dict[bool, Graph] = {}  # with and without a penalty
        self._begun: dict[bool, int] = {}
        self._batch: Batch | None = None
        self._penalty = torch.zeros((), device=device)
        # Graphs replay one after the other, and none needs what another left: one memory for all.
        self._memory = torch.cuda.graph_pool_handle()
        self._regime: tuple[object, ...] = ()
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def step(self, batch: Batch) -> Tensor:
        """As train_step."""
        now = schedules.at(self.config, batch.images, self.game.planned)
        before_step(self.game, self.config, now, batch.images)
        penalised = penalty_due(self.config, now, batch.step)
        if penalised:
            self._penalty.fill_(now.penalty)
        shown = self.game.head_start + batch.images
        phase = sum(start <= shown for start in self.game.discriminator.phases)
        regime = (phase, now.beta2, now.label_weight)
        if regime != self._regime:  # the graphs of the one before will not come again
            self._graphs.clear()
            self._begun.clear()
            self._memory, self._regime = torch.cuda.graph_pool_handle(), regime
        measures = self._run(penalised, self._at_hand(batch))
        after_step(self.game, self.config, now)
        return measures

    def _at_hand(self, batch: Batch) -> Batch:
        """The batch in the tensors that the graphs read."""
        if self._batch is None:
            copies: dict[str, Any] = {
                f.name: value.clone()
                for f in fields(batch)
                if isinstance(value := getattr(batch, f.name), Tensor)
            }
            self._batch = replace(batch, **copies)
        else:
            for f in fields(batch):
                if isinstance(kept := getattr(self._batch, f.name), Tensor):
                    kept.copy_(getattr(batch, f.name))
        return self._batch

    def _run(self, penalised: bool, batch: Batch) -> Tensor:
        penalty = self._penalty if penalised else None
        if penalised not in self._graphs:
            self._begun[penalised] = self._begun.get(penalised, 0) + 1
            outer = torch.cuda.current_stream()
            self._stream.wait_stream(outer)
            if self._begun[penalised] <= UNCAPTURED:
                with torch.cuda.stream(self._stream):
                    measures = play(self.game, batch, self.config, self.how, penalty)
                outer.wait_stream(self._stream)
                return measures
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._memory, stream=self._stream):
                measures = play(self.game, batch, self.config, self.how, penalty)
            outer.wait_stream(self._stream)
            self._graphs[penalised] = Graph(graph, measures)
        found = self._graphs[penalised]
        found.graph.replay()
        return found.measures.clone()  # the next replay writes over it
