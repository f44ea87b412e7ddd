"""Reader studies as their operator sees them: make, invite, follow, close, read the results."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response, status
from fastapi.concurrency import run_in_threadpool

from app.access.callers import caller
from app.asked import Asked
from app.dependencies import AppState
from app.openapi import file_of, problems
from app.reader_studies.making import make
from app.reader_studies.schemas import (
    Invited,
    InviteRequest,
    ReaderStudies,
    ReaderStudy,
    ReaderStudyRequest,
    Results,
)
from app.reader_studies.service import marked_images, operator, progress_of, shown
from app.train_jobs.routes import IdempotencyKey
from library.errors import Conflict
from library.reader_studies import folder
from library.reader_studies.answers_csv import as_csv
from library.reader_studies.design import resolve
from library.reader_studies.removal import remove_reader
from library.reader_studies.results import results

router = APIRouter(prefix="/reader-studies", tags=["reader-studies"], responses=problems(404, 503))

Identity = Annotated[str, Path(pattern=r"^rs-[0-9a-f]{16}$")]
ReaderId = Annotated[str, Path(pattern=r"^rd-[0-9a-f]{8}$")]
_PRIVATE = {"Cache-Control": "no-store"}


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=ReaderStudy,
    responses=problems(409, 504),
)
async def create(
    request: ReaderStudyRequest,
    state: AppState,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Draw as many held-out real as synthetic images of each class, and make a study of them.

    Takes seconds, and answers when it is whole.  Not on machines that share a store.
    """
    if state.settings.store:
        raise Conflict(
            "This service keeps its data in a store (SYNTHORAX_STORE), and reader studies lie in "
            "one machine's data folder.",
            field="SYNTHORAX_STORE",
            remedy="Run the study on a service of its own, with a copy of the version.",
        )
    found = caller.get()
    who = found.key if found else ""
    asked = Asked.of(request, folder.new_identity(), idempotency_key, who)
    find = partial(folder.find, state.settings.data_dir)
    study = await run_in_threadpool(asked.before, find)
    if study is None:
        study = await _made(request, state, response, asked)
    response.headers["Location"] = f"/reader-studies/{study.id}"
    return await run_in_threadpool(shown, study)


async def _made(
    request: ReaderStudyRequest, state: AppState, response: Response, asked: Asked
) -> folder.ReaderStudy:
    version = await state.pool.found(request.model)
    given = request.model_dump(exclude={"model", "dataset", "real_images_may_be_shown"})
    design = resolve(given, version.labels)
    study = asked.same(await make(state, design, version, request.dataset, asked))
    for name, value in await state.limits.images(caller.get(), 0):  # its turn has counted them
        response.headers[name.decode()] = value.decode()
    await run_in_threadpool(study.opened, operator(), "made")
    return study


@router.get("", response_model=ReaderStudies)
def list_studies(state: AppState) -> Any:
    """Studies, newest first."""
    return {"data": [shown(study) for study in folder.studies(state.settings.data_dir)]}


@router.get("/{study}", response_model=ReaderStudy)
def get(study: Identity, state: AppState) -> Any:
    """One study: its design, and how far each reader is."""
    return shown(folder.find(state.settings.data_dir, study))


@router.post(
    "/{study}/readers",
    status_code=status.HTTP_201_CREATED,
    response_model=Invited,
    responses=problems(409),
)
def invite(study: Identity, request: InviteRequest, state: AppState) -> Any:
    """A new reader and their link, told once.  Whoever has the link answers as this reader."""
    found = folder.find(state.settings.data_dir, study)
    reader, token = found.invite(request.name)
    found.opened(operator(), "invited", reader=reader.id)
    progress = progress_of(reader, found.log(reader).read())
    return {"reader": progress, "token": token, "link": f"/read#{token}"}


@router.delete("/{study}/readers/{reader}", response_model=ReaderStudy, responses=problems(409))
def remove(study: Identity, reader: ReaderId, state: AppState) -> Any:
    """Take a reader and their link back: their answers count no more.  409 once it is closed.

    The results tell how many were removed.
    """
    found = folder.find(state.settings.data_dir, study)
    remove_reader(found, reader)
    found.opened(operator(), "removed", reader=reader)
    return shown(found)


@router.get("/{study}/results.json", response_model=Results)
def get_results(study: Identity, state: AppState, response: Response) -> Any:
    """Results of the readers who are through: how often they are right once the study is closed."""
    found = folder.find(state.settings.data_dir, study)
    found.opened(operator(), "results")
    response.headers.update(_PRIVATE)
    return results(found)


@router.get("/{study}/results.csv", response_class=Response, responses=file_of("text/csv"))
def get_csv(study: Identity, state: AppState) -> Response:
    """One line an answer of the readers who are through."""
    found = folder.find(state.settings.data_dir, study)
    found.opened(operator(), "results.csv")
    name = f'attachment; filename="{study}.csv"'
    headers = {**_PRIVATE, "Content-Disposition": name}
    return Response(as_csv(found), media_type="text/csv", headers=headers)


@router.get(
    "/{study}/images.zip",
    response_class=Response,
    responses={**file_of("application/zip"), **problems(409)},
)
def get_images(study: Identity, state: AppState) -> Response:
    """A closed study's synthetic images, marked as such again, and the key.  409 before."""
    found = folder.find(state.settings.data_dir, study)
    content = marked_images(found)
    found.opened(operator(), "images.zip")
    name = f'attachment; filename="{study}.zip"'
    headers = {**_PRIVATE, "Content-Disposition": name}
    return Response(content, media_type="application/zip", headers=headers)


@router.post("/{study}/close", response_model=ReaderStudy)
def close(study: Identity, state: AppState) -> Any:
    """Take no more answers, and give the verdict.  It cannot be opened again."""
    found = folder.find(state.settings.data_dir, study)
    found.close()
    found.opened(operator(), "closed")
    return shown(found)


@router.delete("/{study}", status_code=status.HTTP_204_NO_CONTENT)
def delete(study: Identity, state: AppState) -> None:
    """Really delete a study: its images, key, answers and consents."""
    folder.remove(state.settings.data_dir, study)
