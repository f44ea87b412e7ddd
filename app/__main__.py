"""python -m app: the API under uvicorn, as SYNTHORAX_* says."""

from __future__ import annotations

import sys

from app.main import create_app
from app.server import run
from library.backup.guard import refuse_half_restored
from library.errors import SynthoraxError
from library.logs import configure
from library.settings import from_environment
from worker import tracing
from worker.admission import refuse_without_access


def main() -> int:
    try:
        settings = from_environment()
        configure(settings.log)
        refuse_half_restored(settings.data_dir)
        refuse_without_access(settings.redis_url)
        settings.uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
        tracing.check()
        app = create_app(settings)
    except SynthoraxError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return run(app, settings)


if __name__ == "__main__":
    sys.exit(main())
