"""The paper's figures of a run, and its numbers, as one ZIP."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from pathlib import Path

from fastapi import APIRouter, Response

from app.openapi import file_of, problems
from app.train_jobs.numbers import COLUMNS, EXPORT_SECONDS
from app.train_jobs.routes import Service
from library.errors import NotFound, SynthoraxError
from library.runs import RunFolder

router = APIRouter(tags=["train-jobs"], responses=problems(503))

_ROOT = Path(__file__).resolve().parent.parent.parent


@router.get(
    "/train-jobs/{job}/figures.zip",
    response_class=Response,
    responses=file_of("application/zip"),
)
def figures(job: str, service: Service) -> Response:
    """Figures 5 (real beside synthetic), 6 (samples by epoch) and 7 (losses) as PNG and SVG, and
    the numbers by epoch as CSV.  Figure 5 shows training images."""
    run = service.run(job)
    if not run.sampled_epochs():
        raise NotFound(
            f"The train job {job!r} has not finished an epoch yet.",
            field="id",
            value=job,
            remedy="Its figures can be drawn after the first epoch.",
        )
    program = [sys.executable, "-m", "training", "figures", str(run.path)]
    try:
        subprocess.run(program, cwd=_ROOT, check=True, capture_output=True, timeout=EXPORT_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", None) or b""
        raise SynthoraxError(
            f"The figures could not be drawn: {words.decode(errors='replace').strip()[-300:]}",
            remedy="The run's folder or its dataset may have been changed or removed.",
        ) from None
    headers = {
        "Content-Disposition": f'attachment; filename="{job}-figures.zip"',
        "Cache-Control": "private, no-store",
    }
    return Response(_zipped(run), media_type="application/zip", headers=headers)


def _zipped(run: RunFolder) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(run.figures.glob("figure-*")):
            archive.write(path, path.name)
        table = io.StringIO()
        writer = csv.DictWriter(table, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(line for line in run.read_metrics() if line["scope"] == "epoch")
        archive.writestr("figure-7-losses.csv", table.getvalue())
    return out.getvalue()
