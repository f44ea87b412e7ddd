"""What keys, limits and logs cost a request: POST /generate with a generator that costs nothing.

    python -m benchmarks.guard [--rounds 5] [--seconds 4] [--connections 16]

Rounds alternate between services that differ in one thing; each is compared with the one without a
guard of the same round.  Needs wrk.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx

from app.main import Service, create_app
from app.server import run
from benchmarks import wrk
from benchmarks.rivals import HOST, REFERENCE
from benchmarks.rivals.synthorax_server import NullBackend
from library.keys import entries, new_key
from library.settings import LOOPBACK, Settings
from library.versions import ModelLibrary
from tests.valkey import Server

PORT = 8171
VARIANTS = ("no guard", "no keys", "keys", "keys, limits in Redis", "keys, a log line each")
FREE = 1_000_000  # requests a minute: more than are made


def serve(variant: str, port: int) -> int:
    """One service; the key's entry and the address of Redis come by the environment."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            port=port,
            data_dir=Path(folder),
            cpu_threads=1,
            allowed_hosts=tuple(LOOPBACK),
            device="cpu",
            encoder_processes=1,
        )
        if "keys" in variant and variant != "no keys":
            settings = replace(settings, api_keys=entries(os.environ["GUARD_KEY"]))
        if "limits" in variant:
            url = os.environ["GUARD_REDIS"]
            settings = replace(settings, redis_url=url, requests_a_minute=FREE)
        if "log" in variant:
            settings = replace(settings, log="json")
        ModelLibrary(settings.models).activate(REFERENCE)
        app = create_app(settings, lambda version, _: NullBackend(version))
        assert isinstance(app, Service)
        if variant == "no guard":
            app.door = app.inside
        return run(app, settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=16)
    asked = parser.parse_args()
    key, secret = new_key("benchmark", "generate")
    seen: dict[str, list[wrk.Load]] = defaultdict(list)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(Server(folder))
        environment = {**os.environ, "GUARD_KEY": key.entry, "GUARD_REDIS": redis.url}
        ports = {variant: PORT + i for i, variant in enumerate(VARIANTS)}
        for variant, port in ports.items():
            command = [sys.executable, "-m", "benchmarks.guard", "serve", variant, str(port)]
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.send_signal, signal.SIGTERM)
        for port in ports.values():
            ready(port)
        for _ in range(asked.rounds):
            for variant, port in ports.items():
                url = f"http://{HOST}:{port}/generate"
                found = wrk.run(url, asked.connections, asked.seconds, key=secret)
                assert not found.errors
                assert not found.non_2xx
                seen[variant].append(found)
    print(f"{asked.connections} connections\n")
    print("| | requests/s | of those without | microseconds a request more | p99 ms |")
    print("|---|---|---|---|---|")
    for variant, loads in seen.items():
        bare = seen[VARIANTS[0]]
        share = statistics.median(a.rps / b.rps for a, b in zip(loads, bare, strict=True))
        more = statistics.median(
            1e6 / a.rps - 1e6 / b.rps for a, b in zip(loads, bare, strict=True)
        )
        rate = statistics.median(load.rps for load in loads)
        tail = statistics.median(load.p99_ms for load in loads)
        print(f"| {variant} | {rate:,.0f} | {share:.2f} | {more:.0f} | {tail:.2f} |")


def ready(port: int) -> None:
    while True:
        try:
            if httpx.get(f"http://{HOST}:{port}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        sys.exit(serve(sys.argv[2], int(sys.argv[3])))
    main()
