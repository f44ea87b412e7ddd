"""python -m worker [training | light | generation | check]

training    run train jobs and train generators of studies, one at a time: one such worker a GPU
            (CUDA_VISIBLE_DEVICES chooses it)
light       validate datasets, make reports, do studies, deliver webhooks; never waits for a
            training job
generation  make shards of generate jobs: one such worker a GPU (SYNTHORAX_DEVICE)
check       exit status 0 when a worker of this machine has given a sign of life just now
"""

from __future__ import annotations

import argparse
import logging
import socket
import sys
import warnings

from redis.exceptions import RedisError

from library.backup.guard import refuse_half_restored
from library.errors import SynthoraxError
from library.settings import Settings, from_environment
from worker import tracing
from worker.admission import refuse_without_access
from worker.connection import client
from worker.heartbeat import Heartbeat, worker_name, workers
from worker.queue import GENERATION, LIGHT, TRAINING


def main() -> int:
    parser = argparse.ArgumentParser("python -m worker", description=__doc__.split("\n\n")[1])
    parser.add_argument(
        "role", nargs="?", default=TRAINING, choices=(TRAINING, LIGHT, GENERATION, "check")
    )
    role = parser.parse_args().role
    try:
        settings = from_environment()
        return _check(settings) if role == "check" else _work(settings, role)
    except SynthoraxError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except RedisError as error:
        print(f"error: Redis is away ({error})", file=sys.stderr)  # noqa: T201
        return 1


def _work(settings: Settings, queue: str) -> int:
    if not settings.redis_url:
        raise SynthoraxError(
            "SYNTHORAX_REDIS_URL is empty, and a worker needs Redis.",
            remedy="Set it to the address of a Redis or Valkey, or use `synthorax serve`, which "
            "starts its own.",
        )
    tracing.check()
    refuse_half_restored(settings.data_dir)
    refuse_without_access(settings.redis_url)
    name = worker_name(queue)
    if queue == TRAINING:
        _claim_cards(settings, name)

    from worker.app import app

    # Celery warns of pickles read as root, or as a number without a name (a container's user);
    # this worker reads JSON alone.
    warnings.filterwarnings("ignore", "You're running the worker with superuser privileges")
    warnings.filterwarnings("ignore", "An entry for the specified gid or egid was not found")
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool=prefork",
            "--concurrency=1",
            f"--queues={queue}",
            f"--hostname={name}",
            "--loglevel=WARNING",
            "--without-gossip",
            "--without-heartbeat",  # ours says more
            "--without-mingle",
        ]
    )
    return 0


def _claim_cards(settings: Settings, name: str) -> None:
    """Refuse to share a card with another worker.  Without Redis the worker waits for it."""
    try:
        Heartbeat(client(settings.redis_url), settings, TRAINING, name).begin()
    except RedisError:
        logging.getLogger("synthorax.worker").warning("Redis is away; waiting for it")


def _check(settings: Settings) -> int:
    here = [w for w in workers(client(settings.redis_url)) if w["host"] == socket.gethostname()]
    for worker in here:
        print(f"{worker['name']}: seen at {worker['seen_at']}")  # noqa: T201
    return 0 if here else 1


if __name__ == "__main__":
    sys.exit(main())
