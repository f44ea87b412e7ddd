"""Arrays by name in one file, written whole or not at all, the same bytes for the same arrays."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.atomic import write_bytes

_TIME = (1980, 1, 1, 0, 0, 0)  # numpy's own savez would write the time of day


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """An .npz that numpy.load reads; names may hold slashes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.save(member, np.ascontiguousarray(arrays[name]))
            info = zipfile.ZipInfo(f"{name}.npy", _TIME)
            archive.writestr(info, member.getvalue(), zipfile.ZIP_DEFLATED)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_bytes(path, out.getvalue())


def write_array(path: Path, array: NDArray[Any]) -> None:
    """An .npy that can be memory-mapped."""
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array))
    write_bytes(path, out.getvalue())
