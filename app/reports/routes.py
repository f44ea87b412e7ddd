"""Reports: made on the light queue; read as JSON, page, card, exports; two versions compared."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response, status
from fastapi.responses import FileResponse, HTMLResponse, StreamingResponse

from app.dependencies import AppState
from app.models.routes import VersionNumber
from app.openapi import file_of, problems
from app.reports.schemas import Comparison, Report, ReportList, ReportRecord, ReportRequest
from app.reports.service import ReportService
from library.errors import NotFound, Unavailable
from library.reports import OPERATOR

# A page is its own style; nothing in it may run.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"

router = APIRouter(prefix="/models", tags=["reports"], responses=problems(404, 409, 503))

ReportId = Annotated[
    str, Path(pattern=r"^(latest|rp-[0-9a-f]{12})$", description="an id, or `latest`")
]
Own = Annotated[str, Path(pattern=r"^rp-[0-9a-f]{12}$")]
Figure = Annotated[str, Path(pattern=r"^[a-z]+$")]


def _service(state: AppState) -> ReportService:
    return ReportService(state.settings, state.library, state.jobs, state.celery)


Reports = Annotated[ReportService, Depends(_service)]


@router.get("/compare", response_model=Comparison)
def compare(
    reports: Reports,
    one: Annotated[str, Query(description="NAME@VERSION")],
    other: Annotated[str, Query(description="NAME@VERSION")],
) -> dict[str, Any]:
    """The newest reports of two versions, number by number; noise is told from difference."""
    return reports.compare(one, other)


@router.post(
    "/{name}@{version}/reports", status_code=status.HTTP_202_ACCEPTED, response_model=ReportRecord
)
def make(
    name: str,
    version: VersionNumber,
    request: ReportRequest,
    reports: Reports,
    state: AppState,
    response: Response,
) -> dict[str, Any]:
    """Evaluate a version: fidelity, usefulness, privacy.  Minutes, on the light queue.

    Where a report that would say the same is under way, it is the answer.
    """
    if state.jobs is None:
        raise Unavailable(
            "This service has no Redis, so it makes no reports.",
            field="SYNTHORAX_REDIS_URL",
            remedy="Start it with `synthorax serve`, or set SYNTHORAX_REDIS_URL.",
        )
    record = reports.make(f"{name}@{version}", request)
    response.headers["Location"] = record["links"]["self"]
    return record


@router.get("/{name}@{version}/reports", response_model=ReportList)
def list_all(name: str, version: VersionNumber, reports: Reports) -> dict[str, Any]:
    """Reports on a version, newest first, with how far they are."""
    return {"data": reports.all(f"{name}@{version}")}


@router.get("/{name}@{version}/reports/{report}", response_model=Report)
def get_report(name: str, version: VersionNumber, report: ReportId, reports: Reports) -> Any:
    """report.json.  409 for one that is not complete."""
    return FileResponse(
        reports.folder(f"{name}@{version}", report) / "report.json", media_type="application/json"
    )


@router.get("/{name}@{version}/reports/{report}/report.html", response_class=HTMLResponse)
def get_page(name: str, version: VersionNumber, report: ReportId, reports: Reports) -> FileResponse:
    """The report as one page that stands alone."""
    return _file(reports, f"{name}@{version}", report, "report.html", "text/html; charset=utf-8")


@router.get(
    "/{name}@{version}/reports/{report}/card",
    response_class=Response,
    responses=file_of("text/markdown"),
)
def get_card(name: str, version: VersionNumber, report: ReportId, reports: Reports) -> FileResponse:
    """The model card of a report, Markdown."""
    return _file(reports, f"{name}@{version}", report, "CARD.md", "text/markdown; charset=utf-8")


@router.get(
    "/{name}@{version}/reports/{report}/figures/{figure}.svg",
    response_class=FileResponse,
    responses=file_of("image/svg+xml"),
)
def get_figure(
    name: str, version: VersionNumber, report: ReportId, figure: Figure, reports: Reports
) -> FileResponse:
    """A figure, for a paper."""
    path = f"figures/{figure}.svg"
    return _file(reports, f"{name}@{version}", report, path, "image/svg+xml")


@router.get(
    "/{name}@{version}/reports/{report}/exports.zip",
    response_class=StreamingResponse,
    responses=file_of("application/zip"),
)
def get_exports(
    name: str, version: VersionNumber, report: ReportId, reports: Reports
) -> StreamingResponse:
    """Everything but what shows patients: tables, figures, methods, CLAIM checklist, images."""
    reports.folder(f"{name}@{version}", report)
    headers = {"Content-Disposition": f'attachment; filename="{name}-{version}-report.zip"'}
    parts = reports.export(f"{name}@{version}", report)
    return StreamingResponse(parts, media_type="application/zip", headers=headers)


@router.get("/{name}@{version}/reports/{report}/operator/pairs.html", response_class=HTMLResponse)
def get_pairs(
    name: str, version: VersionNumber, report: ReportId, reports: Reports
) -> FileResponse:
    """The closest pairs.  They show patients: for the operator alone."""
    path = f"{OPERATOR}/pairs.html"
    found = _file(reports, f"{name}@{version}", report, path, "text/html; charset=utf-8")
    found.headers["Cache-Control"] = "private, no-store"
    return found


@router.delete("/{name}@{version}/reports/{report}", status_code=status.HTTP_204_NO_CONTENT)
def delete(name: str, version: VersionNumber, report: Own, reports: Reports) -> None:
    """Really delete a report; one that is being made ends."""
    reports.delete(f"{name}@{version}", report)


def _file(
    reports: ReportService, reference: str, report: str, name: str, media_type: str
) -> FileResponse:
    path = reports.folder(reference, report) / name
    if not path.is_file():
        raise NotFound(f"The report {report} on {reference} has no {name}.")
    headers = {"Content-Security-Policy": POLICY} if media_type.startswith("text/html") else None
    return FileResponse(path, media_type=media_type, headers=headers)
