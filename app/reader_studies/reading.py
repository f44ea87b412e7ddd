"""What a reader's link opens: consent, one image after the other, answers, the reader's result.

The link's secret comes in a header, which the page takes from behind the # of its own address: so
it is in no log of any server or proxy, and no other page's script can send it.

Every image is answered by the same steps, with the same headers and length, and without the marks
that every other image of this service has: they would be the answer (docs/how-to.md).
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path as FilePath
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Header, Path, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from app.access.callers import caller
from app.access.gate import Unauthorized
from app.dependencies import AppState
from app.openapi import file_of, problems
from app.reader_studies.schemas import AnswerRequest, ConsentRequest, ReaderResult, Reading
from app.reader_studies.service import state_of
from library.errors import Conflict
from library.reader_studies.design import ITEMS_MAX
from library.reader_studies.folder import Reader, ReaderStudy, by_token
from library.reader_studies.results import of_reader

PAGE = FilePath(__file__).parent.parent / "web" / "read" / "read.html"
router = APIRouter(prefix="/read", tags=["reading"], responses=problems(401, 409, 429))
page = APIRouter()

Place = Annotated[int, Path(ge=0, lt=2 * ITEMS_MAX, description="of the image, from 0")]
# no-transform: what a proxy compresses would have a size that tells of the pixels.
_HEADERS = {"Cache-Control": "no-store, no-transform"}


class NoLink(Unauthorized):
    title = "A reader's link is needed"
    challenge = 'Reader-Token realm="reader study"'


class _Link(NamedTuple):
    study: ReaderStudy
    reader: Reader

    def opened(self, what: str, **about: Any) -> None:
        self.study.opened(self.reader.id, what, **about)


async def _link(
    state: AppState,
    token: Annotated[
        str, Header(alias="Reader-Token", description="of the reader's link, behind its #")
    ] = "",  # nosec B107
) -> _Link:
    found = await run_in_threadpool(by_token, state.settings.data_dir, token)
    if found is None:
        raise NoLink(
            "The link is not, or no longer, one of a reader study here.",
            field="Reader-Token",
            remedy="Open the whole link that you were given, or ask for a new one.",
        )
    link = _Link(*found)
    who = caller.get()
    if who is not None and who.scope is None:  # for the audit log: nobody was known before
        caller.set(replace(who, name=f"reader {link.reader.id}"))
    return link


Link = Annotated[_Link, Depends(_link)]


@page.api_route("/read", methods=["GET", "HEAD"], include_in_schema=False)
def reading_page() -> FileResponse:
    return FileResponse(PAGE, headers={"Cache-Control": "no-store"})


@router.get("/state", response_model=Reading)
def get_state(link: Link, response: Response) -> Any:
    """How far the reader is."""
    link.opened("state")
    response.headers.update(_HEADERS)
    return state_of(link.study, link.study.log(link.reader).read())


@router.post("/consent", response_model=Reading)
def consent(request: ConsentRequest, link: Link) -> Any:
    """Accept the study's consent text.  No image is shown before."""
    _check_open(link)
    text = sha256(link.study.record["design"]["consent"].encode()).hexdigest()
    progress = link.study.log(link.reader).consent(request.signed, text)
    link.opened("consent")
    return state_of(link.study, progress)


@router.get("/images/{position}", response_class=Response, responses=file_of("image/png"))
def get_image(position: Place, link: Link) -> Response:
    """The image at a place of the reader's own order: the one to be judged, the one before, whose
    answer can be taken back, or the next, so that it is there in time.  409 for others."""
    _check_open(link)
    progress = link.study.log(link.reader).read()
    at = len(progress.answers)
    if progress.consent is None:
        raise Conflict("The reader has not consented yet.", remedy="Consent first.")
    if progress.finished_at or not at - 1 <= position <= at + 1 or position >= progress.total:
        raise Conflict(
            f"The image {position} is not shown now.",
            field="position",
            value=position,
            remedy=f"{at} of {progress.total} images have an answer.",
        )
    content = link.study.item(link.reader.order[position])
    link.opened("image", position=position)
    return Response(content, media_type="image/png", headers=_HEADERS)


@router.post("/answers", response_model=Reading)
def answer(request: AnswerRequest, link: Link) -> Any:
    """Answer the image to be judged.  It is on the disk when this answers; sent again, because the
    answer was lost, it counts once."""
    _check_open(link)
    given = request.model_dump(exclude={"position"})
    progress = link.study.log(link.reader).answer(request.position, given)
    return state_of(link.study, progress)


@router.delete("/answers/{position}", response_model=Reading)
def undo(position: Place, link: Link) -> Any:
    """Take the last answer back, until the next one is given."""
    _check_open(link)
    return state_of(link.study, link.study.log(link.reader).undo(position))


@router.post("/finish", response_model=Reading)
def finish(link: Link) -> Any:
    """The end: answers stand.  409 before the last one."""
    _check_open(link)
    progress = link.study.log(link.reader).finish()
    link.opened("finished")
    return state_of(link.study, progress)


@router.get("/result", response_model=ReaderResult)
def get_result(link: Link, response: Response) -> Any:
    """How the reader did, in sum.  409 before the end; which image was what is never told."""
    found = of_reader(link.study, link.reader)
    link.opened("result")
    response.headers.update(_HEADERS)
    return found


def _check_open(link: _Link) -> None:
    if link.study.closed_at is not None:
        raise Conflict(
            "This reader study is closed.", remedy="Thank you: no more answers are needed."
        )
