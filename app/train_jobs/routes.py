"""Train jobs: create, list, follow; cancel, finish, resume, clone, delete."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from app.access.callers import caller
from app.dependencies import AppState, Jobs
from app.negotiation import preferred
from app.openapi import file_of, problems
from app.train_jobs import events
from app.train_jobs.checking import TellsAll
from app.train_jobs.schemas import (
    Checkpoints,
    CloneRequest,
    Estimate,
    EventPage,
    ResumeRequest,
    TrainJob,
    TrainJobRequest,
    TrainJobs,
)
from app.train_jobs.service import TrainJobService
from app.train_jobs.wishes import Wishes
from library.config import resolve
from library.errors import NotFound
from library.presets import DESCRIPTIONS, PRESETS, RECOMMENDED
from worker.jobs import reaching_redis

router = APIRouter(tags=["train-jobs"], responses=problems(503))
checked = APIRouter(tags=["train-jobs"], route_class=TellsAll, responses=problems(404, 409, 503))

StreamId = Annotated[
    str, Query(pattern=r"^[0-9]{1,20}(-[0-9]{1,20})?$", description="an event's id")
]
EPOCHS_MAX = 100_000  # as a configuration may ask for
# In the words of OpenAPI 3.2: what an event stream's lines say, one event after another.
_SERVER_SENT = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/Event"},
        },
        "event": {"type": "string"},
        "id": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0},
    },
}
Status = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]


def _service(state: AppState, jobs: Jobs) -> TrainJobService:
    assert state.celery is not None  # there is one whenever there is a store
    return TrainJobService(state.settings, jobs, state.celery)


Service = Annotated[TrainJobService, Depends(_service)]


def _wishes(service: Service) -> Wishes:
    return Wishes(service)


Wish = Annotated[Wishes, Depends(_wishes)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="the same key and body make one job, however often they are sent within a day",
    ),
]


def _who() -> str:
    found = caller.get()
    return found.key if found else ""


@router.get("/presets")
def list_presets() -> dict[str, Any]:
    """Named configurations, every field resolved, and the one that is taken where none is named."""
    data = []
    for name in PRESETS:
        config = resolve(name, {"seed": 0}).as_dict()
        del config["seed"]  # drawn for each job
        data.append({"name": name, "description": DESCRIPTIONS[name], "config": config})
    return {"data": data, "default": RECOMMENDED}


@checked.post("/train-jobs", status_code=status.HTTP_202_ACCEPTED, response_model=TrainJob)
def create(
    request: TrainJobRequest,
    service: Service,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Queue a training run on a folder of images."""
    job = service.create(request, idempotency_key, _who())
    response.headers["Location"] = job["links"]["self"]
    return job


@checked.post(
    "/train-jobs/estimates",
    response_model=Estimate,
    responses={202: {"model": Estimate, "description": "It is being measured: ask again"}},
)
def estimate(
    request: TrainJobRequest,
    service: Service,
    response: Response,
    seconds: Annotated[float, Query(ge=1, le=60, description="to measure for")] = 30.0,
) -> Any:
    """How long a run would take on the worker's machine, measured there; nothing is queued.

    202 while it is measured: ask again.  The same question is answered at once for a day.
    """
    found = service.estimate(request, seconds)
    if found["status"] == "measuring":
        response.status_code = status.HTTP_202_ACCEPTED
        response.headers["Retry-After"] = "2"
    return found


@router.get("/train-jobs", response_model=TrainJobs, responses=problems(404))
def list_jobs(
    service: Service,
    status: Status | None = None,
    label: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Any:
    """Jobs, newest first."""
    return service.page(status, label, after, limit)


@router.get("/train-jobs/{job}", response_model=TrainJob)
def get(job: str, service: Service) -> Any:
    return service.get(job)


@router.delete("/train-jobs/{job}", status_code=status.HTTP_204_NO_CONTENT, responses=problems(409))
def delete(job: str, wishes: Wish) -> None:
    """Forget an ended job and remove its run folder.  409 before its end."""
    wishes.delete(job)


@router.post(
    "/train-jobs/{job}/cancel",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=TrainJob,
    responses=problems(409),
)
def cancel(job: str, wishes: Wish) -> Any:
    """End a job; a running one writes a checkpoint first.  409 when it has ended."""
    return wishes.cancel(job)


@router.post(
    "/train-jobs/{job}/finish",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=TrainJob,
    responses=problems(409),
)
def finish(job: str, wishes: Wish) -> Any:
    """End a job after its epoch and publish.  409 when it has not begun or has ended."""
    return wishes.finish(job)


@router.post(
    "/train-jobs/{job}/resume",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=TrainJob,
    responses=problems(409),
)
def resume(job: str, wishes: Wish, changes: ResumeRequest | None = None) -> Any:
    """Go on from the newest checkpoint, if need be for more epochs.  409 before its end."""
    return wishes.resume(job, changes or ResumeRequest())


@router.post(
    "/train-jobs/{job}/clone",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=TrainJob,
    responses=problems(409),
)
def clone(
    job: str,
    service: Service,
    response: Response,
    changes: CloneRequest | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Queue a new job like this one, with changes."""
    made = service.clone(job, changes or CloneRequest(), idempotency_key, _who())
    response.headers["Location"] = made["links"]["self"]
    return made


@router.get(
    "/train-jobs/{job}/events",
    response_model=EventPage,
    responses={
        200: {
            "content": {"text/event-stream": {"itemSchema": _SERVER_SENT}},
            "description": "server-sent events, each `data` one event of the page's schema; or a "
            "page of JSON",
        },
        **problems(406),
    },
)
async def follow(
    job: str,
    service: Service,
    state: AppState,
    jobs: Jobs,
    accept: Annotated[str, Header(include_in_schema=False)] = "application/json",
    last_event_id: Annotated[str, Header(pattern=r"^([0-9]{1,20}(-[0-9]{1,20})?)?$")] = "",
    after: StreamId = "0",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """Events: with `Accept: text/event-stream` history, then live; else a page of JSON."""
    await run_in_threadpool(service.get, job)  # 404 before the stream begins
    start = events.checked(last_event_id or after)
    if preferred(accept, ("application/json", "text/event-stream")) == "text/event-stream":
        assert state.streams is not None
        state.readers.check()
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            state.readers.counted(events.stream(state.streams, job, start)),
            media_type="text/event-stream",
            headers=headers,
        )
    with reaching_redis():
        return JSONResponse(await run_in_threadpool(events.page, jobs.redis, job, start, limit))


@router.get("/train-jobs/{job}/checkpoints", response_model=Checkpoints)
def checkpoints(job: str, service: Service) -> Any:
    """The run's checkpoints, newest first: the last two, and those that its timeline keeps."""
    return {"data": service.run(job).list_checkpoints()}


@router.get(
    "/train-jobs/{job}/samples/{epoch}.png",
    response_class=FileResponse,
    responses=file_of("image/png"),
)
def samples(
    job: str, epoch: Annotated[int, Path(ge=1, le=EPOCHS_MAX)], service: Service
) -> FileResponse:
    """The grid of the fixed noise after an epoch."""
    run = service.run(job)
    path = run.sample(epoch)
    if not path.is_file():
        epochs = run.sampled_epochs()
        raise NotFound(
            f"There is no grid of epoch {epoch}.",
            field="epoch",
            value=epoch,
            remedy=f"There are grids up to epoch {epochs[-1]}." if epochs else "None is made yet.",
        )
    return FileResponse(path, media_type="image/png")
