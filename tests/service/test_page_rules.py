"""What holds on every page: no accessibility violation, no sideways scroll, bounded scripts."""

from __future__ import annotations

import hashlib
import json
import re
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from library.reader_studies.folder import find
from tests.fake_study import finished
from tests.service.browser import visiting
from tests.service.conftest import ROOT, Service, wait_until
from tests.sets import held_out
from tests.test_reader_studies import read_all

WEB = ROOT / "app" / "web"
SCRIPT_MAX = 150_000  # bytes that a page loads, as they lie on the disk
TARGET_MIN = 24  # CSS pixels
WIDTHS = (1440, 900, 390)
WIDTH_IN_TWO_FRAMES = """() => new Promise((done) => requestAnimationFrame(() =>
  requestAnimationFrame(() => done(document.documentElement.scrollWidth))))"""
Theme = Literal["dark", "light"]


@pytest.fixture(scope="module")
def routes(service: Service, dataset: Path) -> list[str]:
    """Every page, with something on it."""
    jobs = [service.ended(service.train(dataset)["id"])["id"] for _ in range(2)]
    data = service.http.get("/datasets").json()["data"][0]["id"]
    asked = {"count": 100, "shard_images": 100, "model": "tiny@2", "seed": 1}
    assert service.http.post("/generate-jobs", json=asked).status_code == 202
    shown = {"model": "tiny@2", "per_label": 2, "real_images_may_be_shown": True}
    images = held_out(dataset.parent / "held-out", service.data_dir, 3)
    made = service.http.post("/reader-studies", json={**shown, "dataset": images}).json()
    study = f"/reader-studies/{made['id']}"
    links = []
    for name in ("one", "two"):
        links.append(service.http.post(f"{study}/readers", json={"name": name}).json())
    found = find(service.data_dir, made["id"])
    read_all(found, found.readers()[0], 0.8)
    signed, token = {"accepted": True, "signed": "x"}, {"Reader-Token": links[1]["token"]}
    new = service.http.post(f"{study}/readers", json={"name": "three"}).json()
    assert service.http.post("/read/consent", json=signed, headers=token).status_code == 200
    done = finished(service.data_dir, data)
    return [
        "/?model=tiny%402&count=4&seed=7",
        "/ui/runs",
        f"/ui/runs/{jobs[0]}",
        f"/ui/runs/compare?runs={','.join(jobs)}",
        "/ui/models",
        "/ui/models/tiny@2",
        "/ui/models/compare?one=tiny@1&other=tiny@2",
        "/ui/datasets",
        f"/ui/datasets/{data}",
        "/ui/sets",
        "/ui/reader-studies",
        f"/ui{study}",
        links[0]["link"],
        links[1]["link"],
        new["link"],
        "/ui/studies",
        "/ui/studies/new",
        f"/ui/studies/{done.id}",
        "/ui/nothing-here",
    ]


def visit(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("main h1").first).to_be_attached()
    page.wait_for_timeout(700)  # what is asked for after the first paint


def loaded(page: Page) -> list[str]:
    """Addresses of all that a page has fetched."""
    names: list[str] = page.evaluate(
        "performance.getEntriesByType('resource').map((each) => each.name)"
    )
    return names


def test_no_page_breaks_a_rule(service: Service, browser: Browser, routes: list[str]) -> None:
    axe, found = Axe(), []
    everything = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    # What is no matter of colours is the same in both themes.
    rules: dict[Theme, list[str]] = {"dark": everything, "light": ["color-contrast"]}
    with visiting(browser) as page:
        for route in routes:
            page.emulate_media(color_scheme="dark")
            visit(page, service.url + route)
            for theme, width in product(rules, WIDTHS):
                page.emulate_media(color_scheme=theme)
                page.set_viewport_size({"width": width, "height": 900})
                page.wait_for_timeout(200)
                options = {"runOnly": rules[theme]}
                for each in axe.run(page, options=options).response["violations"]:
                    places = [node["target"] for node in each["nodes"]][:3]
                    found.append((route, theme, width, each["id"], places))
    assert not found, "\n".join(map(str, found))


