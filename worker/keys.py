"""Every key that Synthorax keeps in Redis: its name, its shape, how long it lives.

All begin with `synthorax:`.  The server keeps an append-only file and evicts nothing.

key                     shape   what                                             lives
job:{id}                hash    the record of a train job: the truth about it    until DELETE
job:{id}:events         stream  its events, field `event`: JSON; about 10,000   30 days after end
job:{id}:lease          string  token of the worker that runs it                 the lease, renewed
jobs                    zset    ids by creation (s since 1970)                   until DELETE
jobs:queued             zset    ids by priority, then by the time of queueing    while queued
jobs:running            set     ids of running and cancelling jobs               while running
idempotency:{digest}    string  JSON: digest of the request, id of its job       24 hours
webhooks                zset    ids of ended jobs by the next delivery (s)       until delivered
rates                   hash    digest of networks and device: images a second   for good (a few)
worker:{name}           string  JSON: a worker's heartbeat                       3 heartbeats
gpu:{uuid}              string  name of the worker that has this card            3 heartbeats
sweep                   string  held by the worker that sweeps                   a sweep's pause
dataset:{id}:lease      string  token of the worker that validates it            the lease, renewed
dataset:{id}:attempts   string  validations begun and not ended                  a day
report:{id}:lease       string  token of the worker that makes it                the lease, renewed
report:{id}:attempts    string  evaluations begun and not ended                  a day
shard:{id}:{n}:lease    string  token of the worker that makes shard n of a job  the lease, renewed
shard:{id}:{n}:attempts string  attempts at it begun and not ended               a day
shard:{id}:progress     hash    shard: images of it that are written             a minute
study:{id}:{unit}:lease  string  token of the worker that does that unit         the lease, renewed
study:{id}:{unit}:attempts hash  attempts at it begun, how far on the last began  a week
study:{id}:progress     hash    unit: JSON, its phase and how far it is          a minute
cost:{digest}           string  JSON: what a run would take, or that it is measured  a day
limit:{name}:{who}      string  requests or images of a key (or address) so far  the limit's window
restored                string  identity of the backup that was restored last    for good
restore:*               any     keys of a restore that is under way              until it ends
celery:*                        kombu's own: queues, what is not acknowledged    until acknowledged
"""

from __future__ import annotations

PREFIX = "synthorax:"
CELERY = "synthorax:celery:"

JOBS = f"{PREFIX}jobs"
QUEUED = f"{PREFIX}jobs:queued"
RUNNING = f"{PREFIX}jobs:running"
WEBHOOKS = f"{PREFIX}webhooks"
RATES = f"{PREFIX}rates"
SWEEP = f"{PREFIX}sweep"
RESTORED = f"{PREFIX}restored"
RESTORING = f"{PREFIX}restore:"

EVENTS_KEPT = 10_000  # about, a job; metrics.jsonl in the run folder keeps all
EVENTS_SECONDS = 30 * 86_400  # an ended job's events are kept this long
IDEMPOTENCY_SECONDS = 86_400
DATASET_ATTEMPTS_SECONDS = 86_400
REPORT_ATTEMPTS_SECONDS = 86_400
COST_SECONDS = 86_400
SHARD_ATTEMPTS_SECONDS = 86_400
SHARD_PROGRESS_SECONDS = 60
STUDY_ATTEMPTS_SECONDS = 7 * 86_400  # a generator may take days
STUDY_PROGRESS_SECONDS = 60


def limit(name: str, who: str) -> str:
    return f"{PREFIX}limit:{name}:{who}"


def record(job: str) -> str:
    return f"{PREFIX}job:{job}"


def events(job: str) -> str:
    return f"{PREFIX}job:{job}:events"


def job_lease(job: str) -> str:
    return f"{PREFIX}job:{job}:lease"


def dataset_lease(dataset: str) -> str:
    return f"{PREFIX}dataset:{dataset}:lease"


def dataset_attempts(dataset: str) -> str:
    return f"{PREFIX}dataset:{dataset}:attempts"


def report_lease(report: str) -> str:
    return f"{PREFIX}report:{report}:lease"


def report_attempts(report: str) -> str:
    return f"{PREFIX}report:{report}:attempts"


def shard_lease(job: str, number: int) -> str:
    return f"{PREFIX}shard:{job}:{number}:lease"


def shard_attempts(job: str, number: int) -> str:
    return f"{PREFIX}shard:{job}:{number}:attempts"


def shard_progress(job: str) -> str:
    return f"{PREFIX}shard:{job}:progress"


def unit_lease(study: str, unit: str) -> str:
    return f"{PREFIX}study:{study}:{unit}:lease"


def unit_attempts(study: str, unit: str) -> str:
    return f"{PREFIX}study:{study}:{unit}:attempts"


def study_progress(study: str) -> str:
    return f"{PREFIX}study:{study}:progress"


def idempotency(digest: str) -> str:
    return f"{PREFIX}idempotency:{digest}"


def cost(digest: str) -> str:
    return f"{PREFIX}cost:{digest}"


def worker(name: str) -> str:
    return f"{PREFIX}worker:{name}"


def gpu(uuid: str) -> str:
    return f"{PREFIX}gpu:{uuid}"
