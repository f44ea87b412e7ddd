"""A sample's identity: the five facts that decide its pixels, and what is told beside them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from library.digest import canonical_json


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """What the samples of one request share.

    Compared by what it is, not by its fields: encoders remember what an origin costs.
    """

    model: str  # name@version
    version_digest: str
    engine_digest: str
    backend: str  # onnxruntime, torch, cuda
    precision: str  # float32, bfloat16, float16
    truncation: float


class Identity(NamedTuple):
    """One sample: its origin, its class (None for a model without classes) and its seed."""

    origin: Origin
    label: str | None
    seed: int

    def decisive(self) -> dict[str, Any]:
        """The five facts of which the pixels are a function."""
        return {
            "version_digest": self.origin.version_digest,
            "engine_digest": self.origin.engine_digest,
            "label": self.label,
            "seed": self.seed,
            "truncation": self.origin.truncation,
        }

    def facts(self) -> dict[str, Any]:
        """What every file says of itself: the five, and how to read them.  No wall-clock time."""
        return {
            "synthetic": True,
            "model": self.origin.model,
            **self.decisive(),
            "backend": self.origin.backend,
            "precision": self.origin.precision,
        }

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of the five facts, hex: for ETags and DICOM UIDs."""
        before, after = _around_the_seed(self.origin, self.label)
        return hashlib.sha256(b"%b%d%b" % (before, self.seed, after)).hexdigest()


@lru_cache(maxsize=256)
def _around_the_seed(origin: Origin, label: str | None) -> tuple[bytes, bytes]:
    """The canonical JSON of the five facts, cut where the seed stands."""
    content = canonical_json(Identity(origin, label, 0).decisive())
    # Keys are sorted, so that only numbers and digests follow the seed.
    before, name, after = content.rpartition(b'"seed":0')
    return before + name[:-1], after
