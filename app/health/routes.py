"""Alive: the process answers.  Ready: the active model samples.  Redis away is said, not fatal."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError

from app.dependencies import AppState, State

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
def live() -> dict[str, str]:
    return {"status": "live"}


@router.get("/ready", responses={503: {"description": "No model is loaded (yet)"}})
def ready(state: AppState) -> JSONResponse:
    """Whether images can be had; and how Redis and the workers are."""
    redis, workers = _jobs(state)
    checks = {"engine": _engine(state), "redis": {"status": redis}, "workers": {"count": workers}}
    is_ready = state.pool.ready
    content = {"status": "ready" if is_ready else "not ready", "checks": checks}
    return JSONResponse(content, 200 if is_ready else 503)


def _engine(state: State) -> dict[str, Any]:
    loaded = [
        {
            "model": sampler.version.reference,
            "backend": sampler.backend.name,
            "precision": sampler.backend.precision,
            "digest": sampler.digest,
            "batching": sampler.batching,
        }
        for sampler in state.pool.loaded()
    ]
    if loaded:
        return {"status": "ok", "loaded": loaded}
    return {"status": "failed" if state.pool.problem else "loading", "reason": state.pool.problem}


def _jobs(state: State) -> tuple[str, int]:
    if state.jobs is None:
        return "not configured", 0
    try:
        return "ok", len(state.jobs.workers())
    except RedisError:
        return "away", 0
