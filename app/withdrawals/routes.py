"""Withdrawals: find what holds a patient's images or was made from them, and let it go."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from app.datasets.schemas import WithdrawalRequest
from app.dependencies import AppState, Library
from app.openapi import problems
from library.datasets.records import list_records
from library.datasets.tracing import affected, by_file, by_patient
from library.datasets.withdrawal import finish, receipts, withdraw
from library.errors import Conflict, InvalidValue, NotFound
from library.store.objects import StoreAway
from library.store.shared import open_store
from library.studies.folder import unfinished
from worker.jobs import JobStore, reaching_redis

logger = logging.getLogger("synthorax.app")

router = APIRouter(prefix="/withdrawals", tags=["withdrawals"])


@router.post("", responses=problems(404, 409, 503, 507))
def create(request: WithdrawalRequest, state: AppState, library: Library) -> dict[str, Any]:
    """Withdraw a patient, by their id in the source or by one of their files.

    Lists every dataset, run, checkpoint, version, report, study, generate job and cache; deletes
    them, retires (or deletes) versions, and keeps a receipt.  With `dry_run` it lists alone.
    """
    data_dir = state.settings.data_dir
    by_name = request.dataset is not None and request.file is not None
    if by_name == (request.patient is not None):
        raise InvalidValue(
            "A withdrawal names a patient, or a dataset and a file of it.",
            field="patient",
            value=request.patient,
            remedy='Send {"patient": "ID"} or {"dataset": "ds-…", "file": "NORMAL/x.png"}.',
        )
    store = open_store(state.settings)
    if store is not None:  # what other machines have counts, too
        store.refresh()
        store.withdrawals.gather()
    if not request.dry_run:
        finish(data_dir)
    if request.patient is not None:
        found = by_patient(data_dir, request.patient)
    else:
        assert request.dataset is not None
        assert request.file is not None
        found = by_file(data_dir, request.dataset, request.file)
    if not found:
        raise NotFound(
            "No dataset holds an image of this patient.",
            field="patient",
            remedy="Give the id as it stands in the DICOMs, in the table or in the file names; or "
            "a dataset and one of the patient's files. GET /withdrawals lists what is done.",
        )
    listed = affected(data_dir, found)
    if request.dry_run:
        return {"dry_run": True, **listed.as_dict()}
    _nothing_is_validated(data_dir)
    if state.jobs is not None:
        _no_job_is_at_it(state.jobs, set(listed.datasets))
    for study in unfinished(data_dir):
        if study.id in listed.studies:
            raise _busy(f"The study {study.id} uses these images.")
    receipt = withdraw(data_dir, found, request.versions)
    if store is not None:
        try:
            store.withdrawals.push(receipt)
        except StoreAway as error:  # the light worker goes on with it
            logger.warning("%s: %s It is done there when it is back.", receipt["id"], error)
    library.refresh()
    return receipt


def _no_job_is_at_it(jobs: JobStore, datasets: set[str]) -> None:
    with reaching_redis():
        for job in jobs.unfinished():
            if job["request"]["dataset"]["id"] in datasets:
                raise _busy(f"The job {job['id']} trains on these images.")


def _nothing_is_validated(data_dir: Path) -> None:
    """Whose images are in it, and which are nearly the same, is known at its end alone."""
    for record in list_records(data_dir):
        if record["status"] == "validating":
            raise _busy(
                f"The dataset {record['id']} is being validated.",
                "Wait until it is ready, or delete it, then withdraw.",
            )


def _busy(detail: str, remedy: str = "Cancel it, wait for its end, then withdraw.") -> Conflict:
    return Conflict(detail, field="patient", remedy=remedy)


@router.get("")
def list_receipts(state: AppState) -> dict[str, Any]:
    """Receipts of what was withdrawn, the newest first.  They name no patient."""
    return {"data": receipts(state.settings.data_dir)}
