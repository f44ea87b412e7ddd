"""Alive: the process answers.  Ready: the active model samples.  Metrics: what it counts.

Redis away is said, not fatal.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from redis.exceptions import RedisError

from app.access.callers import caller
from app.dependencies import AppState, Metering, State
from worker.heartbeat import workers_soon
from worker.queue import LIGHT, TRAINING

router = APIRouter(tags=["health"])
_REDIS_SECONDS = 1.0  # for all questions; one that hangs is given up after half of it


# Both on the event loop: where Redis hangs, all threads may be waiting for it.
@router.get("/health/live")
async def live() -> dict[str, str]:
    return {"status": "live"}


@router.get(
    "/health/ready",
    responses={
        503: {"description": "No model is loaded (yet)", "content": {"application/json": {}}}
    },
)
async def ready(state: AppState) -> JSONResponse:
    """Whether images can be had; and how Redis and the workers are."""
    redis, counts = await _jobs(state)
    who = caller.get()
    engine = _engine(state)
    if who is not None and who.scope is None:  # keys are asked for, and this one has none
        engine = {"status": engine["status"]}
    checks = {"engine": engine, "redis": {"status": redis}, "workers": counts}
    is_ready = state.pool.ready
    status = "ready" if is_ready else "stopping" if state.pool.draining else "not ready"
    content = {"status": status, "checks": checks}
    return JSONResponse(content, 200 if is_ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(metrics: Metering) -> Response:
    """Prometheus' text format."""
    return Response(metrics.exposition(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _engine(state: State) -> dict[str, Any]:
    loaded = [
        {
            "model": each.version.reference,
            "backend": each.samplers[0].backend.name,
            "precision": each.samplers[0].backend.precision,
            "digest": each.engine_digest,
            "self_check": {
                "exact": each.samplers[0].proof.exact,
                "seeds": each.samplers[0].proof.seeds,
                "batch_sizes": list(each.samplers[0].proof.sizes),
                "result": each.samplers[0].proof.told,
            },
            "memory_bytes": each.memory_bytes,
        }
        for each in state.pool.loaded()
    ]
    pool = state.pool
    if not loaded:
        return {"status": "failed" if pool.problem else "loading", "reason": pool.problem}
    answer = {"status": "ok", "devices": list(pool.devices), "loaded": loaded}
    # The choice of the active version may have failed while another one is served.
    return {**answer, "reason": pool.problem} if pool.problem else answer


async def _jobs(state: State) -> tuple[str, dict[str, int]]:
    """How Redis is, and how many workers of each queue are connected."""
    counts = {TRAINING: 0, LIGHT: 0}
    if state.quick is None:
        return "not configured", counts
    try:
        async with asyncio.timeout(_REDIS_SECONDS):
            counts |= Counter(each["queue"] for each in await workers_soon(state.quick))
        return "ok", counts
    except (RedisError, OSError):
        return "away", counts
