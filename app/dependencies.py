"""What routes can ask for, as types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from celery import Celery
from fastapi import Depends, Request
from redis.asyncio import Redis

from app.access.gate import Gate
from app.access.limits import Limits
from app.datasets.receiving import Receiver
from app.engine.pool import EnginePool
from app.generate.near_copies import NearCopyFilters
from app.metrics import Metrics
from app.models.catalog import Catalog
from app.train_jobs.events import Readers
from app.verify.pictures import Pictures
from library.errors import Unavailable
from library.settings import Settings
from worker.jobs import JobStore


@dataclass(frozen=True)
class State:
    """What lives as long as the process."""

    settings: Settings
    library: Catalog
    pool: EnginePool
    metrics: Metrics
    jobs: JobStore | None  # None: no Redis is configured
    streams: Redis | None
    quick: Redis | None  # for small questions on the event loop: they wait half a second
    readers: Readers  # of event streams
    celery: Celery | None
    receiver: Receiver  # of uploads
    filters: NearCopyFilters
    gate: Gate
    limits: Limits
    pictures: Pictures  # of POST /verify


def _of(request: Request) -> State:
    state: State = request.app.state.synthorax
    return state


# Asynchronous, though nothing is awaited: FastAPI asks for a thread for each that is not, and
# there is none to be had while all wait for a Redis that hangs.
async def _state(request: Request) -> State:
    return _of(request)


async def _jobs(request: Request) -> JobStore:
    jobs = _of(request).jobs
    if jobs is None:
        raise Unavailable(
            "This service has no Redis, so it has no train jobs.",
            field="SYNTHORAX_REDIS_URL",
            remedy="Start it with `synthorax serve`, or set SYNTHORAX_REDIS_URL.",
        )
    return jobs


async def _library(request: Request) -> Catalog:
    return _of(request).library


async def _pool(request: Request) -> EnginePool:
    return _of(request).pool


async def _metrics(request: Request) -> Metrics:
    return _of(request).metrics


async def _receiver(request: Request) -> Receiver:
    return _of(request).receiver


async def _filters(request: Request) -> NearCopyFilters:
    return _of(request).filters


AppState = Annotated[State, Depends(_state)]
Jobs = Annotated[JobStore, Depends(_jobs)]
Library = Annotated[Catalog, Depends(_library)]
Pool = Annotated[EnginePool, Depends(_pool)]
Receiving = Annotated[Receiver, Depends(_receiver)]
NearFilters = Annotated[NearCopyFilters, Depends(_filters)]
Metering = Annotated[Metrics, Depends(_metrics)]
