"""The batch of step k: a function of the run seed, k and the decoded dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from library.config import RunConfig
from library.decoded import Decoded
from library.errors import InvalidValue
from training import diffaugment
from training.augment import affine, augment
from training.distributed import ALONE, Team
from training.order import Balanced, Natural, Poisson, Rows
from training.privacy import Private, Use
from training.seeds import step_noise

RESIDENT_BYTES_MAX = 4 * 2**30


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Whole batches of a dataset.  Raises InvalidValue when it does not fill one."""
    if images < batch_size:
        raise InvalidValue(
            f"config.batch_size is {batch_size}, but the dataset holds {images} readable images.",
            field="config.batch_size",
            value=batch_size,
            remedy=f"Use a batch size of at most {images}.",
        )
    return images // batch_size


def resident_bytes(images: int, resolution: int) -> int:
    """Of a dataset that lies on the card; 0 for one that is too large, which stays on the host."""
    size = images * resolution**2
    return size if size <= RESIDENT_BYTES_MAX else 0


@dataclass(frozen=True)
class Batch:
    """real (n, 1, r, r) in [-1, 1]; labels (n,) int64; z (n, latent_dim).

    A generated image is asked for the label of a real one, so that pairs are of one class.
    draws: (2, n, …), of the discriminator's augmentation; images: those shown before this batch.
    asked: of a run with differential privacy, the latents and labels of the generator's own step,
    which no real image decides; its n differs from step to step, and may be 0.
    """

    step: int
    images: int
    real: Tensor
    labels: Tensor
    z: Tensor
    draws: Tensor | None
    asked: tuple[Tensor, Tensor] | None = None


class Batches:
    """Batches of a run.  The last, incomplete batch of an epoch's order is not shown.

    Raises InvalidValue when the dataset does not fill one batch.
    """

    def __init__(
        self,
        data: Decoded,
        config: RunConfig,
        device: torch.device,
        team: Team = ALONE,
        private: Private | None = None,
    ) -> None:
        self.config = config
        self._rows = team.rows(config.batch_size)
        self.device = device
        if config.privacy.active != (private is not None):
            raise ValueError("a run with differential privacy draws its batches from its secret")
        self._private = private
        self.count = len(data.images) if private is None else len(private.rows)
        self.steps_per_epoch = steps_per_epoch(self.count, config.batch_size)
        self.classes = torch.from_numpy(data.classes)
        # On a CPU the page cache holds the map; on a GPU a copy on the device saves each transfer.
        images = len(data.images)
        resident = device.type == "cuda" and bool(resident_bytes(images, config.resolution))
        self._resident = torch.from_numpy(np.array(data.images)).to(device) if resident else None
        self._mapped = data.images
        self._classes = max(1, len(data.labels))
        if private is not None:
            self._order: Natural | Balanced | Poisson = Poisson(private)
        else:
            self._order = (Balanced if config.sampling == "balanced" else Natural)(data, config)

    def batch(self, step: int) -> Batch:
        """This process's rows of the batch of step k (from 0), on the device."""
        if self._private is not None:
            return self._drawn(step, self._private)
        config, rows = self.config, self._rows
        order = self._order.of_step(step)[rows]
        index = torch.from_numpy(order)
        real = self._images(order)
        if config.augmentation.active:
            maps = affine(config.augmentation, config.seed, step, config.batch_size)
            real = augment(real, maps[rows].to(self.device))
        draws = None
        if config.diffaugment.active:
            draws = diffaugment.draws(config.seed, step, config.batch_size)[:, rows]
        noise = step_noise(config.seed, step, config.batch_size, config.latent_dim)[rows]
        return Batch(
            step,
            step * config.batch_size,
            real,
            self.classes[index].to(self.device),
            noise.to(self.device),
            None if draws is None else draws.to(self.device),
        )

    def _images(self, order: Rows) -> Tensor:
        """(n, 1, r, r) in [-1, 1]."""
        if self._resident is not None:
            levels = self._resident[torch.from_numpy(order).to(self.device)]
        else:
            levels = torch.from_numpy(self._mapped[order]).to(self.device)
        return levels.unsqueeze(1).float() / 127.5 - 1

    def _drawn(self, step: int, private: Private) -> Batch:
        """The images that the secret draws, and what the generator's step is asked for."""
        config, size = self.config, self.config.batch_size
        order = self._order.of_step(step)
        latents = private.secret.generator(Use.LATENTS, step)
        beside = latents.standard_normal((len(order), config.latent_dim), np.float32)
        asked = step_noise(config.seed, step, size, config.latent_dim)
        labels = (step * size + torch.arange(size)) % self._classes
        return Batch(
            step,
            step * size,
            self._images(order),
            self.classes[torch.from_numpy(order)].to(self.device),
            torch.from_numpy(beside).to(self.device),
            None,
            (asked.to(self.device), labels.to(self.device)),
        )
