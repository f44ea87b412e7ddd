"""Folders that a dataset may lie in: what is named must be really below one of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from library.errors import InvalidValue


def within_roots(path: str, roots: Sequence[Path], field: str = "dataset.path") -> Path:
    """The real path of a folder that lies under one of the configured roots."""
    given = Path(path)
    candidates = [given] if given.is_absolute() else [root / given for root in roots]
    for candidate in candidates:
        try:
            real = Path(os.path.realpath(candidate))
        except ValueError:  # a NUL or a lone surrogate, which no file name holds
            continue
        if any(real.is_relative_to(os.path.realpath(root)) for root in roots):
            if os.path.isdir(real) or given.is_absolute() or candidate is candidates[-1]:
                return real
    allowed = ", ".join(str(root) for root in roots) or "none is configured"
    raise InvalidValue(
        f"The folder {path!r} is not under a dataset root.",
        field=field,
        value=path,
        remedy=f"Use a folder under one of the roots ({allowed}), "
        "or add its parent to SYNTHORAX_DATASET_ROOTS and start the service again.",
    )
