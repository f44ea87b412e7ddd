"""One unit of a study, from what is before it to its record."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any

from library.atomic import write_json
from library.studies.folder import Study
from library.studies.units import GENERATOR, PREPARE, RESULTS, RUNS, Unit
from studies.stopping import Stopping

_TELL_SECONDS = 1.0


class Progress:
    """Words and a fraction as events, not too many of them."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell, self._told, self._words = tell, 0.0, ""

    def __call__(self, words: str, fraction: float) -> None:
        if words == self._words and time.monotonic() - self._told < _TELL_SECONDS:
            return
        self._told, self._words = time.monotonic(), words
        self._tell({"type": "progress", "phase": words, "fraction": round(fraction, 4)})


def do_unit(
    study: Study,
    unit: Unit,
    tell: Callable[[str, float], None],
    stopping: Stopping,
    processes: int | None = None,
) -> None:
    """Do a unit, or what is left of it.  Raises Stopped, SynthoraxError.

    processes: of its classifiers, see studies.runs.
    """

    def looking(words: str, fraction: float) -> None:
        tell(words, fraction)
        stopping.check()

    began = time.monotonic()
    study.begin()
    study.clear(unit)
    if unit.kind == RESULTS:
        from studies.concluding import conclude

        conclude(study, looking)
        return
    if study.unit_record(unit.name).is_file():
        return
    said: dict[str, Any] = {}
    if unit.kind == PREPARE:
        from studies.preparing import prepare

        said = prepare(study, looking)
    elif unit.kind == GENERATOR:
        from studies.generators import train

        said = train(study, unit, tell, stopping)
    elif unit.kind == RUNS:
        from studies.runs import run_unit

        said = run_unit(study, unit, tell, stopping, processes)
    seconds = round(time.monotonic() - began, 3)
    write_json(study.unit_record(unit.name), {"unit": unit.name, **said, "seconds": seconds})
    # Of no use any more; sooner, a kill would have cost all of it.
    shutil.rmtree(study.parts(unit.name), ignore_errors=True)
