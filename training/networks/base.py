"""What the loop, the export and the service know of a network, whatever its family."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

CLASS_EMBEDDING = 32  # numbers that tell a generator the class


class Generator(nn.Module):
    """z (n, latent_dim), label (n,) int64 -> images (n, 1, resolution, resolution) in [-1, 1].

    Scaling z by the truncation must make samples more alike, so z may not be normalised inside.
    """

    label_weight = 1.0  # of the class, below 1 while it is ramped in
    embedding: nn.Embedding | None  # of the classes, by a name that every family has

    def __init__(self, resolution: int, latent_dim: int, classes: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.latent_dim = latent_dim
        self.classes = classes


@dataclass(frozen=True)
class Judge:
    """Columns of a discriminator's logits, the loss they play for (None: the run's), its weight."""

    first: int = 0
    end: int | None = None
    loss: str | None = None
    weight: float = 1.0

    def of(self, logits: Tensor) -> Tensor:
        return logits[:, self.first : self.end]


class Discriminator(nn.Module):
    """Images (n, 1, resolution, resolution), label (n,) int64 -> logits (n, columns).

    Real is higher.  The gradient penalties are those of the first column, of the images alone.
    What `fixed` says of the images may follow the labels; else it is computed there.
    """

    label_weight = 1.0
    judges: tuple[Judge, ...] = (Judge(),)
    phases: tuple[int, ...] = (0,)  # images from which on a step costs something else
    capturable = True  # whether no step of it asks the device for a number

    def begin(self, images: int) -> None:
        """Told before each step how many images have been shown."""

    def fixed(self, images: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        """What weights that are never trained make of images: the same in both networks' steps."""
        return ()


def embedded(embedding: nn.Module | None, label: Tensor | None, weight: float) -> Tensor | None:
    """Rows (n, d) of the labels; None for a network without classes."""
    if embedding is None:
        return None
    if label is None:
        raise ValueError("a conditional network needs labels")
    rows: Tensor = embedding(label)
    return rows if weight == 1.0 else rows * weight
