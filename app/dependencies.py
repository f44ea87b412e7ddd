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
    readers: Readers  # of event streams
    celery: Celery | None
    receiver: Receiver  # of uploads
    filters: NearCopyFilters
    gate: Gate
    limits: Limits
    pictures: Pictures  # of POST /verify


def _state(request: Request) -> State:
    state: State = request.app.state.synthorax
    return state


def _jobs(request: Request) -> JobStore:
    jobs = _state(request).jobs
    if jobs is None:
        raise Unavailable(
            "This service has no Redis, so it has no train jobs.",
            field="SYNTHORAX_REDIS_URL",
            remedy="Start it with `synthorax serve`, or set SYNTHORAX_REDIS_URL.",
        )
    return jobs


def _library(request: Request) -> Catalog:
    return _state(request).library


def _pool(request: Request) -> EnginePool:
    return _state(request).pool


def _metrics(request: Request) -> Metrics:
    return _state(request).metrics


def _receiver(request: Request) -> Receiver:
    return _state(request).receiver


def _filters(request: Request) -> NearCopyFilters:
    return _state(request).filters


AppState = Annotated[State, Depends(_state)]
Jobs = Annotated[JobStore, Depends(_jobs)]
Library = Annotated[Catalog, Depends(_library)]
Pool = Annotated[EnginePool, Depends(_pool)]
Receiving = Annotated[Receiver, Depends(_receiver)]
NearFilters = Annotated[NearCopyFilters, Depends(_filters)]
Metering = Annotated[Metrics, Depends(_metrics)]
