"""Every route says which scope it needs, and none needs less than what it does is worth."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.access.scopes import OPEN, RULES, needed
from app.main import create_app
from library.settings import Settings

EXAMPLES = {
    "name": "chest", "version": "1", "label": "NORMAL", "seed": "7", "dataset": "ds-1",
    "job": "job-1", "report": "rp-1", "epoch": "3", "file": "a.png", "figure": "loss",
    "kind": "png",
}  # fmt: skip


def routes(folder: Path) -> list[str]:
    document = create_app(Settings(data_dir=folder)).openapi()
    return [f"{method.upper()} {path}" for path, found in document["paths"].items()
            for method in found]  # fmt: skip


def test_every_route_is_named_by_a_rule(tmp_path: Path) -> None:
    for route in routes(tmp_path):
        method, path = route.split()
        there = re.sub(r"\{(\w+)\}", lambda m: EXAMPLES.get(m[1], "x"), path)
        assert any(method in methods and re.fullmatch(rule, there) for methods, rule, _ in RULES), (
            route
        )


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/health/live", OPEN),
        ("GET", "/health/ready", OPEN),
        ("POST", "/generate", "generate"),
        ("GET", "/models/a@1/samples/NORMAL/7.png", "generate"),
        ("GET", "/models/a@1/samples/NORMAL/7/nearest", "train"),
        ("GET", "/models/a@1/samples/NORMAL/7/nearest.png", "train"),
        ("GET", "/models/a@1/reports/rp-1", "generate"),
        ("GET", "/models/a@1/reports/rp-1/operator/pairs.html", "admin"),
        ("GET", "/models/a@1/export", "admin"),
        ("POST", "/models", "admin"),
        ("POST", "/models/a@1/activate", "admin"),
        ("POST", "/models/a@1/reports", "train"),
        ("DELETE", "/models/a@1", "admin"),
        ("GET", "/datasets/ds-1/images/0.png", "train"),
        ("POST", "/train-jobs", "train"),
        ("GET", "/train-jobs/job-1/events", "train"),
        ("POST", "/withdrawals", "admin"),
        ("GET", "/workers", "train"),
        ("GET", "/ui/models", "generate"),
        ("GET", "/static/app.js", "generate"),
        ("GET", "/metrics", "generate"),
        # What no rule knows.
        ("GET", "/new", "admin"),
        ("PUT", "/generate", "admin"),
        ("GET", "/health/live/", "admin"),
        ("GET", "//datasets", "admin"),
        ("POST", "/models/a@1/../../datasets", "admin"),
    ],
)
def test_what_a_request_needs(method: str, path: str, scope: str | None) -> None:
    assert needed(method, path) == scope
