"""The last unit: from all predictions to the answer, and what shows it."""

from __future__ import annotations

from library.atomic import read_json
from library.studies.folder import Study
from studies.answers import answers
from studies.preparing import Tell
from studies.writing import write_results


def conclude(study: Study, tell: Tell) -> None:
    """Write the results with all scores that there are now and that fit."""
    final = study.results_path
    if (final / "results.json").is_file():
        return
    content = answers(study, tell)
    tell("Writing", 0.95)
    seconds = {
        unit.name: read_json(study.unit_record(unit.name))["seconds"]
        for unit in study.units
        if study.unit_record(unit.name).is_file()
    }
    write_results(content, {"seconds": seconds}, final, study.id)
