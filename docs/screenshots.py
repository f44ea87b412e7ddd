"""The README's pictures of the page, from a running service.

python docs/screenshots.py http://127.0.0.1:8000 [JOB]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parent / "img"


def main() -> None:
    url, job = sys.argv[1], (sys.argv[2:] or [None])[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="dark")
        page.goto(url)
        page.locator("main img").nth(15).wait_for()
        page.screenshot(path=IMAGES / "generate.png")
        if job is not None:
            page.goto(f"{url}/ui/runs/{job}")
            page.locator("main img").first.wait_for()
            page.wait_for_timeout(2000)  # the history of events is being drawn
            page.screenshot(path=IMAGES / "run.png")
        browser.close()


if __name__ == "__main__":
    main()
