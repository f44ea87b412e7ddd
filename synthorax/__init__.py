"""Seeded, class-labelled synthetic chest X-rays: the client of a Synthorax service.

    from synthorax import Client

    with Client() as client:
        batch = client.generate("PNEUMONIA", count=16, seed=42)
        batch.images  # (16, H, W) uint8

Names are imported when they are first used: `import synthorax` costs next to nothing, and torch
comes with `Client.dataset` alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthorax._async.client import AsyncClient as AsyncClient
    from synthorax._async.jobs import AsyncJob as AsyncJob
    from synthorax._sync.client import Client as Client
    from synthorax._sync.jobs import Job as Job
    from synthorax.batch import Batch as Batch
    from synthorax.batch import Sample as Sample
    from synthorax.errors import Busy as Busy
    from synthorax.errors import Conflict as Conflict
    from synthorax.errors import ConnectionFailed as ConnectionFailed
    from synthorax.errors import EngineChanged as EngineChanged
    from synthorax.errors import InvalidRequest as InvalidRequest
    from synthorax.errors import JobFailed as JobFailed
    from synthorax.errors import NotAllowed as NotAllowed
    from synthorax.errors import NotFound as NotFound
    from synthorax.errors import ServerError as ServerError
    from synthorax.errors import StatusError as StatusError
    from synthorax.errors import SynthoraxError as SynthoraxError
    from synthorax.samples import SampleSet as SampleSet

_FROM = {
    "synthorax._async.client": ("AsyncClient",),
    "synthorax._async.jobs": ("AsyncJob",),
    "synthorax._sync.client": ("Client",),
    "synthorax._sync.jobs": ("Job",),
    "synthorax.batch": ("Batch", "Sample"),
    "synthorax.errors": (
        "Busy", "Conflict", "ConnectionFailed", "EngineChanged", "InvalidRequest", "JobFailed",
        "NotAllowed", "NotFound", "ServerError", "StatusError", "SynthoraxError",
    ),
    "synthorax.samples": ("SampleSet",),
}  # fmt: skip
_PLACES = {name: module for module, names in _FROM.items() for name in names}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
