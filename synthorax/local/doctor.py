"""synthorax doctor: what is wrong on this machine, and the remedy."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from library import cpus
from library.errors import SynthoraxError
from library.settings import Settings, from_environment
from library.versions import Broken, ModelLibrary

if TYPE_CHECKING:
    from redis import Redis

DISK_BYTES_MIN = 5 * 2**30  # a paper-sized run with its checkpoints takes about half a GiB


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `ok`, `note` (works, but) or `wrong` with its remedy."""

    level: str
    what: str
    remedy: str = ""


def doctor(console: Console, as_json: bool = False) -> int:
    """Print findings; exit status 1 when something is wrong."""
    try:
        found = list(findings(from_environment()))
    except SynthoraxError as error:
        found = [Finding("wrong", f"settings: {error}")]
    if as_json:
        console.print_json(data=[asdict(finding) for finding in found], indent=None)
    else:
        _print(found, console)
    return int(any(finding.level == "wrong" for finding in found))


def _print(found: list[Finding], console: Console) -> None:
    colours = {"ok": "green", "note": "yellow", "wrong": "red"}
    for finding in found:
        mark = (f"{finding.level:5}", colours[finding.level])
        console.print(Text.assemble(mark, f"  {finding.what}"))
        if finding.remedy:
            console.print(Text.assemble("       ", ("→", "bold"), f" {finding.remedy}"))


def findings(settings: Settings) -> Iterator[Finding]:
    yield from _python()
    yield from _gpu(settings)
    yield from _redis(settings)
    yield from _port(settings)
    yield from _disk(settings)
    yield from _models(settings)


def _python() -> Iterator[Finding]:
    yield Finding("ok", f"Python {platform.python_version()} on {platform.platform(terse=True)}")


def _gpu(settings: Settings) -> Iterator[Finding]:
    card = _nvidia_smi()
    wanted = {settings.device, settings.train_device}
    asked = any(d.startswith("cuda") for d in wanted)
    try:
        import torch
    except ImportError as error:
        yield Finding(
            "wrong",
            f"torch cannot be imported: {error}",
            "Run `make run` again, or `pip install -c constraints.txt -e '.[local]'`.",
        )
        return
    build = f"torch {torch.__version__}, built for CUDA {torch.version.cuda or '(none)'}"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield Finding("ok", f"{build}; it sees {', '.join(names)}")
        return
    driver_loaded = os.path.exists("/proc/driver/nvidia/version")
    if card is None and not driver_loaded and not asked:
        cores = cpus.available()
        yield Finding("ok", f"{build}; no NVIDIA card, so {cores} CPU cores generate and train")
        return
    level = "wrong" if asked or wanted != {"cpu"} else "note"
    if torch.version.cuda is None:
        remedy = (
            "This torch has no CUDA. Install the CUDA build of the same version: "
            "pip install --force-reinstall torch==2.13.0."
        )
    elif card is None:
        remedy = (
            "nvidia-smi fails. Install or reload the NVIDIA driver; in a container use the "
            "nvidia runtime (NVIDIA Container Toolkit)."
        )
    else:
        remedy = (
            f"The driver ({card}) may be too old for CUDA {torch.version.cuda}: renew it; or "
            "set SYNTHORAX_DEVICE=cpu and SYNTHORAX_TRAIN_DEVICE=cpu."
        )
    yield Finding(level, f"{build}; it sees no GPU, although one is present or asked for", remedy)


def _nvidia_smi() -> str | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


def _redis(settings: Settings) -> Iterator[Finding]:
    from redis.exceptions import NoPermissionError, RedisError

    from synthorax.local import valkey
    from worker.admission import refuse_without_access
    from worker.connection import client

    if not settings.redis_url:
        try:
            yield Finding("ok", f"Redis: the embedded server, {Path(valkey.binary()).name}")
        except SynthoraxError as error:
            yield Finding("wrong", error.detail, error.remedy or "")
        with contextlib.suppress(OSError, RedisError):  # it is not running
            address = (settings.data_dir / "redis" / "address").read_text()
            yield from _records(settings, client(address))
        return
    try:
        refuse_without_access(settings.redis_url)
    except SynthoraxError as error:
        yield Finding("wrong", error.detail, error.remedy or "")
        return
    try:
        connection = client(settings.redis_url)
        yield from _records(settings, connection)
        policy = connection.config_get("maxmemory-policy")["maxmemory-policy"]
        if policy == "noeviction":
            yield Finding("ok", "Redis answers, and evicts nothing")
        else:
            yield Finding(
                "wrong",
                f"Redis may evict jobs (maxmemory-policy is {policy})",
                "Set maxmemory-policy to noeviction.",
            )
    except NoPermissionError:
        yield Finding("ok", "Redis answers; what it evicts, this user may not ask")
    except RedisError as error:
        yield Finding(
            "wrong",
            f"Redis does not answer ({error})",
            "Start it, correct SYNTHORAX_REDIS_URL, or leave that empty for the embedded one.",
        )


def _records(settings: Settings, connection: Redis) -> Iterator[Finding]:
    from worker.jobs import JobStore
    from worker.repair import lost

    missing = lost(JobStore(connection), settings.data_dir)
    if missing:
        yield Finding(
            "wrong",
            f"{len(missing)} run folders have no job record in Redis",
            "`synthorax repair` rebuilds the records.",
        )


def _port(settings: Settings) -> Iterator[Finding]:
    with socket.socket() as probe:
        probe.settimeout(1)
        used = probe.connect_ex(("127.0.0.1", settings.port)) == 0
    if used:
        yield Finding(
            "note",
            f"port {settings.port} is in use (by Synthorax, if it is running)",
            "Otherwise set SYNTHORAX_PORT to another port.",
        )
    else:
        yield Finding("ok", f"port {settings.port} is free")


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free for {settings.data_dir}"
    if not os.access(folder, os.W_OK):
        yield Finding(
            "wrong", f"{folder} cannot be written", "Set SYNTHORAX_DATA_DIR to a folder of yours."
        )
    elif free < DISK_BYTES_MIN:
        yield Finding("wrong", text, "Free some space: a full disk ends train jobs.")
    else:
        yield Finding("ok", text)
    for root in settings.dataset_roots:
        if not root.is_dir():
            yield Finding(
                "wrong", f"the dataset root {root} is no folder", "Correct SYNTHORAX_DATASET_ROOTS."
            )


def _models(settings: Settings) -> Iterator[Finding]:
    versions = ModelLibrary(settings.models).versions()
    usable = [v for v in versions if not isinstance(v, Broken)]
    yield Finding(
        "ok" if usable else "wrong",
        f"{len(usable)} usable model version(s)",
        "" if usable else "Restore models/, or train one.",
    )
    for version in versions:
        if isinstance(version, Broken):
            yield Finding("note", f"{version.name}@{version.version} is unusable: {version.reason}")
