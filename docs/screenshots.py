"""The README's pictures of the page, in both themes, from a running service.

python docs/screenshots.py http://127.0.0.1:8000 [NAME …]

Shows what is there: the newest run, the served version, the first dataset, the newest study.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "img"
WAIT_MS = 2500  # what is asked for after the first paint


def routes(url: str) -> dict[str, str]:
    """File name -> address."""

    def first(path: str) -> dict[str, Any] | None:
        data = httpx.get(f"{url}{path}", timeout=60).json()["data"]
        return next((each for each in data if each.get("active", True)), None)

    found = {
        "generate": "/?count=16&seed=42",
        "runs": "/ui/runs",
        "models": "/ui/models",
        "datasets": "/ui/datasets",
    }
    jobs = httpx.get(f"{url}/train-jobs?limit=2", timeout=60).json()["data"]
    if jobs:
        found["run"] = f"/ui/runs/{jobs[0]['id']}"
    if len(jobs) > 1:
        found["runs-compared"] = f"/ui/runs/compare?runs={jobs[0]['id']},{jobs[1]['id']}"
    if model := first("/models"):
        found["model"] = f"/ui/models/{model['reference']}"
    if dataset := first("/datasets"):
        found["dataset"] = f"/ui/datasets/{dataset['id']}"
    if study := first("/studies"):
        found["study"] = f"/ui/studies/{study['id']}"
    return found


def inspect(page: Page) -> None:
    page.locator("[data-index='0']").click()
    page.wait_for_timeout(WAIT_MS)


def main() -> None:
    url, *only = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for theme in ("dark", "light"):
            page = browser.new_page(
                viewport={"width": 1440, "height": 900},
                color_scheme=theme,
            )
            for name, path in routes(url).items():
                if only and name not in only:
                    continue
                page.goto(url + path)
                page.locator("main h1").first.wait_for(state="attached")
                page.wait_for_timeout(WAIT_MS)
                page.screenshot(path=IMAGES / f"page-{name}-{theme}.png")
            if not only or "inspector" in only:
                page.goto(f"{url}/?count=16&seed=42")
                page.locator("[data-index='15']").wait_for()
                inspect(page)
                page.screenshot(path=IMAGES / f"page-inspector-{theme}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
