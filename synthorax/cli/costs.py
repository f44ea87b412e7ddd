"""What a train job will take, said before it starts."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console

from synthorax import Client

_GIVE_UP = 240.0  # s; a light queue that is busy answers later


def tell_cost(
    client: Client, dataset: str, preset: str | None, config: dict[str, Any], console: Console
) -> None:
    """Measure on the worker's machine, and say it in one line."""
    began = time.monotonic()
    with console.status("Measuring how long this will take (half a minute; --no-estimate skips)"):
        found = client.estimate(dataset, preset, config)
        while found["status"] == "measuring" and time.monotonic() - began < _GIVE_UP:
            time.sleep(1)
            found = client.estimate(dataset, preset, config)
    console.print(sentence(found))


def sentence(found: dict[str, Any]) -> str:
    if found["status"] == "failed":
        return f"How long it will take could not be measured: {found['reason']}"
    if found["status"] == "measuring":
        return "How long it will take could not be measured: the worker is busy."
    threads = f", {found['threads']} thread(s)" if found["device"] == "cpu" else ""
    return (
        f"About {duration(found['seconds'])} on this worker ({found['device']}{threads}): "
        f"{found['images']:,} images at {found['images_per_second']:g} a second, "
        f"{found['memory_bytes'] / 2**30:.1f} GiB of memory."
    )


def duration(seconds: float) -> str:
    if seconds < 90:
        whole = max(1, round(seconds))
        return f"{whole} second{'' if whole == 1 else 's'}"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
