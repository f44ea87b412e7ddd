"""The batch of step k: a function of the run seed, k and the decoded dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from library.config import RunConfig
from library.decoded import Decoded
from library.errors import InvalidValue
from training.augment import affine, augment
from training.distributed import ALONE, Team
from training.seeds import Stream, epoch_order, generator, step_noise

RESIDENT_BYTES_MAX = 4 * 2**30


@dataclass(frozen=True)
class Batch:
    """real (n, 1, r, r) in [-1, 1]; real_labels, fake_labels (n,) int64; z (n, latent_dim)."""

    real: Tensor
    real_labels: Tensor
    fake_labels: Tensor
    z: Tensor


class Batches:
    """Batches of a run.  The last, incomplete batch of an epoch's order is not shown.

    Raises InvalidValue when the dataset does not fill one batch.
    """

    def __init__(
        self, data: Decoded, config: RunConfig, device: torch.device, team: Team = ALONE
    ) -> None:
        self.config = config
        self._rows = team.rows(config.batch_size)
        self.device = device
        self.count = len(data.images)
        self.steps_per_epoch = self.count // config.batch_size
        if self.steps_per_epoch == 0:
            raise InvalidValue(
                f"config.batch_size is {config.batch_size}, but the dataset holds "
                f"{self.count} readable images.",
                field="config.batch_size",
                value=config.batch_size,
                remedy=f"Use a batch size of at most {self.count}.",
            )
        self.classes = torch.from_numpy(data.classes)
        self._frequencies = np.bincount(data.classes) / self.count
        # On a CPU the page cache holds the map; on a GPU a copy on the device saves each transfer.
        resident = device.type == "cuda" and data.images.nbytes <= RESIDENT_BYTES_MAX
        self._resident = torch.from_numpy(np.array(data.images)).to(device) if resident else None
        self._mapped = data.images
        self._order = np.zeros(0, np.int64)
        self._epoch = -1

    def batch(self, step: int) -> Batch:
        """This process's rows of the batch of step k (from 0), on the device."""
        config, rows = self.config, self._rows
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._order, self._epoch = epoch_order(config.seed, epoch, self.count), epoch
        start = position * config.batch_size
        order = self._order[start : start + config.batch_size][rows]
        index = torch.from_numpy(order)
        if self._resident is not None:
            levels = self._resident[index.to(self.device)]
        else:
            levels = torch.from_numpy(self._mapped[order]).to(self.device)
        real = levels.unsqueeze(1).float() / 127.5 - 1  # (n, 1, r, r)
        if config.augmentation.active:
            maps = affine(config.augmentation, config.seed, step, config.batch_size)
            real = augment(real, maps[rows].to(self.device))
        return Batch(
            real,
            self.classes[index].to(self.device),
            self.drawn_labels(step)[rows].to(self.device),
            step_noise(config.seed, step, config.batch_size, config.latent_dim)[rows].to(
                self.device
            ),
        )

    def drawn_labels(self, step: int) -> Tensor:
        """Labels of the step's fakes, drawn by the training frequencies."""
        draw = generator(self.config.seed, Stream.LABELS, step).random(self.config.batch_size)
        edges = np.cumsum(self._frequencies)
        index = np.searchsorted(edges / edges[-1], draw, side="right")
        return torch.from_numpy(np.minimum(index, len(edges) - 1))
