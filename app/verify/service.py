"""Make the named sample again, and compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from app.engine.loaded import Loaded
from app.engine.pool import EnginePool
from app.formats.encoding import Encoded
from app.generate.samples import SeedRange
from app.generate.schemas import Item
from app.verify.reading import Picture, read
from app.verify.schemas import (
    Difference,
    Engine,
    SampleIdentity,
    Source,
    Verdict,
    Verified,
    VerifyRequest,
)
from library.errors import NotFound, SynthoraxError
from library.identity import Identity
from library.latents import TRUNCATION_MAX
from library.versions import Version, label_index

# How far engines may differ (docs/architecture.md): grey levels, and the share of pixels.
_ROUNDING = {"float32": (1, 0.01), "reduced": (3, 0.4)}
_JPEG_LEVELS = 3  # more, where both were decoded from a JPEG


@dataclass(frozen=True)
class Claim:
    """Which sample a picture is said to be, and by whom."""

    source: Source
    version: Version
    label: str | None
    seed: int
    truncation: float
    engine: str | None = None  # digest
    precision: str | None = None


class _Pixels:
    """The form of one sample that is only looked at."""

    format = None

    def __init__(self) -> None:
        self.levels: NDArray[np.uint8]
        self.identity: Identity

    def chunk(self, part: Encoded) -> bytes:
        self.levels, self.identity = part.levels[0], part.identities[0]
        return b""


async def verify(pool: EnginePool, picture: Picture, request: VerifyRequest | None) -> Verified:
    """Which sample a file is: exact, within rounding of another engine, or unknown.

    The request's own words count where it names a seed, else the file's.
    Raises InvalidValue for a label that the named version lacks, NotFound for a version that the
    request names, and what the engine raises.
    """
    if request is not None and request.seed is not None:
        version = await pool.found(request.model)
        label_index(version, request.label)
        claim = Claim("request", version, request.label, request.seed, request.truncation)
    else:
        if picture.facts is None:
            return _unknown("The file does not say which sample it is, and the request names none.")
        try:
            claim = _told(pool, picture.facts)
        except (NotFound, _Untold) as error:
            return _unknown(str(error), source="file")
    loaded, made = await _again(pool, claim)
    return _compared(picture, claim, loaded, made)


class _Untold(SynthoraxError):
    """A file's facts do not name a sample."""


def _told(pool: EnginePool, facts: dict[str, Any]) -> Claim:
    """What a file says of itself, which anyone may have written."""
    try:
        item = Item.model_validate({"seed": facts.get("seed"), "label": facts.get("label")})
        truncation = float(facts["truncation"])
        digest = str(facts["version_digest"])
    except (ValidationError, KeyError, TypeError, ValueError):
        raise _Untold("The file's provenance names no sample.") from None
    if not 0 < truncation <= TRUNCATION_MAX:
        raise _Untold("The file's provenance names no sample.")
    version = pool.with_digest(digest, str(facts.get("model")))
    if item.label is not None and item.label not in version.labels:
        raise _Untold(f"{version.reference} has no label {item.label!r}.")
    engine, precision = facts.get("engine_digest"), facts.get("precision")
    return Claim(
        "file",
        version,
        item.label,
        item.seed,
        truncation,
        engine if isinstance(engine, str) else None,
        precision if isinstance(precision, str) else None,
    )


async def _again(pool: EnginePool, claim: Claim) -> tuple[Loaded, _Pixels]:
    made = _Pixels()
    async with pool.turn(claim.version, 1) as turn:
        loaded = await pool.ensure(claim.version)
        samples = SeedRange(claim.seed, 1, label_index(claim.version, claim.label))
        turn.begin(loaded, samples, claim.truncation, made)
        while await turn.next() is not None:
            pass
    return loaded, made


def _compared(picture: Picture, claim: Claim, loaded: Loaded, made: _Pixels) -> Verified:
    verdict, detail, difference = _judged(picture, claim, loaded, made)
    backend = loaded.samplers[0].backend
    return Verified(
        verdict=verdict,
        detail=detail,
        difference=difference,
        source=claim.source,
        sample=SampleIdentity(
            model=loaded.version.reference,
            version_digest=loaded.version.digest,
            label=made.identity.label,
            seed=claim.seed,
            truncation=claim.truncation,
        ),
        engine=Engine(
            named=claim.engine,
            here=loaded.engine_digest,
            backend=backend.name,
            precision=backend.precision,
        ),
    )


def _judged(
    picture: Picture, claim: Claim, loaded: Loaded, made: _Pixels
) -> tuple[Verdict, str, Difference | None]:
    wanted = _as_jpeg(made) if picture.lossy else made.levels
    if wanted.shape != picture.levels.shape:
        sizes = " and the sample ".join(
            f"{w} x {h}" for h, w in (picture.levels.shape, wanted.shape)
        )
        return "unknown", f"The file has {sizes} pixels.", None
    apart = np.abs(wanted.astype(np.int16) - picture.levels.astype(np.int16))
    difference = Difference(pixels=int(np.count_nonzero(apart)), largest=int(apart.max()))
    if difference.pixels == 0:
        return "exact", "Every pixel is this sample's.", difference
    if claim.engine == loaded.engine_digest:
        detail = "The file names the engine that is here, whose pixels differ: it was changed."
        return "unknown", detail, difference
    if _within_rounding(difference, picture, claim, loaded.samplers[0].backend.precision):
        return "rounding", "The pixels differ as those of another engine may.", difference
    return "unknown", "The pixels differ by more than rounding.", difference


def _within_rounding(
    difference: Difference, picture: Picture, claim: Claim, precision: str
) -> bool:
    full = {precision, claim.precision or precision} == {"float32"}
    levels, share = _ROUNDING["float32" if full else "reduced"]
    if picture.lossy:  # a grey level before compression moves a block of pixels after it
        levels, share = levels + _JPEG_LEVELS, 1.0
    return difference.largest <= levels and difference.pixels <= share * picture.levels.size


def _as_jpeg(made: _Pixels) -> NDArray[np.uint8]:
    from app.formats.pillow import encode_jpeg

    (content,) = encode_jpeg(made.levels[None], [made.identity])
    return read(content).levels


def _unknown(detail: str, source: Source | None = None) -> Verified:
    return Verified(
        verdict="unknown", detail=detail, source=source, sample=None, engine=None, difference=None
    )
