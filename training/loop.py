"""The loop: steps, what is told of them, checkpoints, and the end.  Read it from the top.

A run is a function of (configuration, data, environment): step k draws its data, noise and
augmentation from (seed, k), so a run that is killed and started again ends in the same bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from library.atomic import read_json, write_bytes, write_json
from library.config import RunConfig
from library.errors import Conflict, SynthoraxError
from library.images import grid
from library.runs import RunFolder, checkpoints
from training.batches import Batches
from training.captured import stepper
from training.checkpoints import (
    NotFinite,
    State,
    drop_checkpoints_after,
    load_checkpoint,
    save_checkpoint,
)
from training.events import Events
from training.health import Collapsed, Health, of_classes
from training.precision import Arithmetic
from training.sampling import fixed_samples, png
from training.selection import Selection
from training.stopping import StopRequest
from training.trainer import MEASURES, Game

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
        real_variety: list[float],
        selection: Callable[[dict[str, Any]], Selection | None] = lambda _counters: None,
    ) -> None:
        self.run, self.config, self.batches, self.game = run, config, batches, game
        self.arithmetic, self.events, self.stop = arithmetic, events, stop
        self.team = game.team
        self.total_steps = config.epochs * batches.steps_per_epoch
        self.finished_early = False
        self.state = State(
            game.modules(),
            {"optimiser_g": game.optimiser_g, "optimiser_d": game.optimiser_d},
            {
                "step": 0,
                "sums": [0.0] * len(MEASURES),
                "seconds": 0.0,
                "steps_per_epoch": batches.steps_per_epoch,
            },
        )
        self.health = Health(self.state.counters, real_variety)
        self.selection = selection(self.state.counters)
        self._saved_step, self._saved_at = -1, time.monotonic()

    def train(self) -> bool:
        """Train to the end.  False: stopped before it, with a checkpoint to go on from."""
        self._resume()
        counters, per_epoch = self.state.counters, self.batches.steps_per_epoch
        started, started_step = time.monotonic(), counters["step"]
        spent = counters["seconds"]
        pending: list[Tensor] = []  # measures not yet brought from the device
        step_on = stepper(self.game, self.config, self.arithmetic, self.batches.device)
        told = time.monotonic()
        while counters["step"] < self.total_steps:
            batch = self.batches.batch(counters["step"])
            pending.append(step_on(batch))
            counters["step"] += 1
            at_epoch_end = counters["step"] % per_epoch == 0
            stopping = self.team.any(bool(self.stop))
            if at_epoch_end or stopping or time.monotonic() - told >= TELL_SECONDS:
                recent = self._collect(pending)
                elapsed = time.monotonic() - started
                speed = (counters["step"] - started_step) * self.config.batch_size / elapsed
                counters["seconds"] = spent + elapsed
                told = time.monotonic()
                if not at_epoch_end:
                    self._tell("step", recent, speed)
            if at_epoch_end:
                means = [s / per_epoch for s in counters["sums"]]
                counters["sums"] = [0.0] * len(MEASURES)
                self._tell("epoch", means, speed)
                if self.team.is_first:
                    self._look(means, self._show(counters["step"] // per_epoch))
                if self.team.any(self.stop.finishing) and counters["step"] < self.total_steps:
                    self._end_here()
            self._validate(counters["step"])
            if stopping:
                self._save()
                return bool(counters["step"] == self.total_steps)
            waited = time.monotonic() - self._saved_at
            if waited >= self.config.checkpoint_seconds or self._kept_for_good(counters["step"]):
                # The sums must hold every step up to the counter.
                self._collect(pending)
                self._save()
        self._save()
        return True

    def _validate(self, step: int) -> None:
        """Measure the samples where it is time to; a collapse ends the run with its best."""
        every = self.config.validate_every_kimg * 1000
        if not every:
            return
        images = step * self.config.batch_size
        crossed = images // every > (images - self.config.batch_size) // every
        if not crossed and step < self.total_steps:
            return
        wrong = None
        if self.selection is not None:  # of the first process alone
            found = self.selection.measure(self.game.sampler, self.game.discriminator, step)
            self.events.emit("validation", step=step, images=images, **found)
            wrong = self.selection.collapsed
        if self.team.any(wrong is not None) and step < self.total_steps:
            if wrong is not None:
                self.events.log(wrong, level="warning")
            if self.config.on_collapse == "stop":
                self._end_here()

    def _end_here(self) -> None:
        """Decide, for every attempt to come, that the run ends with this step."""
        step = self.state.counters["step"]
        if self.team.is_first:
            write_json(self.run.finish, {"step": step, "epochs": self.config.epochs})
        self.total_steps, self.finished_early = step, True

    def _resume(self) -> None:
        if self.run.finish.is_file():
            decided = read_json(self.run.finish)
            # With another number of epochs it was told to go on after all.
            if decided["epochs"] == self.config.epochs:
                self.total_steps, self.finished_early = decided["step"], True
        path, damaged = load_checkpoint(self.run.checkpoints, self.state)
        for sentence in damaged:
            self.events.log(sentence, level="warning")
        self.state.counters["steps_per_epoch"] = self.batches.steps_per_epoch
        step = self.state.counters["step"]
        if step > self.total_steps:
            done = step / self.batches.steps_per_epoch
            raise Conflict(
                f"config.epochs is {self.config.epochs}, and the checkpoint is at epoch {done:g}.",
                field="config.epochs",
                value=self.config.epochs,
                remedy=f"Give {math.ceil(done)} or more.",
            )
        self.team.wait()  # every process has read what rank 0 may write from here on
        if self.team.is_first:
            self.run.drop_metrics_above(step * self.config.batch_size)
            self.run.drop_samples_after(step // self.batches.steps_per_epoch)
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
            raise self._diverged("A loss stopped being a finite number")
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

    def _show(self, epoch: int) -> list[float]:
        """Write the grid of an epoch; returns the variety of each class's samples in it."""
        path = self.run.sample(epoch)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        levels, labels = fixed_samples(self.game.sampler)
        write_bytes(path, png(grid(levels, 8)))
        self.events.emit("sample", epoch=epoch)
        return of_classes(levels, labels, self.game.sampler.classes)

    def _look(self, means: list[float], varieties: list[float]) -> None:
        """Look at the game's health; a game that has ended stops the run, or is told of."""
        if self.config.privacy.active:  # an end that D(x) decides would tell of the real images
            return
        measures = dict(zip(MEASURES, means, strict=True))
        wrong = self.health.look(
            measures["d_x"], measures["d_g_z1"], varieties, self.batches.steps_per_epoch
        )
        counters = self.state.counters
        if wrong is None:
            if not self.health.doubtful:
                counters["step_before"] = counters["step"]
            return
        if self.config.on_collapse == "continue":
            self.events.log(wrong, level="warning")
            return
        step, before = counters["step"], counters.get("step_before", 0)
        images = step * self.config.batch_size
        write_json(self.run.collapsed, {"step": step, "images": images, "step_before": before})
        good = counters.get("good_step")
        remedy = ""
        if good is not None:
            drop_checkpoints_after(self.run.checkpoints, good)
            epochs = -(-good // self.batches.steps_per_epoch)
            remedy = (
                f"The checkpoint of epoch {epochs}, from before, is kept: resume with "
                f'{{"epochs": {epochs}}} to publish it. '
            )
        rate = self.config.learning_rate / 2
        raise Collapsed(
            wrong,
            field="config.on_collapse",
            value="stop",
            remedy=f"{remedy}Clone the job with a learning rate of {rate:g}, or with on_collapse "
            "continue to train on.",
            suggestion={"learning_rate": rate},
        )

    def _kept_for_good(self, step: int) -> bool:
        """Whether a step is the end of an epoch whose checkpoint the timeline keeps."""
        every = self.config.checkpoint_every_epochs * self.batches.steps_per_epoch
        return bool(every) and step > 0 and step % every == 0

    def _good(self, step: int) -> int | None:
        """The newest checkpoint, with one of now, that is no later than the last epoch without
        signs of a collapse: after that nobody has looked yet."""
        there = [step, *(int(path.stem) for path in checkpoints(self.run.checkpoints))]
        last = self.state.counters.get("step_before", 0)
        return max((each for each in there if each <= last), default=None)

    def _save(self) -> None:
        counters = self.state.counters
        step = counters["step"]
        if step != self._saved_step and self.team.is_first:
            counters["good_step"] = good = self._good(step)
            counters.pop("label_weight", None)
            if self.game.sampler.label_weight != 1.0:
                counters["label_weight"] = self.game.sampler.label_weight
            try:
                save_checkpoint(
                    self.run.checkpoints,
                    self.state,
                    lambda other: other == good or self._kept_for_good(other),
                )
            except NotFinite as error:
                raise self._diverged(f"The weights ({error}) stopped being finite") from None
            if self.selection is not None:
                self.selection.forget_others()
            self._saved_step = step
            images = step * self.config.batch_size
            self.events.emit("checkpoint", step=step, images=images)
        self._saved_at = time.monotonic()

    def _diverged(self, what: str) -> Diverged:
        epoch = self.state.counters["step"] // self.batches.steps_per_epoch + 1
        rate = self.config.learning_rate / 2
        return Diverged(
            f"{what} in epoch {epoch}.",
            field="config.learning_rate",
            value=self.config.learning_rate,
            remedy=f"Train again with a learning rate of {rate:g}; the last good checkpoint is "
            "kept.",
            suggestion={"learning_rate": rate},
        )
