"""Generate jobs: create, list, look, fetch shards; cancel, resume, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from app.access.callers import caller
from app.dependencies import AppState, Jobs
from app.generate.answer import cache_control
from app.generate_jobs.schemas import (
    GenerateJob,
    GenerateJobRequest,
    GenerateJobs,
    Manifest,
    Shards,
    Status,
)
from app.generate_jobs.service import GenerateJobService
from app.openapi import file_of, problems
from app.train_jobs.routes import IdempotencyKey

router = APIRouter(tags=["generate-jobs"], responses=problems(404, 503))

Identity = Annotated[str, Path(pattern=r"^gj-[0-9a-f]{16}$")]
ShardName = Annotated[str, Path(pattern=r"^shard-[0-9]{6}\.(tar|zip)$")]


def _service(state: AppState, jobs: Jobs) -> GenerateJobService:
    assert state.celery is not None  # there is one whenever there is a store
    return GenerateJobService(state.settings, state.pool, jobs, state.celery)


Service = Annotated[GenerateJobService, Depends(_service)]


@router.post(
    "/generate-jobs",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=GenerateJob,
    responses=problems(409, 507),
)
async def create(
    request: GenerateJobRequest,
    service: Service,
    state: AppState,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Queue up to ten million samples, made in shards by all generation workers."""
    found = caller.get()
    who = found.key if found else ""
    job = await run_in_threadpool(service.made, request, idempotency_key, who)
    if job is None:
        version = await run_in_threadpool(service.checked, request)
        quota = await state.limits.images(found, request.count)
        try:
            recorded, new = await run_in_threadpool(
                service.record, request, version, idempotency_key, who
            )
        except BaseException:  # there is no job that could be made
            await state.limits.give_back(found, request.count)
            raise
        if not new:  # the same request came twice at once, and the other has counted them
            await state.limits.give_back(found, request.count)
        for name, value in quota:
            response.headers[name.decode()] = value.decode()
        job = await run_in_threadpool(service.queue if new else service.shown, recorded)
    response.headers["Location"] = job["links"]["self"]
    return job


@router.get("/generate-jobs", response_model=GenerateJobs)
def list_jobs(
    service: Service,
    status: Status | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Any:
    """Jobs, newest first."""
    return service.page(status, after, limit)


@router.get("/generate-jobs/{job}", response_model=GenerateJob)
def get(job: Identity, service: Service) -> Any:
    return service.shown(service.find(job))


@router.get("/generate-jobs/{job}/shards", response_model=Shards)
def list_shards(job: Identity, service: Service) -> Any:
    """The shards that are there, by number; each can be fetched before the job has ended."""
    return {"data": service.shards(job)}


@router.get(
    "/generate-jobs/{job}/shards/{name}",
    response_class=FileResponse,
    responses={
        **file_of("application/x-tar", "application/zip"),
        **problems(409),
        206: {"description": "The part that Range asks for"},
    },
)
def get_shard(job: Identity, name: ShardName, service: Service) -> FileResponse:
    """A shard's file; ranges are served, so that a broken download goes on."""
    path, digest = service.shard(job, name)
    caching = cache_control(service.find(job).record["private"], immutable=True).decode()
    headers = {"ETag": f'"{digest}"', "Cache-Control": caching}
    kind = "application/x-tar" if path.suffix == ".tar" else "application/zip"
    return FileResponse(path, media_type=kind, headers=headers, filename=f"{job}-{name}")


@router.get("/generate-jobs/{job}/manifest.json", response_model=Manifest, responses=problems(409))
def get_manifest(job: Identity, service: Service) -> FileResponse:
    """What every shard holds, and its SHA-256.  409 before the last is there."""
    return FileResponse(service.manifest(job), media_type="application/json")


@router.post(
    "/generate-jobs/{job}/cancel",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=GenerateJob,
    responses=problems(409),
)
def cancel(job: Identity, service: Service) -> Any:
    """End a job; the shards that are there stay.  409 when it has ended."""
    return service.cancel(job)


@router.post(
    "/generate-jobs/{job}/resume",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=GenerateJob,
    responses=problems(409),
)
def resume(job: Identity, service: Service) -> Any:
    """Make what is missing of a cancelled or failed job.  409 for others."""
    return service.resume(job)


@router.delete(
    "/generate-jobs/{job}", status_code=status.HTTP_204_NO_CONTENT, responses=problems(409)
)
def delete(job: Identity, service: Service) -> None:
    """Really delete an ended job and its shards.  409 before its end."""
    service.delete(job)
