"""What a bad file is: its bytes, its name in a dataset, and words of why it is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """words: lower case; at least one of them stands in the reason of a refusal."""

    name: str
    member: str
    words: tuple[str, ...]
    build: Callable[[], bytes]
