"""A job record as the API shows it."""

from __future__ import annotations

from typing import Any

from worker.estimates import Wait


def shown(record: dict[str, Any], wait: Wait | None) -> dict[str, Any]:
    """The fields of schemas.TrainJob; `wait` is a queued job's."""
    request = record["request"]
    base = f"/train-jobs/{record['id']}"
    webhook = record["webhook"]
    return {
        "id": record["id"],
        "status": record["status"],
        "created_at": record["created_at"],
        "request_id": record.get("request_id"),
        "started_at": record.get("started_at"),
        "finished_at": record.get("finished_at"),
        "attempt": record["attempt"],
        "ends": record["ends"],
        "ran_seconds": record["ran_seconds"],
        "worker": record.get("worker"),
        "preset": request["preset"],
        "config": request["config"],
        "dataset": request["dataset"],
        "publish_as": request["model"],
        "metadata": request["metadata"],
        "labels": request["labels"],
        "priority": request["priority"],
        "max_seconds": request["max_seconds"],
        "report": request.get("report", True),
        "publish_if": request.get("publish_if", "any"),
        "cloned_from": request["cloned_from"],
        "finishing": record["finish"],
        "queue_position": wait.position if wait else None,
        "waiting": wait.as_dict() if wait else None,
        "progress": record["progress"],
        "metrics": record["metrics"],
        "model": record.get("model"),
        "error": record["error"],
        "webhook": webhook and {"status": webhook["status"], "attempts": webhook["attempts"]},
        "links": {
            "self": base,
            "events": f"{base}/events",
            "metrics": f"{base}/metrics",
            "checkpoints": f"{base}/checkpoints",
            "cancel": f"{base}/cancel",
            "finish": f"{base}/finish",
            "resume": f"{base}/resume",
            "clone": f"{base}/clone",
            "dataset": f"/datasets/{request['dataset']['id']}",
        },
    }
