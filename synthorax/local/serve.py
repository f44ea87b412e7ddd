"""synthorax serve: Valkey, workers and the API, started together, stopped in order."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx

from library import generate_jobs
from library.backup.guard import refuse_half_restored
from library.errors import Conflict, SynthoraxError
from library.locks import hold
from library.settings import Settings, from_environment
from synthorax.local import valkey
from worker import gpus
from worker.admission import refuse_without_access
from worker.queue import GENERATION, LIGHT, TRAINING

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 60  # for the API to answer; a slow disk may take long to import its packages
# Seconds to end after SIGTERM, for the API beside its drain; a worker waits for a checkpoint.
API_SECONDS, WORKER_SECONDS, VALKEY_SECONDS = 10.0, 75.0, 15.0
QUICK_SECONDS, QUICK_MAX = 5.0, 3  # an end so soon after a start, and so often in a row: give up


@dataclass
class Child:
    """One of the processes and how to start it again."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    stop_seconds: float
    pass_fds: tuple[int, ...] = ()
    wanted: Callable[[], bool] | None = None  # it is not started before this says so
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    quick_ends: int = 0

    def start(self) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            pass_fds=self.pass_fds,
            start_new_session=True,  # Ctrl-C is for us; we stop the others in order
            preexec_fn=valkey.die_with_parent if sys.platform == "linux" else None,
        )

    def terminate(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self, until: float) -> None:
        """Wait for its end until a moment (time.monotonic), then kill."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            say(f"{self.name} did not end in time and is killed")
            self.process.kill()
            self.process.wait()


def serve() -> int:
    """Run until Ctrl-C or SIGTERM.  Returns the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a background shell ignores SIGINT for its jobs
        signal.signal(number, _interrupt)
    try:
        settings = from_environment()
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.data_dir.chmod(0o700)
        _only_one(settings)
        refuse_half_restored(settings.data_dir)
        settings.uploads.mkdir(exist_ok=True, mode=0o700)
        _port_is_free(settings)
        refuse_without_access(settings.redis_url)
        return _serve(settings)
    except SynthoraxError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1


def _serve(settings: Settings) -> int:
    sockets = Path(tempfile.mkdtemp(prefix="synthorax-"))  # a socket's path has 104 bytes at most
    children = _children(settings, sockets)
    try:
        for child in children:
            if child.wanted is None:
                child.start()
        _wait_for_api(settings, children)
        say(f"Synthorax is at http://{_shown_host(settings)}:{settings.port}  (Ctrl-C stops it)")
        return _watch(children)
    except KeyboardInterrupt:
        say("stopping; a running train job writes a checkpoint and goes on at the next start")
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for stage in ("api", "worker", "valkey"):
            _stop([child for child in children if child.name.startswith(stage)])
        shutil.rmtree(sockets, ignore_errors=True)


def _children(settings: Settings, sockets: Path) -> list[Child]:
    environment = {"PYTHONPATH": str(ROOT), "SYNTHORAX_DATA_DIR": str(settings.data_dir)}
    children = []
    if settings.redis_url:
        environment["SYNTHORAX_REDIS_URL"] = settings.redis_url
    else:
        folder, path = settings.data_dir / "redis", sockets / "valkey.sock"
        handle = valkey.lock(folder)
        command = valkey.command(folder, path)
        children.append(Child("valkey", command, {}, VALKEY_SECONDS, (handle,)))
        environment["SYNTHORAX_REDIS_URL"] = f"unix://{path}"
    _say_where(settings, environment["SYNTHORAX_REDIS_URL"])
    worker, api = ([sys.executable, "-m", name] for name in ("worker", "app"))
    for index, (name, command, more) in enumerate(_workers(settings, worker)):
        if settings.worker_metrics_port:  # each its own
            more["SYNTHORAX_WORKER_METRICS_PORT"] = str(settings.worker_metrics_port + index)
        children.append(Child(name, command, {**environment, **more}, WORKER_SECONDS))
    children.append(_generation_worker(settings, worker, environment))
    children.append(Child("api", api, environment, settings.drain_seconds + API_SECONDS))
    return children


