"""Studies: estimate, create, list, look; cancel, resume, delete; results, scores, arms."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, StreamingResponse

from app.access.callers import caller
from app.dependencies import AppState, Jobs
from app.formats.folder_zip import zipped
from app.openapi import file_of, problems
from app.reports.routes import POLICY
from app.studies import files
from app.studies.schemas import (
    ArmsBeingMade,
    Status,
    Studies,
    Study,
    StudyEstimate,
    StudyRequest,
    StudyResults,
)
from app.studies.service import StudyService
from app.train_jobs.routes import IdempotencyKey

router = APIRouter(prefix="/studies", tags=["studies"], responses=problems(404, 503))

Identity = Annotated[str, Path(description="`st-` and 16 hexadecimal digits")]
FileName = Annotated[str, Path(pattern=files.FILE_NAME)]


def _service(state: AppState, jobs: Jobs) -> StudyService:
    assert state.celery is not None  # there is one whenever there is a store
    return StudyService(state.settings, state.library, jobs, state.celery)


Service = Annotated[StudyService, Depends(_service)]


@router.post(
    "", status_code=status.HTTP_202_ACCEPTED, response_model=Study, responses=problems(409)
)
def create(
    request: StudyRequest,
    service: Service,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Queue a study: does it help to train with synthetic images?  Hours; estimate it before."""
    found = caller.get()
    study = service.create(request, idempotency_key, found.key if found else "")
    response.headers["Location"] = study["links"]["self"]
    return study


@router.post(
    "/estimates",
    response_model=StudyEstimate,
    responses={
        202: {"model": StudyEstimate, "description": "It is being measured: ask again"},
        **problems(409),
    },
)
def estimate(request: StudyRequest, service: Service, response: Response) -> Any:
    """How much a study is, and how long it would take, measured where it runs; nothing is queued.

    202 while it is measured: ask again.  The same question is answered at once for a day.
    """
    found = service.estimate(request)
    if found["status"] == "measuring":
        response.status_code = status.HTTP_202_ACCEPTED
        response.headers["Retry-After"] = "2"
    return found


@router.get("", response_model=Studies)
def list_studies(
    service: Service,
    status: Status | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Any:
    """Studies, newest first."""
    return service.page(status, after, limit)


@router.get("/{study}", response_model=Study)
def get(study: Identity, service: Service) -> Any:
    return service.shown(service.find(study))


@router.delete("/{study}", status_code=status.HTTP_204_NO_CONTENT, responses=problems(409))
def delete(study: Identity, service: Service) -> None:
    """Really delete an ended study with all it made.  409 before its end."""
    service.delete(study)


@router.post(
    "/{study}/cancel",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Study,
    responses=problems(409),
)
def cancel(study: Identity, service: Service) -> Any:
    """End a study; what is done stays.  409 when it has ended."""
    return service.cancel(study)


@router.post(
    "/{study}/resume",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Study,
    responses=problems(409),
)
def resume(study: Identity, service: Service) -> Any:
    """Do what is missing of a cancelled or failed study.  409 in another state."""
    return service.resume(study)


@router.get("/{study}/results.json", response_model=StudyResults, responses=problems(409))
def get_results(study: Identity, service: Service) -> FileResponse:
    """The numbers.  409 before there are any."""
    return _file(service, study, "results.json")


@router.get("/{study}/results.html", response_class=HTMLResponse, responses=problems(409))
def get_page(study: Identity, service: Service) -> FileResponse:
    """The results as one page that stands alone."""
    return _file(service, study, "results.html")


@router.get(
    "/{study}/methods.md",
    response_class=Response,
    responses={**file_of("text/markdown"), **problems(409)},
)
def get_methods(study: Identity, service: Service) -> FileResponse:
    """What was done, in sentences for a paper."""
    return _file(service, study, "methods.md")


@router.get(
    "/{study}/tables/{name}",
    response_class=FileResponse,
    responses={**file_of("text/csv", "application/x-tex"), **problems(409)},
)
def get_table(study: Identity, name: FileName, service: Service) -> FileResponse:
    """A table, as CSV or LaTeX."""
    return _file(service, study, f"tables/{name}")


@router.get(
    "/{study}/figures/{name}",
    response_class=FileResponse,
    responses={**file_of("image/svg+xml", "image/png", "application/pdf"), **problems(409)},
)
def get_figure(study: Identity, name: FileName, service: Service) -> FileResponse:
    """A figure, for a paper."""
    return _file(service, study, f"figures/{name}")


@router.get(
    "/{study}/results.zip",
    response_class=StreamingResponse,
    responses={**file_of("application/zip"), **problems(409)},
)
def get_zip(study: Identity, service: Service) -> StreamingResponse:
    """All files of the results."""
    folder = files.results(service.find(study))
    headers = {"Content-Disposition": f'attachment; filename="{study}-results.zip"'}
    return StreamingResponse(zipped(folder), media_type="application/zip", headers=headers)


@router.post(
    "/{study}/scores",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Study,
    responses=problems(409),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def score(
    study: Identity,
    service: Service,
    request: Request,
    name: Annotated[str, Query(pattern=files.SCORE_NAME, description="of your model")],
) -> Any:
    """Score a model of your own on the study's test images: its predictions, a CSV.

    The results are made again with it.  What is wrong with it is told in the study's `scores`.
    """
    body = await request.body()

    def add() -> dict[str, Any]:
        found = service.find(study)
        files.add_score(found, name, body)
        service.send(found)
        return service.shown(found)

    return await run_in_threadpool(add)


@router.get(
    "/{study}/arms.zip",
    response_class=FileResponse,
    responses={
        **file_of("application/zip"),
        202: {"model": ArmsBeingMade, "description": "They are being made: ask again"},
        206: {"description": "The part that Range asks for"},
        **problems(409),
    },
)
def get_arms(study: Identity, service: Service, state: AppState, jobs: Jobs) -> Response:
    """What each arm is trained on, for a model of your own.  It holds images of patients.

    202 while it is made: ask again.  409 until all runs are done.
    """
    assert state.celery is not None
    path = files.arms(service.find(study), jobs, state.celery)
    if path is None:
        return JSONResponse({"status": "making"}, 202, headers={"Retry-After": "2"})
    headers = {"Cache-Control": "private, no-store"}
    return FileResponse(
        path, media_type="application/zip", headers=headers, filename=f"{study}-arms.zip"
    )


def _file(service: StudyService, study: str, name: str) -> FileResponse:
    path, kind = files.result(service.find(study), name)
    headers = {"Content-Security-Policy": POLICY} if kind.startswith("text/html") else None
    return FileResponse(path, media_type=kind, headers=headers)
