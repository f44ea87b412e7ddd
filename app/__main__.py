"""python -m app: the API under uvicorn, as SYNTHORAX_* says."""

from __future__ import annotations

import sys

import uvicorn

from app.main import create_app
from library.errors import SynthoraxError
from library.settings import from_environment

GRACE_SECONDS = 3  # for open event streams; uvicorn would wait for them without end


def main() -> int:
    try:
        settings = from_environment()
        settings.uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
        app = create_app(settings)
    except SynthoraxError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
        access_log=False,
        log_level="warning",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
