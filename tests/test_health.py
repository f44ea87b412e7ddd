"""Probes of an API whose Redis hangs: they answer, in time."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import anyio.to_thread
import httpx

from app.main import create_app
from library.settings import Settings

PROBE_SECONDS = 3  # timeoutSeconds of deploy/kubernetes: tests/test_container_files.py


def test_a_redis_that_hangs_keeps_no_probe_waiting(tmp_path: Path) -> None:
    """It accepts connections and never answers; requests wait for it in every thread."""

    async def probed(deaf: socket.socket) -> None:
        url = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"
        transport = httpx.ASGITransport(create_app(Settings(data_dir=tmp_path, redis_url=url)))
        threads = anyio.to_thread.current_default_thread_limiter()
        threads.total_tokens = 2
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            waiting = [asyncio.create_task(http.get("/train-jobs")) for _ in range(3)]
            while threads.available_tokens:
                await asyncio.sleep(0.01)
            for path in ("/health/live", "/health/ready", "/health/ready"):
                began = time.monotonic()
                answer = await http.get(path)
                assert time.monotonic() - began < PROBE_SECONDS - 1, path
                assert not any(task.done() for task in waiting), path
            assert answer.json()["checks"]["redis"] == {"status": "away"}
            deaf.close()  # which ends what waits
            assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [503] * 3

    with socket.create_server(("127.0.0.1", 0), backlog=64) as deaf:
        asyncio.run(probed(deaf))
