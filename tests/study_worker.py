"""A real Celery worker whose studies are done by fake_study: python -m tests.study_worker QUEUE."""

from __future__ import annotations

import sys

from tests import fake_study
from worker import costs, study_arms, study_unit

study_unit.work = fake_study.command(generator="slow", runs="slow", disk="0.15")  # type: ignore[assignment]
costs.STUDIES = fake_study.start()  # type: ignore[assignment]
study_arms.COMMAND = (*fake_study.start(), "arms")  # type: ignore[assignment]

from worker.__main__ import main  # noqa: E402  what it imports takes the command from there

if __name__ == "__main__":
    sys.exit(main())
