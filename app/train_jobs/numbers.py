"""A run's numbers from its run folder: JSON, CSV, TensorBoard."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.background import BackgroundTask

from app.negotiation import preferred
from app.openapi import file_of, problems
from app.train_jobs.downsampling import thinned
from app.train_jobs.routes import Service
from library.errors import NotFound, SynthoraxError

router = APIRouter(tags=["train-jobs"], responses=problems(503))

COLUMNS = (
    "time", "scope", "epoch", "epochs", "step", "images", "fraction", "loss_d", "loss_g", "d_x",
    "d_g_z1", "d_g_z2", "images_per_second", "eta_seconds",
)  # fmt: skip
POINTS_MAX = 100_000
EXPORT_SECONDS = 300
_ROWS = 1000  # of CSV, written at once


@router.get(
    "/train-jobs/{job}/metrics",
    responses={
        200: {"content": {"application/json": {}, "text/csv": {}}, "description": "by Accept"},
        **problems(406),
    },
)
def metrics(
    job: str,
    service: Service,
    accept: Annotated[str, Header(include_in_schema=False)] = "application/json",
    scope: Literal["epoch", "step"] | None = None,
    after_step: Annotated[int | None, Query(ge=0)] = None,
    max_points: Annotated[
        int | None, Query(ge=2, le=POINTS_MAX, description="thinned out to so many, peaks kept")
    ] = None,
) -> Response:
    """Every number of the run: JSON, or CSV by Accept."""
    lines: Sequence[Mapping[str, Any]] = [
        line
        for line in service.run(job).read_metrics()
        if scope in (None, line["scope"]) and (after_step is None or line["step"] > after_step)
    ]
    total = len(lines)
    if max_points is not None:
        lines = thinned(lines, max_points)
    if preferred(accept, ("application/json", "text/csv")) == "application/json":
        return JSONResponse({"data": lines, "total": total})
    name = f'attachment; filename="{job}-metrics.csv"'
    headers = {"Content-Disposition": name}
    return StreamingResponse(_rows(lines), media_type="text/csv", headers=headers)


def _rows(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    for start in range(0, max(1, len(lines)), _ROWS):
        writer.writerows(lines[start : start + _ROWS])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


@router.get(
    "/train-jobs/{job}/tensorboard",
    response_class=FileResponse,
    responses=file_of("application/zip"),
)
def tensorboard(job: str, service: Service) -> FileResponse:
    """A ZIP with a TensorBoard event file: numbers by step, a grid for each epoch."""
    run = service.run(job)
    if not run.metrics.is_file():
        raise NotFound(
            f"The train job {job!r} has no numbers yet.",
            field="id",
            value=job,
            remedy="They come with the first steps.",
        )
    handle, name = tempfile.mkstemp(suffix=".zip")
    os.close(handle)
    program = [sys.executable, "-m", "app.train_jobs.tensorboard_file"]
    root = Path(__file__).resolve().parent.parent.parent
    try:
        subprocess.run(
            [*program, str(run.path), job, name],
            cwd=root, check=True, capture_output=True, timeout=EXPORT_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        os.unlink(name)
        words = getattr(error, "stderr", None) or b""
        raise SynthoraxError(
            f"The event file could not be written: {words.decode(errors='replace')[-300:]}",
            remedy="The extra `server` brings tensorboardX; GET …/metrics has the same numbers.",
        ) from None
    return FileResponse(
        name,
        media_type="application/zip",
        filename=f"{job}-tensorboard.zip",
        background=BackgroundTask(os.unlink, name),
    )