def test_the_inspector_breaks_none_either(service: Service, browser: Browser) -> None:
    with visiting(browser) as page:
        visit(page, f"{service.url}/?model=tiny%402&count=4&seed=7")
        page.get_by_role("button", name="Inspect Synthetic").first.click()
        page.get_by_text("On the way to another seed").click()
        for name in ("Code", "Download"):
            page.get_by_role("button", name=name, exact=True).click()
            broken = Axe().run(page).response["violations"]
            assert not broken, [(each["id"], each["nodes"][0]["target"]) for each in broken]


def test_nothing_scrolls_sideways_and_every_target_is_large_enough(
    service: Service, browser: Browser, routes: list[str]
) -> None:
    small = """() => [...document.querySelectorAll("a, button, input, select, summary")]
      .filter((node) => node.checkVisibility() && !node.closest(".unseen, .skip"))
      .filter((node) => !(node.matches("a") && getComputedStyle(node).display === "inline"))
      .map((node) => {
        // A box's label belongs to what can be touched.
        const box = node.matches("[type=checkbox], [type=radio]");
        const area = (box && node.closest("label, .check, .caption, .run-first")) || node;
        const { width, height } = area.getBoundingClientRect();
        return [node.outerHTML.slice(0, 90), width, height];
      })
      .filter(([, width, height]) => width > 0 && Math.min(width, height) < LEAST)"""
    small = small.replace("LEAST", str(TARGET_MIN - 0.5))
    broken: list[tuple[Any, ...]] = []
    with visiting(browser, viewport={"width": 320, "height": 700}) as page:
        for route in routes:
            page.set_viewport_size({"width": 320, "height": 700})
            visit(page, service.url + route)
            broken += [(route, *each) for each in page.evaluate(small)]
            for width in (320, 700, 1000, 1280):
                page.set_viewport_size({"width": width, "height": 700})
                wide = page.evaluate(WIDTH_IN_TWO_FRAMES)  # plots are drawn anew
                broken += [(route, width, wide)] if wide > width else []
    assert not broken, "\n".join(map(str, broken))


def test_a_page_loads_a_bounded_amount_of_script(
    service: Service, browser: Browser, routes: list[str]
) -> None:
    with visiting(browser) as page:
        for route in routes:
            visit(page, service.url + route)
            if page.locator("#service").count():  # whose script is the last to come
                wait_until(lambda: any(name.endswith("/service-state.js") for name in loaded(page)))
            names = loaded(page)
            scripts = {name for name in names if name.endswith(".js")}
            sizes = {name: len(service.http.get(name).content) for name in scripts}
            assert 0 < sum(sizes.values()) <= SCRIPT_MAX, (route, sum(sizes.values()), sizes)


def test_a_thousand_pictures_stay_in_reach(service: Service, browser: Browser) -> None:
    with visiting(browser) as page:
        page.goto(f"{service.url}/?model=tiny%402&count=1000&seed=0")
        expect(page.locator(".tile img")).to_have_count(1000, timeout=120_000)
        page.locator(".tile img").last.scroll_into_view_if_needed()
        expect(page.locator(".tile img").last).to_have_attribute("alt", re.compile("seed 999$"))


def test_what_is_vendored_is_what_the_list_says() -> None:
    listed = json.loads((WEB / "vendor" / "VENDOR.json").read_text())
    files = {name: digest for each in listed for name, digest in each["files"].items()}
    there = {
        str(path.relative_to(WEB / "vendor"))
        for path in (WEB / "vendor").rglob("*")
        if path.is_file()
    }
    assert there == {*files, "VENDOR.json"}
    for name, digest in files.items():
        assert hashlib.sha256((WEB / "vendor" / name).read_bytes()).hexdigest() == digest, name
    for each in listed:
        assert each["licence"]
        assert each["integrity"].startswith("sha512-")


def test_no_file_of_the_page_names_another_host() -> None:
    for path in WEB.rglob("*"):
        if path.suffix not in (".js", ".css", ".html") or "vendor" in path.parts:
            continue
        hosts = re.findall(r"https?://[^\s\"'`)]+", path.read_text())
        assert [h for h in hosts if "www.w3.org" not in h] == [], path


def test_every_module_is_short() -> None:
    for path in WEB.rglob("*.js"):
        if "vendor" not in path.parts:
            assert len(path.read_text().splitlines()) <= 400, path
