"""The model library: what there is, its cards and grids, and which one is served by default."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from fastapi.responses import FileResponse

from app.dependencies import AppState, Library, Pool
from app.openapi import file_of, problems
from library.errors import NotFound
from library.reports import list_reports
from library.versions import VERSION_MAX, Broken, Version

router = APIRouter(prefix="/models", tags=["models"])

VersionNumber = Annotated[int, Path(ge=1, le=VERSION_MAX)]


@router.get("")
def list_models(library: Library, state: AppState) -> dict[str, Any]:
    """Every version, also those that cannot be used, with the reason; its newest report."""
    library.refresh()
    try:
        active = library.find(None).reference
    except NotFound:
        active = None
    newest: dict[str, dict[str, Any]] = {}
    for record in list_reports(state.settings.data_dir):
        if record["status"] == "complete":
            newest.setdefault(
                str(record["digest"]), {"id": record["id"], "lights": record["lights"]}
            )
    return {
        "data": [
            {**summary(version, active), "report": newest.get(getattr(version, "digest", ""))}
            for version in library.versions()
        ]
    }


@router.get("/{name}@{version}", responses=problems(409))
def get_model(name: str, version: VersionNumber, library: Library) -> dict[str, Any]:
    """Everything that is recorded of a version (its model.json)."""
    found = library.find_anywhere(f"{name}@{version}")
    return {**found.card, "reference": found.reference, "links": _links(found)}


@router.get(
    "/{name}@{version}/card",
    response_class=Response,
    responses={**problems(409), **file_of("text/markdown")},
)
def get_card(name: str, version: VersionNumber, library: Library) -> FileResponse:
    """The version's card, Markdown."""
    return _file(
        library.find_anywhere(f"{name}@{version}"), "CARD.md", "text/markdown; charset=utf-8"
    )


@router.get(
    "/{name}@{version}/samples.png",
    response_class=FileResponse,
    responses={**problems(409), **file_of("image/png")},
)
def get_grid(name: str, version: VersionNumber, library: Library) -> FileResponse:
    """The grid that was made when the version was published."""
    return _file(library.find_anywhere(f"{name}@{version}"), "samples.png", "image/png")


@router.post("/{name}@{version}/activate", responses=problems(409, 503, 504))
async def activate(name: str, version: VersionNumber, pool: Pool) -> dict[str, Any]:
    """Serve this version where a request names no model.

    It is loaded, warmed and checked beside the one that is served now, and then takes its place
    between two batches: no request fails, and none is answered by both.
    """
    found = await pool.activate(f"{name}@{version}")
    return summary(found, found.reference)


def _file(version: Version, name: str, media_type: str) -> FileResponse:
    path = version.path / name
    if not path.is_file():
        raise NotFound(f"{version.reference} has no {name}.")
    return FileResponse(path, media_type=media_type)


def summary(version: Version | Broken, active: str | None) -> dict[str, Any]:
    identity = {
        "name": version.name,
        "version": version.version,
        "reference": f"{version.name}@{version.version}",
    }
    if isinstance(version, Broken):
        return {**identity, "usable": False, "reason": version.reason}
    training = version.card["training"]
    return {
        **identity,
        "usable": True,
        "active": version.reference == active,
        "digest": version.digest,
        "resolution": version.resolution,
        "labels": version.labels,
        "family": version.card["architecture"]["family"],
        "private": version.private,
        "differential_privacy": guarantee(version.card.get("privacy")),
        "created": version.card["created"],
        "dataset": version.card["dataset"],
        "training": {key: training[key] for key in ("preset", "images", "steps", "seconds")},
        "links": _links(version),
    }


def guarantee(privacy: dict[str, Any] | None) -> dict[str, Any] | None:
    """Epsilon and delta, of a patient or of an image; None for a version without."""
    if not privacy:
        return None
    said, per = (privacy["patient"], "patient") if privacy["patient"] else (privacy, "image")
    return {"epsilon": said["epsilon"], "delta": said["delta"], "per": per}


def _links(version: Version) -> dict[str, str]:
    base = f"/models/{version.reference}"
    return {
        "self": base,
        "card": f"{base}/card",
        "samples": f"{base}/samples.png",
        "reports": f"{base}/reports",
        "interpolate": f"{base}/interpolate",
    }
