"""python -m worker: one Celery worker for train jobs, as SYNTHORAX_* says."""

from __future__ import annotations

import sys
import warnings

from library.errors import SynthoraxError
from library.settings import from_environment


def main() -> int:
    try:
        settings = from_environment()
    except SynthoraxError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    if not settings.redis_url:
        print(  # noqa: T201
            "error: SYNTHORAX_REDIS_URL is empty, and a worker needs Redis. Set it to the address "
            "of a Redis or Valkey, or use `synthorax serve`, which starts its own.",
            file=sys.stderr,
        )
        return 1

    from worker.app import app

    # Celery warns of pickles read as root; this worker reads JSON alone.
    warnings.filterwarnings("ignore", "You're running the worker with superuser privileges")

    app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool=prefork",
            "--concurrency=1",
            "--queues=training",
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-mingle",
        ]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
