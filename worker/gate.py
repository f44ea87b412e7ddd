"""Between a version and its use: the report that a job asked for, and what it decides."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from library.errors import SynthoraxError
from library.reports import begin_report, list_reports
from library.settings import Settings
from library.store.objects import StoreAway
from library.store.shared import open_store
from library.version_states import hold, is_held, release
from library.versions import ModelLibrary, Version
from worker.records import event

logger = logging.getLogger("synthorax.worker")


def begin_first_report(
    settings: Settings, job: str, request: Mapping[str, Any], model: str
) -> tuple[str | None, dict[str, Any] | None]:
    """The report on the version that a job has made, and what to tell the job of it.

    Once for a job and a version, however often it is asked for.  (None, an event): there is none,
    and why; (None, None): none is wished.  Raises OSError.
    """
    if not request.get("report", True):
        return None, None
    try:
        version = ModelLibrary(settings.models).find_held(model)
    except SynthoraxError as error:  # retired or damaged meanwhile
        return None, event("log", job, level="warning", message=f"No report is made: {error}")
    dataset = version.card["dataset"]
    held_out = dataset.get("splits", {}).get("held_out", {}).get("images", 0)
    if not held_out:
        why = f"the dataset {dataset.get('id')} has no held-out images"
        if is_held(version):
            hold(version, f"{why}, so no report can be made")
            _tell_others(settings, version)
        said = f"No report is made: {why}."
        return None, event("log", job, level="info", message=said)
    for known in list_reports(settings.data_dir, version.digest, bundled=None):
        if known["job"] == job:
            break
    else:
        gate = is_held(version)
        asked = {"dataset": dataset["id"], "count": settings.report_count}
        known = begin_report(settings.data_dir, version, asked, gate, job)
    identity = str(known["id"])
    said_of = {"model": version.reference, "report": identity, "lights": known["lights"]}
    return identity, event("evaluation", job, **said_of)


def _tell_others(settings: Settings, version: Version) -> None:
    """Where it fails they still hold it, for the reason that it was published with."""
    store = open_store(settings)
    if store is not None:
        try:
            store.ask(lambda: store.versions.tell(version.name, version.version))
        except StoreAway as error:
            logger.warning("%s: %s", version.reference, error)


def pass_gate(
    settings: Settings, record: Mapping[str, Any], lights: Mapping[str, str] | None
) -> None:
    """Release the version that a report's end was waited for, or say why not.

    lights: None when the report failed.  May be done again.
    """
    if not record["gate"]:
        return
    try:
        version = ModelLibrary(settings.models).find_held(str(record["model"]))
    except SynthoraxError as error:
        logger.warning("%s: %s", record["id"], error)
        return
    if version.digest != record["digest"] or not is_held(version):
        return
    report = f"its report {record['id']}"
    if lights is None:
        hold(version, f"{report} failed")
        return
    red = sorted(name for name, light in lights.items() if light == "red")
    if red:
        what = "a red light" if len(red) == 1 else "red lights"
        hold(version, f"{report} has {what}: {', '.join(red)}")
    else:
        release(version)
