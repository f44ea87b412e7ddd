"""Addresses: of a service, and of the page and of samples, read back into what they ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from synthorax.errors import SynthoraxError

_PORTS = {"http": 80, "https": 443}
_SAMPLE = re.compile(r"/models/([^/]+)/samples/([^/]+)/(\d+)\.\w+")


@dataclass(frozen=True)
class Link:
    """A request for samples."""

    model: str | None
    label: str | None
    each: bool  # the same seeds in every class
    count: int
    seed: int | None
    truncation: float


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port that an address leads to, as httpx reads it.  Raises SynthoraxError."""
    try:
        parts = httpx.URL(url)
        port = parts.port or _PORTS[parts.scheme]
        if parts.host and port < 2**16:
            return parts.scheme, parts.host, port
    except (httpx.InvalidURL, KeyError):
        pass
    raise SynthoraxError(
        f"{url!r} is no address of a service.", "SYNTHORAX_URL is one like http://127.0.0.1:8000."
    )


def read_link(link: str) -> tuple[str | None, Link]:
    """The service's address (None: none is in it) and the request.  Raises SynthoraxError."""
    parts = urlsplit(link)
    service = f"{parts.scheme}://{parts.netloc}" if parts.netloc else None
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    try:
        truncation = float(query.get("truncation", 1))
        if sample := _SAMPLE.fullmatch(parts.path):
            label = unquote(sample[2])
            named = None if label == "_" else label
            return service, Link(unquote(sample[1]), named, False, 1, int(sample[3]), truncation)
        if parts.path in ("", "/") and query:
            seed = int(query["seed"]) if "seed" in query else None
            each = query.get("classes") == "each"
            count = int(query.get("count", 16))
            asked = Link(query.get("model"), query.get("label"), each, count, seed, truncation)
            return service, asked
    except ValueError:
        pass
    raise SynthoraxError(
        f"{link!r} names no images.",
        "Give an address that the page's Copy link gave, or one like "
        "/models/NAME@VERSION/samples/LABEL/SEED.png.",
    )
