"""Grey levels of samples, for what is made of them here before it is answered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from starlette.types import Receive

from app.engine.loaded import Loaded
from app.engine.pool import EnginePool
from app.engine.ticket import Samples
from app.formats.encoding import Encoded


class _LevelsForm:
    format = None

    def chunk(self, part: Encoded) -> bytes:
        return part.levels.tobytes()


async def levels_of(
    pool: EnginePool,
    loaded: Loaded,
    samples: Samples,
    truncation: float,
    receive: Receive | None = None,
) -> NDArray[np.uint8]:
    """Images (n, r, r) of n samples, in their turn at the engines."""
    parts = []
    async with pool.turn(loaded.version, len(samples)) as turn:
        turn.begin(loaded, samples, truncation, _LevelsForm(), receive)
        while not turn.all_taken:
            made = await turn.next()
            assert made is not None
            parts.append(made[1])
    side = loaded.version.resolution
    return np.frombuffer(b"".join(parts), np.uint8).reshape(len(samples), side, side)
