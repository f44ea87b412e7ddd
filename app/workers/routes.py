"""Workers: who is connected, on which card, with which job."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.dependencies import Jobs
from app.openapi import problems
from worker.heartbeat import workers
from worker.jobs import reaching_redis

router = APIRouter(prefix="/workers", tags=["workers"], responses=problems(503))


class Gpu(BaseModel):
    """A card; memory in MiB, of all programs that use it."""

    index: int
    uuid: str
    name: str
    memory_total: int
    memory_used: int


class Worker(BaseModel):
    name: str
    queue: str = Field(description="training: one train job at a time; light: everything small")
    host: str
    pid: int
    started_at: str
    seen_at: str
    device: str
    processes: int = Field(description="of one job: above 1 it runs on several cards")
    gpus: list[Gpu]
    job: str | None = Field(description="the train job that it runs")


class Workers(BaseModel):
    data: list[Worker]


@router.get("", response_model=Workers)
def list_workers(jobs: Jobs) -> Any:
    """Workers that gave a sign of life within their last three heartbeats."""
    with reaching_redis():
        running = {
            record.get("worker"): record["id"]
            for record in jobs.several(jobs.running())
            if record["status"] in ("running", "cancelling")
        }
        found = workers(jobs.redis)
    return {"data": [{**each, "job": running.get(each["name"])} for each in found]}
