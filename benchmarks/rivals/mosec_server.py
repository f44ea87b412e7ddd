"""mosec: an HTTP server in Rust that hands batches to a worker process.

    python -m benchmarks.rivals.mosec_server --port 8001 [--threads 1] [--null]

Its defaults but for the wait, which is the least that it takes, and a longer deadline.
"""

from __future__ import annotations

import json
import os
from typing import Any

import mosec  # type: ignore[import-not-found,unused-ignore]

from benchmarks.rivals import HOST, PATH, arguments
from benchmarks.rivals.work import load

WAIT_MS = 1  # the least it takes; its default of 10 ms halves what few connections get


class Generator(mosec.Worker):  # type: ignore[misc,unused-ignore]
    """JSON in, PNG out."""

    resp_mime_type = "image/png"

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        given = arguments(__doc__)
        self._work = load(given.reference, given.threads, given.null)

    def deserialize(self, data: bytes) -> int:
        return int(json.loads(data)["seed"])

    def serialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: Any) -> list[bytes]:
        return self._work.pngs(data)


def main() -> None:
    given = arguments(__doc__)
    # Its other settings are read from here; --port it finds on the command line by itself.
    os.environ |= {"MOSEC_ADDRESS": HOST, "MOSEC_LOG_LEVEL": "warning", "MOSEC_TIMEOUT": "30000"}
    server = mosec.Server()  # type: ignore[no-untyped-call,unused-ignore]
    server.append_worker(
        Generator, num=1, max_batch_size=given.max_batch, max_wait_time=WAIT_MS, route=PATH
    )
    server.run()  # type: ignore[no-untyped-call,unused-ignore]


if __name__ == "__main__":
    main()
