"""A service whose studies cost nothing: API, Valkey and workers are real, units are not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.evaluation.pictures import split_folders
from tests.service.alone import Api
from tests.service.conftest import ROOT, wait_until
from tests.valkey import Server

CONFIG: dict[str, Any] = {
    "positive": "SHADOW",
    "name": "shadows",
    "generators": 1,
    "generator": {"preset": "quick"},
    "seed": 3,
}


class Studying(Api):
    """dataset: of two classes, with patients and a split; ready.  folder: where its images are."""

    dataset: str
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def study(self, dataset: Any = None, key: str | None = None, **config: Any) -> dict[str, Any]:
        """Queue a study."""
        body = {"dataset": dataset or self.dataset, "config": {**CONFIG, **config}}
        headers = {"Idempotency-Key": key} if key else {}
        answer = self.http.post("/studies", json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        assert answer.headers["Location"] == f"/studies/{found['id']}"
        return found

    def get(self, study: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/studies/{study}").json()
        return found

    def ended(self, study: str) -> dict[str, Any]:
        wait_until(lambda: self.get(study)["finished_at"] is not None)
        return self.get(study)


@contextmanager
def studying(base: Path, **settings: Any) -> Iterator[Studying]:
    images = split_folders(base / "roots" / "chests")
    (base / "data" / "models").mkdir(parents=True)
    with Server(base) as redis:
        api = Studying(
            base / "data", base, redis_url=redis.url, dataset_roots=base / "roots", **settings
        )
        with api:
            yield from _working(api, images)


def _working(api: Studying, images: Path) -> Iterator[Studying]:
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.study_worker", queue], cwd=ROOT, env=api.environment
        )
        for queue in ("light", "training")
    ]
    try:
        given = {"path": str(images), "choices": {"patient": r"(?:^|/)p(\d+)_"}}
        made = api.http.post("/datasets", json=given)
        assert made.status_code == 202, made.text
        api.dataset, api.folder = made.json()["id"], images
        address = f"/datasets/{api.dataset}"
        wait_until(lambda: api.http.get(address).json()["status"] == "ready")
        yield api
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(60)
