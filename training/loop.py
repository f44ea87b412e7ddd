"""The loop: steps, what is told of them, checkpoints, and the end.  Read it from the top.

A run is a function of (configuration, data, environment): step k draws its data, noise and
augmentation from (seed, k), so a run that is killed and started again ends in the same bytes.
"""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from library.atomic import write_bytes
from library.config import RunConfig
from library.errors import SynthoraxError
from library.runs import RunFolder
from training.batches import Batches
from training.checkpoints import State, load_checkpoint, save_checkpoint
from training.events import Events
from training.precision import Arithmetic
from training.sampling import fixed_grid
from training.stopping import StopRequest
from training.trainer import MEASURES, Game, train_step

TELL_SECONDS = 1.0  # least time between two metric lines inside an epoch: each is a GPU sync


class Diverged(SynthoraxError):
    slug, title, status = "diverged", "Training diverged", 500


class Loop:
    """One attempt at a run, from its newest checkpoint to its end or a stop."""

    def __init__(
        self,
        run: RunFolder,
        config: RunConfig,
        batches: Batches,
        game: Game,
        arithmetic: Arithmetic,
        events: Events,
        stop: StopRequest,
    ) -> None:
        self.run, self.config, self.batches, self.game = run, config, batches, game
        self.arithmetic, self.events, self.stop = arithmetic, events, stop
        self.total_steps = config.epochs * batches.steps_per_epoch
        self.state = State(
            game.modules(),
            {"optimiser_g": game.optimiser_g, "optimiser_d": game.optimiser_d},
            {"step": 0, "sums": [0.0] * len(MEASURES), "seconds": 0.0},
        )
        self._saved_step, self._saved_at = -1, time.monotonic()

    def train(self) -> bool:
        """Train to the end.  False: stopped before it, with a checkpoint to go on from."""
        self._resume()
        counters, per_epoch = self.state.counters, self.batches.steps_per_epoch
        started, started_step = time.monotonic(), counters["step"]
        spent = counters["seconds"]
        pending: list[Tensor] = []  # measures not yet brought from the device
        told = time.monotonic()
        while counters["step"] < self.total_steps:
            batch = self.batches.batch(counters["step"])
            pending.append(train_step(self.game, batch, self.config, self.arithmetic))
            counters["step"] += 1
            at_epoch_end = counters["step"] % per_epoch == 0
            stopping = bool(self.stop)
            if at_epoch_end or stopping or time.monotonic() - told >= TELL_SECONDS:
                recent = self._collect(pending)
                elapsed = time.monotonic() - started
                speed = (counters["step"] - started_step) * self.config.batch_size / elapsed
                counters["seconds"] = spent + elapsed
                told = time.monotonic()
                if not at_epoch_end:
                    self._tell("step", recent, speed)
            if at_epoch_end:
                self._tell("epoch", [s / per_epoch for s in counters["sums"]], speed)
                self._show(counters["step"] // per_epoch)
                counters["sums"] = [0.0] * len(MEASURES)
            if stopping:
                self._save()
                return bool(counters["step"] == self.total_steps)
            waited = time.monotonic() - self._saved_at
            if waited >= self.config.checkpoint_seconds:
                # The sums must hold every step up to the counter.
                self._collect(pending)
                self._save()
        self._save()
        return True

    def _resume(self) -> None:
        path, damaged = load_checkpoint(self.run.checkpoints, self.state)
        for sentence in damaged:
            self.events.log(sentence, level="warning")
        step = self.state.counters["step"]
        self.run.drop_metrics_above(step * self.config.batch_size)
        if path is not None:
            self._saved_step = step
            self.events.log(f"Resumed from the checkpoint at step {step}.", step=step)

    def _collect(self, pending: list[Tensor]) -> list[float]:
        """Bring pending measures to the CPU, add them to the epoch's sums, return their means."""
        if not pending:
            return []
        values = torch.stack(pending).double().cpu()
        pending.clear()
        # Added one by one: the sum must not depend on when it was collected.
        for row in values.tolist():
            self.state.counters["sums"] = [
                total + value for total, value in zip(self.state.counters["sums"], row, strict=True)
            ]
        means: list[float] = values.mean(0).tolist()
        if not all(math.isfinite(value) for value in means):
            epoch = self.state.counters["step"] // self.batches.steps_per_epoch + 1
            raise Diverged(
                f"A loss stopped being a finite number in epoch {epoch}.",
                field="config.learning_rate",
                value=self.config.learning_rate,
                remedy=f"Train again with a learning rate of {self.config.learning_rate / 2:g}.",
            )
        return means

    def _tell(self, scope: str, values: list[float], speed: float) -> None:
        step, per_epoch = self.state.counters["step"], self.batches.steps_per_epoch
        left = (self.total_steps - step) * self.config.batch_size
        self.events.emit(
            "metric",
            scope=scope,
            epoch=-(-step // per_epoch),
            epochs=self.config.epochs,
            step=step,
            images=step * self.config.batch_size,
            fraction=round(step / self.total_steps, 6),
            **{name: round(value, 6) for name, value in zip(MEASURES, values, strict=True)},
            images_per_second=round(speed, 1),
            eta_seconds=round(left / speed, 1),
        )

    def _show(self, epoch: int) -> None:
        path = self.run.sample(epoch)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        write_bytes(path, fixed_grid(self.game.sampler))
        self.events.emit("sample", epoch=epoch)

    def _save(self) -> None:
        step = self.state.counters["step"]
        if step != self._saved_step:
            save_checkpoint(self.run.checkpoints, self.state)
            self._saved_step = step
            images = step * self.config.batch_size
            self.events.emit("checkpoint", step=step, images=images)
        self._saved_at = time.monotonic()
