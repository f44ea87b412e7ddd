"""Names of content: SHA-256 over canonical JSON and over tensors' bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def canonical_json(content: Any) -> bytes:
    """One byte string for one value: sorted keys, no spaces, UTF-8, no NaN."""
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode(errors="backslashreplace")  # bytes of a file name that are not UTF-8


def digest_json(content: Any) -> str:
    return hashlib.sha256(canonical_json(content)).hexdigest()


def digest_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_version(architecture: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> str:
    """Digest of a version: its architecture, then each tensor by name, dtype, shape and bytes."""
    digest = hashlib.sha256(canonical_json(architecture))
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(canonical_json([name, tensor.dtype.str, list(tensor.shape)]))
        digest.update(tensor.tobytes())
    return digest.hexdigest()
