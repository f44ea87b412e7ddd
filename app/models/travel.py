"""Versions as files: out of this server, and into it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from app.datasets.receiving import receive_raw
from app.dependencies import AppState, Library, Receiving
from app.models.routes import VersionNumber, summary
from app.openapi import file_of, problems
from library.atomic import append_json, new_folder
from library.errors import Conflict, InvalidValue
from library.settings import Settings
from library.travel import pack, unpack
from library.versions import REFERENCE, ModelLibrary, Version

router = APIRouter(prefix="/models", tags=["models"])
MEDIA_TYPE = "application/zip"
DEPARTURES = "departures.jsonl"  # below the data folder: which private version left, and who let it
_ABANDONED = 86_400  # seconds
# What training/export.py makes, and no more: no loop, no branch, no operator from elsewhere.
OPERATORS = frozenset(
    "Add Cast Concat Conv ConvTranspose Gather Gemm Identity LeakyRelu Mul Relu Reshape Resize "
    "Tanh Unsqueeze".split()
)

Approval = Annotated[
    str | None,
    Query(
        min_length=3, max_length=500, description="of a private version: who lets it go, and why"
    ),
]
NewName = Annotated[
    str | None, Query(min_length=1, max_length=64, description="the name that it had, if left out")
]


@router.get(
    "/{name}@{version}/export",
    response_class=FileResponse,
    responses={**problems(409, 507), **file_of(MEDIA_TYPE)},
)
def export(
    name: str, version: VersionNumber, library: Library, state: AppState, approval: Approval = None
) -> FileResponse:
    """A version as one file.  409 for a private one without an approval, which is recorded."""
    found = library.find_anywhere(f"{name}@{version}")
    if found.private:
        if approval is None:
            raise Conflict(
                f"{found.reference} is private: it was trained on data of this server's owner.",
                field="approval",
                remedy="Ask whoever answers for the data, and say who it was and why: ?approval=… "
                "It is recorded.",
            )
        departure = {"time": time.time(), "model": found.reference, "digest": found.digest}
        append_json(state.settings.data_dir / DEPARTURES, {**departure, "approval": approval})
    folder = state.settings.data_dir / "exports"
    folder.mkdir(exist_ok=True, mode=0o700)
    for left in folder.glob("*.part"):  # of a process that was killed
        if time.time() - left.stat().st_mtime > _ABANDONED:
            left.unlink(missing_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as file:
        path = Path(file.name)
        try:
            pack(found, file)
        except BaseException:
            path.unlink()
            raise
    return FileResponse(
        path,
        media_type=MEDIA_TYPE,
        filename=f"{found.name}-{found.version}.synthorax",
        headers={"X-Content-Type-Options": "nosniff"},
        background=BackgroundTask(path.unlink),
    )


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={
        200: {"description": "Exactly these weights are here already", "model": dict[str, Any]},
        **problems(409, 503, 507),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def bring(
    request: Request,
    response: Response,
    state: AppState,
    receiver: Receiving,
    library: Library,
    name: NewName = None,
) -> dict[str, Any]:
    """Publish a file that `export` wrote, under its name's next number.

    Every file's digest, and the version's own from its tensors, are checked; the graph may hold
    the operators of our own exports alone.  200 where exactly these weights are here already.
    """
    if name is not None and not REFERENCE.fullmatch(f"{name}@1"):
        raise InvalidValue(
            f"{name!r} is no name.", field="name", value=name, remedy="Use a-z, 0-9, . _ and -."
        )
    async with receiver.incoming() as archive:
        await receive_raw(request.stream(), archive)
        await archive.finish()
        made, version = await run_in_threadpool(
            _published, archive.path, name, state.settings, library
        )
    library.refresh()
    response.status_code = status.HTTP_201_CREATED if made else status.HTTP_200_OK
    response.headers["Location"] = f"/models/{version.reference}"
    return summary(version, None)


def _published(
    archive: Path, name: str | None, settings: Settings, models: ModelLibrary
) -> tuple[bool, Version]:
    settings.models.mkdir(parents=True, exist_ok=True, mode=0o700)
    with new_folder(settings.models) as folder:
        card = unpack(archive, folder)
        check_graph(folder / "model.onnx")
        called = name or str(card["name"])
        existing = models.with_digest(called, str(card["digest"]))
        if existing is not None:
            return False, existing
        # A job's id means nothing on another server.
        return True, models.publish(called, folder, {**card, "job": None})


def check_graph(path: Path) -> None:
    """Raise InvalidValue for a graph that ours would never be."""
    import onnx

    refused = "The ONNX graph is not one that Synthorax exports"
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's own, and the checker's
        raise InvalidValue(f"{refused} ({type(error).__name__}).", field="body") from None
    nodes = {node.op_type if not node.domain else f"{node.domain}.{node.op_type}"
             for node in model.graph.node}  # fmt: skip
    if strange := sorted(nodes - OPERATORS) or [f.name for f in model.functions]:
        raise InvalidValue(f"{refused}: it has {', '.join(strange)}.", field="body")
    external = onnx.TensorProto.EXTERNAL
    if any(tensor.data_location == external for tensor in model.graph.initializer):
        raise InvalidValue(f"{refused}: its weights lie elsewhere.", field="body")