def _workers(
    settings: Settings, command: list[str]
) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Name, command and environment of each: one for training a card, one for what is small."""
    of_job = settings.train_processes
    cards = [] if settings.train_device == "cpu" else gpus.visible(gpus.installed())
    # Their names last over a restart, and so does a worker's claim on its card.
    port = _apart(settings)
    for i in range(settings.workers or max(1, len(cards) // of_job)):
        more = {"SYNTHORAX_WORKER_NAME": f"training-{i + 1}{port}"}
        own = cards[i * of_job : (i + 1) * of_job]
        if own and settings.train_device == "auto":
            more["CUDA_VISIBLE_DEVICES"] = ",".join(card.uuid for card in own)
        yield f"worker {i + 1}", [*command, TRAINING], more
    yield "worker (light)", [*command, LIGHT], {"SYNTHORAX_WORKER_NAME": f"light{port}"}


def _apart(settings: Settings) -> str:
    """What tells the workers of several services on one Redis apart, in their names."""
    return f"-{settings.port}" if settings.redis_url else ""


def _generation_worker(
    settings: Settings, command: list[str], environment: Mapping[str, str]
) -> Child:
    """Started with the first generate job: most who serve never make one."""
    port = _apart(settings)
    more = {"SYNTHORAX_WORKER_NAME": f"generation{port}"}
    return Child(
        "worker (generation)",
        [*command, GENERATION],
        {**environment, **more},
        WORKER_SECONDS,
        wanted=lambda: bool(generate_jobs.unfinished(settings.data_dir)),
    )


def _say_where(settings: Settings, url: str) -> None:
    """For the commands that reach the embedded server while this runs."""
    folder = settings.data_dir / "redis"
    folder.mkdir(exist_ok=True, mode=0o700)
    handle = os.open(folder / "address", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "w") as file:
        file.write(url)


def _stop(children: list[Child]) -> None:
    """End them side by side."""
    now = time.monotonic()
    for child in children:
        child.terminate()
    for child in children:
        child.wait(now + child.stop_seconds)


def _watch(children: list[Child]) -> int:
    """Start a child again that ended by itself; give up on one that cannot stay up."""
    while True:
        time.sleep(0.5)
        for child in children:
            if child.process is None:
                if child.wanted is not None and child.wanted():
                    child.start()
                continue
            code = child.process.poll()
            if code is None:
                continue
            quick = time.monotonic() - child.started < QUICK_SECONDS
            child.quick_ends = child.quick_ends + 1 if quick else 0
            if child.quick_ends >= QUICK_MAX:
                say(f"{child.name} ended with {code} right after its start again; stopping")
                return 1
            say(f"{child.name} ended with {code} and is started again")
            child.start()


def _wait_for_api(settings: Settings, children: list[Child]) -> None:
    deadline = time.monotonic() + START_SECONDS
    address = f"http://{_shown_host(settings)}:{settings.port}/health/live"
    # Never by way of a proxy that the environment names: the API is on this machine.
    with httpx.Client(timeout=1, trust_env=False) as http:
        while time.monotonic() < deadline:
            for child in children:
                if child.process is not None and child.process.poll() is not None:
                    raise Conflict(
                        f"{child.name} ended with {child.process.returncode} at its start.",
                        remedy="Its own words are above (Valkey's: redis/valkey.log in the data "
                        "folder); `synthorax doctor` may know more.",
                    )
            try:
                http.get(address).raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.05)
    raise Conflict(f"The API did not answer at {address} within {START_SECONDS} s.")


def _only_one(settings: Settings) -> None:
    """One `serve` a data folder.  The handle stays open, and so the lock held, until we end."""
    path = settings.data_dir / "serve.lock"
    handle = hold(path)
    if handle is None:
        raise Conflict(
            f"Synthorax already serves {str(settings.data_dir)!r} ({path.read_text()}).",
            field="SYNTHORAX_DATA_DIR",
            value=str(settings.data_dir),
            remedy="Use that one, stop it, or set SYNTHORAX_DATA_DIR to another folder.",
        )
    os.ftruncate(handle, 0)
    os.write(
        handle, f"process {os.getpid()}, http://{_shown_host(settings)}:{settings.port}".encode()
    )


def _port_is_free(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Conflict(
                f"Port {settings.port} of {settings.host} cannot be used ({error.strerror}).",
                field="SYNTHORAX_PORT",
                value=settings.port,
                remedy="Stop the program that uses it, or set SYNTHORAX_PORT to another port.",
            ) from None


def _shown_host(settings: Settings) -> str:
    # Nothing is bound here: where it listens everywhere, it is called on this machine.
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # nosec B104  # noqa: S104
    host = everywhere.get(settings.host, settings.host)
    return f"[{host}]" if ":" in host else host


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def say(message: str) -> None:
    print(message, flush=True)  # noqa: T201
