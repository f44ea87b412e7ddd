"""Datasets: made of a folder in place or of an uploaded ZIP; what was found in them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from app.datasets.receiving import Receiver, choices_of, receive_form, receive_raw
from app.datasets.schemas import Dataset, Datasets, Files, FolderRequest
from app.datasets.service import DatasetService
from app.dependencies import AppState, Jobs, Receiving
from app.guard import BODY_MAX, too_large
from app.openapi import file_of, problems
from app.schemas import parsed
from library.datasets.choices import described
from library.datasets.patterns import PATTERNS
from library.datasets.report import html

router = APIRouter(prefix="/datasets", tags=["datasets"], responses=problems(409, 503))
NAME_MAX = 200
CHOICES_MAX = 4000  # characters: of a query, more might not pass with all else (64 kB in UTF-8)
NUMBER_MAX = 2**53 - 1  # of a file in the index; SQLite's end at 2^63

_BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": FolderRequest.model_json_schema()},
            "application/zip": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "name": {"type": "string"},
                        "choices": {"type": "string", "description": "JSON"},
                    },
                }
            },
        },
    }
}


def _service(state: AppState) -> DatasetService:
    return DatasetService(state.settings, state.jobs, state.celery)


Service = Annotated[DatasetService, Depends(_service)]


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Dataset,
    responses=problems(404, 507),
    openapi_extra=_BODIES,
)
async def create(
    request: Request,
    response: Response,
    service: Service,
    receiver: Receiving,
    _: Jobs,  # there is none without Redis: nothing is taken in that cannot be validated
    name: Annotated[str | None, Query(min_length=1, max_length=NAME_MAX)] = None,
    choices: Annotated[
        str | None,
        Query(max_length=CHOICES_MAX, description="JSON; longer ones as a part of multipart"),
    ] = None,
) -> Any:
    """Make a dataset of a folder in place (JSON), or of a ZIP (the body itself, or multipart).

    A ZIP holds class folders, or train, val and test with class folders, or images and a CSV.  It
    is written to the disk as it comes; nothing of it is a dataset before it is there as a whole.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("application/json", ""):
        body = parsed(FolderRequest, await _json(request))
        record = await run_in_threadpool(service.from_folder, body)
    else:
        record = await _uploaded(request, service, receiver, kind, name, choices)
    response.headers["Location"] = record["links"]["self"]
    return record


async def _json(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_MAX:
            raise too_large(f"The body is larger than {BODY_MAX} bytes.", BODY_MAX)
    return bytes(body)


async def _uploaded(
    request: Request,
    service: DatasetService,
    receiver: Receiver,
    kind: str,
    name: str | None,
    choices: str | None,
) -> dict[str, Any]:
    chosen = choices_of(choices)  # a wrong one is told before gigabytes have come
    async with receiver.incoming() as archive:
        if kind == "multipart/form-data":
            header = request.headers["content-type"]
            fields = await receive_form(request.stream(), archive, header)
            name = fields.get("name", name or "")[:NAME_MAX] or None
            chosen = choices_of(fields["choices"]) if "choices" in fields else chosen
        else:
            await receive_raw(request.stream(), archive)
        digest = await archive.finish()
        return await run_in_threadpool(
            service.from_archive, archive.path, digest, chosen, name or f"upload {digest[:8]}"
        )


@router.get("", response_model=Datasets)
def list_datasets(service: Service) -> Any:
    """Datasets that were made, and folders that train jobs have named."""
    return {"data": service.all()}


@router.get("/choices")
def list_choices() -> dict[str, Any]:
    """What can be chosen of a dataset, and the patterns of public sets' file names."""
    patterns = [
        {"name": name, "expression": p.expression, "example": p.example, "source": p.source}
        for name, p in PATTERNS.items()
    ]
    return {"choices": described(), "patterns": patterns}


@router.get("/{dataset}", response_model=Dataset)
def get_dataset(dataset: str, service: Service) -> Any:
    """One dataset: its numbers, and every file that is not used with its reason."""
    return service.get(dataset)


@router.get("/{dataset}/files", response_model=Files)
def list_files(
    dataset: str,
    service: Service,
    status: Literal["accepted", "refused", "left_out"] | None = None,
    label: str | None = None,
    split: Literal["train", "validation", "held_out"] | None = None,
    flag: Annotated[str | None, Query(pattern="^[a-z]{1,20}$")] = None,
    after: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Any:
    """Files of a dataset, a page of them."""
    wanted = {"status": status, "label": label, "split": split, "flag": flag}
    return service.files(dataset, wanted, after, limit)


@router.get(
    "/{dataset}/files/{file}/thumbnail.jpg",
    response_class=Response,
    responses=file_of("image/jpeg"),
)
def get_thumbnail(
    dataset: str, file: Annotated[int, Path(ge=1, le=NUMBER_MAX)], service: Service
) -> Response:
    """One image, small, as a generator would see it."""
    return Response(service.thumbnail(dataset, file), media_type="image/jpeg")


@router.get("/{dataset}/report.html", response_class=HTMLResponse)
def get_report(dataset: str, service: Service) -> HTMLResponse:
    """What was found, as one page that stands alone.  It shows patients' images."""
    record, content = service.content(dataset)
    # The page is its own style; nothing in it may run.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
    return HTMLResponse(html(record, content), headers={"Content-Security-Policy": policy})


@router.delete("/{dataset}", status_code=status.HTTP_204_NO_CONTENT)
def delete(dataset: str, service: Service) -> None:
    """Delete what was made of it: record, index and pictures.  A folder in place stays."""
    service.delete(dataset)
