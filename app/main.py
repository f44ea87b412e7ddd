"""The application: `create_app()`, and `app` for servers that import it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app import errors
from app.access.audit import Audit
from app.access.gate import Gate
from app.access.limits import Limits
from app.access.routes import router as access
from app.datasets.pictures import router as pictures
from app.datasets.receiving import Receiver
from app.datasets.routes import router as datasets
from app.dependencies import State
from app.engine.backend import LoadBackend
from app.engine.pool import EnginePool
from app.generate.endpoint import PATH, GenerateEndpoint
from app.generate.interpolation import router as interpolation
from app.generate.near_copies import NearCopyFilters
from app.generate.nearest import router as nearest
from app.generate.routes import router as generate
from app.generate_jobs.routes import router as generate_jobs
from app.guard import Guard
from app.health.routes import router as health
from app.metrics import Metrics
from app.models.catalog import Catalog
from app.models.routes import router as models
from app.models.travel import router as travel
from app.openapi import Described
from app.reader_studies.reading import page as reading_page
from app.reader_studies.reading import router as reading
from app.reader_studies.routes import router as reader_studies
from app.reports.routes import router as reports
from app.studies.routes import router as studies
from app.train_jobs.events import Readers
from app.train_jobs.figures import router as figures
from app.train_jobs.numbers import router as numbers
from app.train_jobs.routes import checked as checked_train_jobs
from app.train_jobs.routes import router as train_jobs
from app.verify.pictures import Pictures
from app.verify.routes import router as verify
from app.withdrawals.routes import router as withdrawals
from app.workers.overview import overview
from app.workers.routes import router as workers
from library import __version__
from library.settings import Settings, from_environment
from library.store.following import in_background
from library.store.shared import open_store
from worker import tracing
from worker.connection import client, counting_client, streaming_client
from worker.jobs import JobStore
from worker.queue import celery_app

WEB = Path(__file__).parent / "web"
ROUTERS = (
    generate,
    generate_jobs,
    interpolation,
    nearest,
    verify,
    models,
    travel,
    reports,
    datasets,
    pictures,
    withdrawals,
    studies,
    checked_train_jobs,
    train_jobs,
    numbers,
    figures,
    reader_studies,
    reading,
    reading_page,
    workers,
    access,
    health,
)
STREAMS_MAX = 64  # event streams at once: each holds a connection to Redis
CORS: dict[str, Any] = {
    "allow_methods": ["GET", "HEAD", "POST", "DELETE"],
    "allow_headers": ["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
    "expose_headers": ["*"],
    "allow_credentials": False,  # keys, never this page's session
}
# FastAPI's own spans and logs hold addresses and words of exceptions, and know nothing of the path
# that is answered without it: the guard makes ours.
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False, "metrics": False, "logs": False, "auto_configure": False,
}  # fmt: skip
SPARE = 4  # connections, for streams that are just now ending


class Service(Described):
    """FastAPI behind a guard, but for the one path that is answered without its machinery."""

    door: ASGIApp
    lean: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.door(scope, receive, send)

    async def inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What the door lets in."""
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST":
            await self.lean(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class Revalidated(StaticFiles):
    """Files that a browser asks about each time: their names carry no hash."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def create_app(
    settings: Settings | None = None, load_backend: LoadBackend | None = None
) -> FastAPI:
    """The API on settings (from the environment, if none are given).

    `load_backend` samples with something else than the backends that settings name (benchmarks).
    """
    settings = settings or from_environment()
    store = open_store(settings)
    library = Catalog(settings.models, store)
    metrics = Metrics()
    url = settings.redis_url
    quick = counting_client(url) if url else None
    limits = Limits(settings, quick)
    pool = EnginePool(settings, library, metrics, limits, load_backend)
    audit = Audit(settings.data_dir)
    gate = Gate(settings, audit)
    metrics.collect(gate.families)
    state = State(
        settings=settings,
        library=library,
        pool=pool,
        metrics=metrics,
        jobs=JobStore(client(url)) if url else None,
        streams=streaming_client(url, STREAMS_MAX + SPARE) if url else None,
        quick=quick,
        readers=Readers(STREAMS_MAX),
        celery=celery_app(settings) if url else None,
        receiver=Receiver(settings),
        filters=NearCopyFilters(settings.data_dir),
        gate=gate,
        limits=limits,
        pictures=Pictures(),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tracing.begin("api")
        pool.start()
        stop_following = (
            None if store is None
            else in_background(store, settings.store_seconds, changed=library.refresh)
        )  # fmt: skip
        yield
        if stop_following is not None:
            stop_following()
        await pool.stop()
        if state.streams is not None:
            await state.streams.aclose()
        await limits.aclose()
        await asyncio.to_thread(state.pictures.close)
        await asyncio.to_thread(tracing.end)

    app = Service(
        title="Synthorax",
        version=__version__,
        description="Seeded synthetic chest X-rays, and training of the generators that make them. "
        "Synthetic; not for diagnosis.",
        docs_url=None,  # FastAPI's page loads from a CDN; ours is served from here
        redoc_url=None,
        lifespan=lifespan,
        telemetry=_NO_TELEMETRY,
    )
    app.state.synthorax = state
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", Revalidated(directory=WEB), name="static")

    @app.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(WEB / "docs.html")

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    @app.api_route("/ui/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    def page(path: str = "") -> FileResponse:  # noqa: ARG001  the page reads its own address
        return FileResponse(WEB / "index.html")

    metrics.collect(state.filters.families)
    metrics.collect(limits.families)
    metrics.collect(state.readers.families)
    if state.jobs is not None:
        metrics.collect(partial(overview, state.jobs))
    app.lean = GenerateEndpoint(pool, metrics, state.filters)
    app.door = Guard(app.inside, settings, gate, limits, audit, metrics)
    if settings.cors_origins:
        app.door = CORSMiddleware(app.door, settings.cors_origins, **CORS)
    return app
