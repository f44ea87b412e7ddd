"""From a request to encoded samples, on the engine's thread."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from app import png
from app.engine.pool import EnginePool
from app.engine.sampler import Sample, Sampler
from app.generate.schemas import GenerateRequest
from library.digest import digest_json
from library.latents import SEED_MAX
from library.versions import ModelLibrary, Version, label_index


@dataclass(frozen=True)
class Rendered:
    """One sample as a PNG, with its identity."""

    seed: int
    label: str | None
    width: int
    height: int
    sha256: str
    png: bytes
    etag: str


@dataclass(frozen=True)
class Answer:
    version: Version
    sampler: Sampler
    images: list[Rendered]


class GenerateService:
    def __init__(self, pool: EnginePool, library: ModelLibrary) -> None:
        self._pool = pool
        self._library = library

    async def generate(self, request: GenerateRequest) -> Answer:
        """Raises NotFound or Unusable for the model, InvalidValue for a label, Busy."""
        version = self._library.find(request.model)
        return await self.render(version, samples_of(request, version), request.truncation)

    async def render(
        self, version: Version, samples: Sequence[Sample], truncation: float
    ) -> Answer:
        def task(sampler: Sampler) -> Answer:
            return Answer(version, sampler, _encode(sampler, samples, truncation))

        return await self._pool.work(version, len(samples), task)


def samples_of(request: GenerateRequest, version: Version) -> list[Sample]:
    """The samples that a request names.  Raises InvalidValue for a label the model lacks."""
    if request.items is not None:
        return [
            Sample(item.seed, label_index(version, item.label, f"items.{i}.label"))
            for i, item in enumerate(request.items)
        ]
    label = label_index(version, request.label)
    first = request.seed
    if first is None:
        first = secrets.randbelow(SEED_MAX + 2 - request.count)
    return [Sample(first + i, label) for i in range(request.count)]


def identity(
    version: Version, engine: str, label: str | None, seed: int, truncation: float
) -> dict[str, object]:
    """The five facts that decide a sample's pixels."""
    return {
        "version_digest": version.digest,
        "engine_digest": engine,
        "label": label,
        "seed": seed,
        "truncation": truncation,
    }


def _encode(sampler: Sampler, samples: Sequence[Sample], truncation: float) -> list[Rendered]:
    version = sampler.version
    labels = sampler.labels(samples)
    samples = [Sample(s.seed, label) for s, label in zip(samples, labels, strict=True)]
    images = sampler.render(samples, truncation)
    names = [version.labels[i] if version.labels else None for i in labels]
    rendered = []
    for sample, name, pixels in zip(samples, names, images, strict=True):
        facts = identity(version, sampler.digest, name, sample.seed, truncation)
        provenance = {"synthetic": True, "model": version.reference, **facts}
        height, width = pixels.shape
        rendered.append(
            Rendered(
                seed=sample.seed,
                label=name,
                width=width,
                height=height,
                sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
                png=png.encode(pixels, provenance),
                etag=f'"{digest_json(facts)[:32]}"',
            )
        )
    return rendered
