"""The Celery application: one queue of train jobs, JSON only, late acknowledgement."""

from __future__ import annotations

from celery import Celery
from kombu import Queue

from worker.connection import CELERY_PREFIX, celery_url

RUN = "training.run"
VISIBILITY_SECONDS = 14 * 86_400  # a backstop: leases find a dead worker within half a minute


def celery_app(redis_url: str) -> Celery:
    """Celery on a Redis; nothing connects until a message is sent or a worker starts."""
    app = Celery("synthorax", broker=celery_url(redis_url))
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_ignore_result=True,  # the record in Redis is the truth
        task_default_queue="training",
        task_routes={"training.*": {"queue": "training"}},
        task_create_missing_queues=False,
        task_queues=[Queue("training")],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure=True,
        task_acks_on_timeout=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        # With True and Redis a lost connection would lose the job.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=60.0,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            "global_keyprefix": CELERY_PREFIX,
            "socket_connect_timeout": 2.0,
        },
        visibility_timeout=VISIBILITY_SECONDS,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
    )
    return app


def enqueue(app: Celery, job: str) -> None:
    """Send a job to the workers.  Sending it twice is harmless: the lease lets one run it."""
    app.send_task(RUN, [job], queue="training", retry=False)
