"""LitServe: FastAPI in one process, the model in another, and queues of a third between them.

    python -m benchmarks.rivals.litserve_server --port 8002 [--threads 1] [--null]

Its wait is 0, where it polls its queue without pause: a core is busy also when nobody asks.
fast_queue=True does nothing in 0.2.19: see litserve_repaired_server.
"""

# No `from __future__ import annotations`: LitServe compares the annotations with classes.
import litserve  # type: ignore[import-not-found,import-untyped,unused-ignore]
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.rivals import HOST, PATH, Arguments, arguments
from benchmarks.rivals.work import load


class Generator(litserve.LitAPI):  # type: ignore[misc,unused-ignore]
    """JSON in, PNG out."""

    def __init__(self, given: Arguments) -> None:
        super().__init__(max_batch_size=given.max_batch, batch_timeout=0.0, api_path=PATH)
        self._given = given

    def setup(self, device: str) -> None:  # noqa: ARG002
        self._work = load(self._given.reference, self._given.threads, self._given.null)

    def decode_request(self, request: Request) -> int:
        # The annotation asks LitServe for the body as parsed JSON, which is what comes.
        return int(request["seed"])

    def batch(self, inputs: list[int]) -> list[int]:
        return inputs

    def predict(self, x: list[int]) -> list[bytes]:
        return self._work.pngs(x)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        return output

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="image/png")


def main() -> None:
    given = arguments(__doc__)
    server = litserve.LitServer(
        Generator(given), accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True
    )
    server.run(
        host=HOST,
        port=given.port,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
        loop="uvloop",
        http="httptools",
    )


if __name__ == "__main__":
    main()
