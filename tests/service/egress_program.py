"""A service's day without any other machine: python -m tests.service.egress_program FOLDER."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from synthorax import Client
from tests.evaluation.pictures import FEW, split_folders
from tests.service.conftest import TINY, Service, wait_until
from tests.sets import packed

folder = Path(sys.argv[1])
roots = folder / "roots"
roots.mkdir()
archive = packed(split_folders(folder / "chests", *FEW), folder / "chests.zip")
(folder / "data").mkdir()
service = Service(folder / "data", roots)
service.start()
try:
    with Client(service.url) as client:
        batch = client.generate("NORMAL", 4, seed=7)
        assert client.verify(batch[0].png())["verdict"] == "exact"
        client.download(folder / "set.zip", count=20, seed=1, format="dicom")
        dataset = client.datasets.add(archive, "chests")["id"]
        config = {**TINY, "epochs": 1, "conditional": True}
        job = client.train(dataset, "own", "quick", config).wait()
        assert job.model == "own@1"
        wait_until(lambda: client.models.reports("own@1"))
        report = client.models.reports("own@1")[0]["id"]
        assert client.models.report_ended("own@1", report)["status"] == "complete"
        client.models.export("own@1", folder / "own.synthorax", "a test")
    for page in ("/", "/ui/runs", "/docs", "/metrics", "/static/app.js", "/openapi.json"):
        assert service.http.get(page).status_code == 200
finally:
    service.close()
shutil.rmtree(folder / "data")
print("all is well")  # noqa: T201
