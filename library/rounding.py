"""Numbers as they are kept in JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def rounded(value: Any) -> Any:
    """Six significant digits: what is left beyond is not meant.  What is not finite is null."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value
