"""Debian's Chromium for the page's tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WAIT_MS = 60_000
# The next answer to a POST begins, and breaks off in its body.
BREAKS = """() => {
  const whole = window.fetch;
  window.fetch = async (path, options) => {
    const answer = await whole(path, options);
    if (options?.method !== "POST") return answer;
    window.fetch = whole;
    const body = new ReadableStream({ start: (its) => its.error(new TypeError("broken off")) });
    return new Response(body, { status: answer.status, headers: answer.headers });
  };
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "CI installs Chromium"
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class Visit:
    """A page that reaches nothing but this machine, and what it complained of."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        options.setdefault("viewport", {"width": 1280, "height": 900})
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.complaints: list[str] = []
        self.refused: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._said)
        self.context.route("**/*", self._only_here)

    def _said(self, message: Any) -> None:
        # The browser's own words on an answer such as 409 are no fault of the page.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    def _only_here(self, route: Route) -> None:
        parts = urlsplit(route.request.url)
        if parts.hostname == "127.0.0.1" or parts.scheme in ("data", "blob"):
            route.continue_()
        else:
            self.refused.append(route.request.url)
            route.abort()

    def close(self) -> None:
        self.context.close()
        assert not self.complaints, self.complaints
        assert not self.refused, self.refused


@contextmanager
def visiting(browser: Browser, **options: Any) -> Iterator[Page]:
    visit = Visit(browser, **options)
    yield visit.page
    visit.close()
