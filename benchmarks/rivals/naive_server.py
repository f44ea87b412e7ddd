"""A FastAPI endpoint as first written: one picture at a time, on a thread of uvicorn's pool.

    python -m benchmarks.rivals.naive_server --port 8003 [--threads 1] [--null]

Nothing bounds how many of its 40 threads run the model at once, so it may use every core even
with --threads 1, where the servers that batch use one.
"""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel

from benchmarks.rivals import HOST, PATH, Arguments, arguments
from benchmarks.rivals.work import load


class Body(BaseModel):
    model: str
    seed: int


def application(given: Arguments) -> FastAPI:
    work = load(given.reference, given.threads, given.null)
    app = FastAPI()

    @app.post(PATH, response_class=Response)
    def generate(body: Body) -> Response:
        return Response(work.pngs([body.seed])[0], media_type="image/png")

    return app


def main() -> None:
    given = arguments(__doc__)
    uvicorn.run(
        application(given),
        host=HOST,
        port=given.port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
