"""Is the game still a game?  Looked at after each epoch, from numbers that are there anyway.

Two ways in which a GAN of this kind dies while its losses stay finite:

saturated  the discriminator tells real from fake with certainty, so that the generator learns
           nothing more: D(x) above 0.99 and D(G(z)) below 0.01 over 1,000 steps and 5 epochs.
thin       samples of a class look alike: their variety (a pixel's standard deviation over the
           fixed samples, mean over pixels) was above 0.4 of the real images' and is below 0.2 of
           it over 3 epochs.

The bundled versions' runs stay far from both: D(x) up to 0.93, D(G(z)) from 0.14, variety 0.67 and
more at their end.  The collapse of a long conditional run (docs/training.md) is found: its small
class falls from 0.59 to below 0.2 near its thirtieth epoch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.decoded import Decoded
from library.errors import SynthoraxError

SURE, SATURATED_STEPS, SATURATED_EPOCHS = 0.01, 1000, 5
VARIED, THIN, THIN_EPOCHS = 0.4, 0.2, 3
_REAL_IMAGES = 512  # of each class, to know their variety


class Collapsed(SynthoraxError):
    slug, title, status = "collapsed", "Training collapsed", 500


class Health:
    """What an epoch's numbers say.  Its memory lies in `counters`, so in the checkpoint."""

    def __init__(self, counters: dict[str, Any], real: list[float]) -> None:
        self._counters, self._real = counters, real

    @property
    def doubtful(self) -> bool:
        """Whether something is wrong for now: a checkpoint of this moment may be a bad one."""
        state = self._counters.get("health", {})
        return bool(state.get("saturated_epochs") or any(state.get("thin_epochs", [])))

    def look(self, d_x: float, d_g_z: float, varieties: list[float], steps: int) -> str | None:
        """What has gone wrong, in a sentence, once it lasts.

        d_x, d_g_z: means of an epoch of `steps` steps; varieties: of each class's fixed samples.
        """
        state = self._counters.setdefault(
            "health",
            {
                "saturated_epochs": 0,
                "peaks": [0.0] * len(varieties),
                "thin_epochs": [0] * len(varieties),
            },
        )
        sure = d_x > 1 - SURE and d_g_z < SURE
        state["saturated_epochs"] = state["saturated_epochs"] + 1 if sure else 0
        for index, (variety, real) in enumerate(zip(varieties, self._real, strict=True)):
            share = variety / max(real, 1e-9)
            state["peaks"][index] = max(state["peaks"][index], round(share, 6))
            thin = state["peaks"][index] > VARIED and share < THIN
            state["thin_epochs"][index] = state["thin_epochs"][index] + 1 if thin else 0
        epochs = state["saturated_epochs"]
        if epochs >= SATURATED_EPOCHS and epochs * steps >= SATURATED_STEPS:
            state["saturated_epochs"] = 0
            return (
                f"The discriminator has been sure of itself for {epochs} epochs "
                f"(D(x) {d_x:.3f}, D(G(z)) {d_g_z:.3f}): the generator learns nothing more."
            )
        for index, epochs in enumerate(state["thin_epochs"]):
            if epochs >= THIN_EPOCHS:
                state["thin_epochs"][index] = 0
                share = varieties[index] / max(self._real[index], 1e-9)
                which = f"class {index}" if len(varieties) > 1 else "the generator"
                return (
                    f"The samples of {which} have looked alike for {epochs} epochs: their variety "
                    f"is {share:.2f} of the real images', and was "
                    f"{state['peaks'][index]:.2f} at its best."
                )
        return None


def variety(levels: NDArray[np.uint8]) -> float:
    """A pixel's standard deviation over images (n, r, r), mean over pixels; grey levels."""
    return float(levels.astype(np.float32).std(0).mean())


def of_classes(
    levels: NDArray[np.uint8], labels: NDArray[np.int64] | list[int], classes: int
) -> list[float]:
    """The variety of each class; of all images, where a model has no classes (classes 0)."""
    labels = np.asarray(labels)
    groups = [labels == index for index in range(classes)] or [np.ones(len(labels), bool)]
    return [variety(levels[group]) if group.any() else 0.0 for group in groups]


def of_real_images(data: Decoded, classes: int) -> list[float]:
    """The variety of each class's first images in the dataset's order, or of all."""
    chosen = [np.flatnonzero(data.classes == index)[:_REAL_IMAGES] for index in range(classes)]
    if not chosen:  # the order is by class: take them evenly
        count = len(data.images)
        chosen = [np.arange(count)[:: max(1, count // _REAL_IMAGES)]]
    return [variety(data.images[index]) if len(index) else 0.0 for index in chosen]
