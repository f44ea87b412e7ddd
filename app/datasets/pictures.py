"""Pictures of a dataset: before and after the loader, thumbnails, the paper's augmentation."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from app.datasets.service import DatasetService
from app.dependencies import AppState
from app.openapi import file_of, problems
from library.config import Augmentation
from library.datasets.choices import resolve
from library.datasets.opened import Opened
from library.datasets.sheets import (
    PAPER_AUGMENTATION,
    View,
    augmented,
    before_after,
    chosen,
    contact,
)
from library.datasets.validation import SHEET
from library.decoding.pool import Decoders
from library.errors import Busy

router = APIRouter(
    prefix="/datasets",
    tags=["datasets"],
    responses={**problems(409, 503), **file_of("image/png")},
)

_SECONDS = 20.0  # a file: these pictures are waited for
_slots = threading.Semaphore(2)  # made at once: each starts decoder processes of its own

Resolution = Annotated[int, Query(ge=16, le=512, description="pixels")]
Count = Annotated[int, Query(ge=1, le=32, description="images")]
Seed = Annotated[int, Query(ge=0, le=2**53 - 1, description="other images for other seeds")]


def _service(state: AppState) -> DatasetService:
    return DatasetService(state.settings, state.jobs, state.celery)


Service = Annotated[DatasetService, Depends(_service)]


@router.get("/{dataset}/sheet.png", response_class=Response)
def get_sheet(
    dataset: str,
    service: Service,
    state: AppState,
    resolution: Resolution | None = None,
    fit: Literal["pad", "crop", "stretch"] | None = None,
    window: Literal["file", "range"] | None = None,
    border: Annotated[float | None, Query(ge=0, le=0.25)] = None,
    corner: Annotated[float | None, Query(ge=0, le=0.5)] = None,
    seed: Seed | None = None,
    count: Count | None = None,
) -> Response:
    """Files as they lie there, beside what the generator will see of them.

    Without parameters: as the dataset was validated.  With some: as it would be with these.
    """
    record, content = service.content(dataset)
    given = {"fit": fit, "window": window, "border": border, "corner": corner}
    asked = {name: value for name, value in given.items() if value is not None}
    if not asked and resolution is None and seed is None and count is None:
        return _png((content / SHEET).read_bytes())
    choices = resolve({**record["choices"], **asked})
    with _opened(state, record) as (opened, decoders):
        in_place = opened.root is not None
        view = View(
            resolution or 64, choices.fit, choices.window if in_place else "file", choices.mask
        )
        rows = chosen(opened.index, count or 8, seed or 0)
        before = "stored" if in_place else "file"
        return _png(before_after(rows, opened.location, view, decoders, before))


@router.get("/{dataset}/augmentation.png", response_class=Response)
def get_augmentation(
    dataset: str,
    service: Service,
    state: AppState,
    resolution: Resolution = 256,
    rotation: Annotated[float, Query(ge=0, le=180)] = PAPER_AUGMENTATION.rotation,
    crop: Annotated[float, Query(ge=0, le=0.5)] = PAPER_AUGMENTATION.crop,
    scale: Annotated[float, Query(ge=0, le=0.5)] = PAPER_AUGMENTATION.scale,
    flip: bool = PAPER_AUGMENTATION.flip,
    seed: Seed = 0,
    count: Annotated[int, Query(ge=1, le=12)] = 4,
) -> Response:
    """The paper's figure 2 for this dataset: each change alone, and all together."""
    record, _ = service.content(dataset)
    rule = Augmentation(rotation=rotation, crop=crop, scale=scale, flip=flip)
    with _opened(state, record) as (opened, decoders):
        choices = opened.choices
        view = View(resolution, choices.fit, opened.window, choices.mask)
        rows = chosen(opened.index, count, seed)
        return _png(augmented(rows, opened.location, view, decoders, rule, seed))


@router.get("/{dataset}/thumbnails.png", response_class=Response)
def get_thumbnails(
    dataset: str,
    service: Service,
    label: str | None = None,
    flag: Annotated[str | None, Query(pattern="^[a-z]{1,20}$")] = None,
    count: Annotated[int, Query(ge=1, le=600)] = 120,
) -> Response:
    """A contact sheet of accepted images, of one label or flag, or of all."""
    return _png(contact(service.thumbnails(dataset, label, flag, count)))


@contextmanager
def _opened(state: AppState, record: dict[str, Any]) -> Iterator[tuple[Opened, Decoders]]:
    if not _slots.acquire(timeout=_SECONDS):
        raise Busy("Other pictures of datasets are being made.", remedy="Ask again in a moment.")
    try:
        with (
            Opened(state.settings.data_dir, record) as opened,
            Decoders(2, seconds=_SECONDS) as decoders,
        ):
            yield opened, decoders
    finally:
        _slots.release()


def _png(content: bytes) -> Response:
    # Images of patients: nobody in between may keep them.
    return Response(content, media_type="image/png", headers={"Cache-Control": "no-store"})
