"""What the forms of an answer share: images are encoded batch-wise, then put into each answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from library.identity import Identity

# (n, h, w) uint8 and what each image is -> one file an image.
Encoder = Callable[[NDArray[np.uint8], Sequence[Identity]], Sequence[bytes]]


class Encoded(NamedTuple):
    """Consecutive images of one request, made."""

    start: int  # index of the first in the request
    identities: Sequence[Identity]
    levels: NDArray[np.uint8]  # (n, h, w)
    files: Sequence[bytes]  # in the form's format; empty without one


class Form(Protocol):
    """The form of one answer.  Parts come in order."""

    @property
    def format(self) -> FileFormat | None:
        """Of the files in it; None: it holds pixels as they are."""
        ...

    def chunk(self, part: Encoded) -> bytes:
        """What these images are in the answer's body."""
        ...


@dataclass(frozen=True)
class FileFormat:
    """A format of one image."""

    name: str
    media_type: str
    suffix: str
    module: str
    function: str
    light: bool  # encoding an image takes tens of microseconds at 64 x 64, not more

    def encoder(self) -> Encoder:
        """The encoder; its module is imported when it is first used (pydicom takes a while)."""
        return _encoder(self.module, self.function)


FILE_FORMATS = {
    file_format.name: file_format
    for file_format in (
        FileFormat("png", "image/png", "png", "app.formats.png", "encode", True),
        FileFormat("jpeg", "image/jpeg", "jpg", "app.formats.pillow", "encode_jpeg", False),
        FileFormat("webp", "image/webp", "webp", "app.formats.pillow", "encode_webp", False),
        FileFormat("dicom", "application/dicom", "dcm", "app.formats.dicom", "encode", True),
    )
}


@cache
def _encoder(module: str, function: str) -> Encoder:
    encoder: Encoder = getattr(import_module(module), function)
    return encoder
