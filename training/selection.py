"""Which of a run's weights are the best: KID on validation patients, in features it did not use.

Measured every so many images with samples of fixed seeds, each class on its own; the smallest mean
over the classes is the best.  The features are EfficientNet-Lite0's, which no family trains on.
"""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from features.distances import kid
from features.extractors import FeatureCache
from library.atomic import write_bytes
from library.decoded import Decoded
from library.runs import RunFolder
from training.checkpoints import counters_in
from training.networks import Generator
from training.sampling import sample

logger = logging.getLogger("synthorax.trainer")

IMAGES_MAX = 500  # of a class, real and generated
FAKES_MIN = 100  # of a class, where there are fewer real images
FEW = 20  # real images of a class, below which its KID says nothing
WORSE, WORSE_TIMES = 2.0, 5  # so many times the best, so often in a row: it has collapsed


class Selection:
    """Measures samples, and keeps the best weights beside the checkpoints.

    counters: the run's, so that what is known is saved with its checkpoints.
    """

    def __init__(
        self,
        run: RunFolder,
        counters: dict[str, Any],
        validation: Decoded,
        labels: tuple[str, ...],
        features: FeatureCache,
    ) -> None:
        """labels: of the model by class index; empty for one without classes."""
        self._run, self._counters, self._features = run, counters, features
        self.labels = labels or ("",)
        self._real = {name: self._of_label(validation, name) for name in self.labels}
        self._real = {name: found for name, found in self._real.items() if len(found) >= FEW}

    @property
    def possible(self) -> bool:
        return bool(self._real)

    @property
    def images(self) -> int:
        return sum(len(levels) for levels in self._real.values())

    def _of_label(self, data: Decoded, name: str) -> NDArray[np.uint8]:
        if not name:
            rows = np.arange(len(data.images))
        elif name in data.labels:
            rows = np.flatnonzero(data.classes == data.labels.index(name))
        else:
            rows = np.zeros(0, np.int64)
        # The order is by class and name: take them evenly.
        evenly = rows[:: max(1, math.ceil(len(rows) / IMAGES_MAX))]
        return np.ascontiguousarray(data.images[evenly])

    def measure(self, sampler: Generator, discriminator: nn.Module, step: int) -> dict[str, Any]:
        """KID of each label and their mean; the weights are kept when it is the least so far."""
        found = {}
        for name, levels in self._real.items():
            count = max(FAKES_MIN, len(levels))
            fakes = sample(sampler, range(count), [self.labels.index(name)] * count)
            real = self._features.features(levels)
            made = self._features.extractor.features(fakes)
            found[name] = round(kid(real, made), 6)
        mean = round(sum(found.values()) / len(found), 6)
        state = self._counters.setdefault("selection", {"best": None, "worse": 0, "history": []})
        state.setdefault("history", []).append([step, mean, found])
        best = state["best"]
        if best is None or mean < best["kid"]:
            state["best"] = best = {
                "kid": mean, "by_label": found, "step": step, "n": self.images,
                "extractor": self._features.extractor.identity,
            }  # fmt: skip
            if sampler.label_weight != 1.0:
                best["label_weight"] = sampler.label_weight
            state["worse"] = 0
            self._keep({"sampler": sampler, "discriminator": discriminator}, step)
        else:
            # Near zero KID scatters by some thousandths: a multiple of that is no collapse.
            state["worse"] = state["worse"] + 1 if mean > WORSE * max(best["kid"], 0.02) else 0
        return {"kid": mean, "by_label": found, "best": best["kid"], "best_step": best["step"]}

    @property
    def collapsed(self) -> str | None:
        """What has gone wrong, in a sentence."""
        state = self._counters.get("selection", {"worse": 0})
        if state["worse"] < WORSE_TIMES:
            return None
        state["worse"] = 0
        return (
            f"KID on the validation images has been above {WORSE:g} times its best "
            f"({state['best']['kid']:.3f}) {WORSE_TIMES} times in a row."
        )

    def _keep(self, networks: dict[str, nn.Module], step: int) -> None:
        tensors = {
            f"{name}.{key}": tensor.detach().cpu().contiguous()
            for name, network in networks.items()
            for key, tensor in network.state_dict().items()
        }
        self._run.checkpoints.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_bytes(best_weights(self._run, step), save(tensors, {"step": json.dumps(step)}))

    def forget_others(self) -> None:
        """Remove what no checkpoint names as the best: a run may go back to any of them."""
        named = set()
        for counters in counters_in(self._run.checkpoints):
            best = counters.get("selection", {}).get("best")
            if best:
                named.add(best_weights(self._run, best["step"]))
        for path in self._run.checkpoints.glob("best-*.safetensors"):
            if path not in named:
                path.unlink()


def best_weights(run: RunFolder, step: int) -> Path:
    """Both networks' weights of a step that was the best so far."""
    return run.checkpoints / f"best-{step:010d}.safetensors"


def load_best(
    run: RunFolder, counters: dict[str, Any], sampler: Generator, discriminator: nn.Module
) -> dict[str, Any] | None:
    """Load the best weights that a checkpoint's counters name; what is known of them.

    None where it names none, or their file cannot be read: the networks stay as they are.
    """
    best: dict[str, Any] | None = counters.get("selection", {}).get("best")
    if best is None:
        return None
    try:
        with safe_open(best_weights(run, best["step"]), framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        logger.warning(
            "The best weights, of step %s, cannot be read (%s): the checkpoint's own are used.",
            best["step"],
            type(error).__name__,
        )
        return None
    for name, network in (("sampler.", sampler), ("discriminator.", discriminator)):
        mine = {k.removeprefix(name): t for k, t in tensors.items() if k.startswith(name)}
        network.load_state_dict(mine)
    return best
