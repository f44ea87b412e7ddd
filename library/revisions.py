"""Which of two states of a record is the newer one, on whichever machine each was written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any


def revised(before: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """A record with some fields changed, and a revision above the one that it had.

    Milliseconds, so that a record that is made again after it was deleted counts as newer.
    """
    revision = max(int(before.get("revision", 0)) + 1, int(time.time() * 1000))
    return {**before, **fields, "revision": revision}
