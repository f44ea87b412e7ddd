"""What the forms of an answer share: images are encoded batch-wise, then put into each answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from library.identity import Identity

# (n, h, w) uint8 and what each image is -> one file an image.
Encoder = Callable[[NDArray[np.uint8], Sequence[Identity]], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Consecutive images of one request, made."""

    start: int  # index of the first in the request
    identities: Sequence[Identity]
    levels: NDArray[np.uint8]  # (n, h, w)
    files: Sequence[bytes]  # by the form's encoder


class Form(Protocol):
    """The form of one answer.  Parts come in order."""

    light: bool  # encoding an image takes tens of microseconds at 64 x 64, not more

    @property
    def encode(self) -> Encoder: ...

    def chunk(self, part: Encoded) -> bytes:
        """What these images are in the answer's body."""
        ...


def unencoded(levels: NDArray[np.uint8], identities: Sequence[Identity]) -> Sequence[bytes]:
    """For forms that hold pixels as they are."""
    return [b""] * len(levels) if len(identities) == len(levels) else []
