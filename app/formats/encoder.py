"""An encoder as a process of its own: python -m app.formats.encoder, fed by `app.engine.encoders`.

A request on stdin is a line of JSON (format, shape, what each image is) and the pixels; the answer
on stdout is each file's length, as uint32, and the files.  It ends with its stdin.
"""

from __future__ import annotations

import json
import signal
import sys
from array import array
from typing import BinaryIO

import numpy as np

from app.formats.encoding import FILE_FORMATS
from library.identity import Identity, Origin

_ORIGINS_MAX = 256


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the requests end."""
    origins: dict[tuple[str | float, ...], Origin] = {}  # encoders remember what an origin costs
    while line := requests.readline():
        asked = json.loads(line)
        count, height, width = asked["shape"]
        pixels = requests.read(count * height * width)
        identities: list[Identity] = []
        for facts, labels, seeds in asked["parts"]:
            if len(origins) > _ORIGINS_MAX:
                origins.clear()
            origin = origins.setdefault(tuple(facts), Origin(*facts))
            identities += [
                Identity(origin, label, seed) for label, seed in zip(labels, seeds, strict=True)
            ]
        levels = np.frombuffer(pixels, np.uint8).reshape(count, height, width)
        files = FILE_FORMATS[asked["format"]].encoder()(levels, identities)
        answers.write(array("I", map(len, files)).tobytes() + b"".join(files))
        answers.flush()


def main() -> None:
    # Ctrl-C in a terminal is for the service, which then closes stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
