"""A request that is sent again with its Idempotency-Key makes no second reader study."""

from __future__ import annotations

import hashlib

from app.dependencies import State
from app.reader_studies.making import Asked
from app.reader_studies.schemas import ReaderStudyRequest
from app.train_jobs.idempotency import used_for_another
from library.digest import digest_json
from library.errors import NotFound
from library.reader_studies.folder import ReaderStudy, find


def asked_by(request: ReaderStudyRequest, key: str | None, who: str) -> Asked:
    """With a key of `who` the study's id follows from both; without, it is drawn."""
    digest = digest_json(request.model_dump())
    if key is None:
        return Asked(digest)
    return Asked(digest, f"rs-{hashlib.sha256(f'{who} {key}'.encode()).hexdigest()[:16]}")


def made_before(state: State, asked: Asked, key: str | None) -> ReaderStudy | None:
    """The study of an earlier send.  Raises InvalidValue when the key has made another one."""
    if asked.identity is None:
        return None
    try:
        study = find(state.settings.data_dir, asked.identity)
    except NotFound:
        return None
    if study.record.get("asked") != asked.digest:
        raise used_for_another(str(key))
    return study
