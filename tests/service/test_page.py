"""The page in a real browser (Debian's Chromium): it draws, trains live, and asks nobody else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.service.conftest import TINY, Service

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "CI installs Chromium"
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.set_default_timeout(60_000)
        yield opened
        browser.close()


def test_the_first_visit_shows_sixteen_pictures(service: Service, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.goto(service.url)
    pictures = page.locator("main img[alt^='Synthetic']")
    expect(pictures).to_have_count(16)
    assert "seed 42" in (pictures.first.get_attribute("alt") or "")
    expect(page.get_by_text("not for diagnostic use").first).to_be_visible()
    assert all(url.startswith((service.url, "blob:", "data:")) for url in asked)
    assert complaints == []


def test_a_permalink_makes_the_same_pictures(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/?model=tiny%402&label=NORMAL&count=4&seed=7&truncation=0.8")
    pictures = page.locator("main img[alt^='Synthetic']")
    expect(pictures).to_have_count(4)
    assert pictures.nth(3).get_attribute("alt") == "Synthetic NORMAL, seed 10"


def test_a_run_is_shown_live(service: Service, page: Page, dataset: Path) -> None:
    job = service.train(dataset, epochs=30)
    page.goto(f"{service.url}/ui/runs/{job['id']}")
    expect(page.get_by_text(job["id"]).first).to_be_visible()
    link = page.get_by_role("link", name="Generate with tiny@")
    expect(link).to_be_visible(timeout=180_000)
    expect(page.locator("main svg, main canvas").first).to_be_visible()
    assert TINY["seed"] == job["config"]["seed"]


def test_the_reference_is_drawn_without_a_cdn(service: Service, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{service.url}/docs")
    expect(page.get_by_text("/train-jobs").first).to_be_visible()
    assert all(url.startswith((service.url, "blob:", "data:")) for url in asked)
