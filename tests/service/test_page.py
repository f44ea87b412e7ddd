"""The page in a real browser: pictures, permalinks, the inspector, keys, downloads."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from tests.service.browser import BREAKS
from tests.service.conftest import Service, wait_until

PICTURES = "main img[alt^='Synthetic']"


def shown(place: Locator) -> NDArray[np.uint8]:
    """What stands on the screen, (h, w, 3)."""
    with Image.open(io.BytesIO(place.screenshot())) as picture:
        return np.asarray(picture.convert("RGB"))


def test_the_first_visit_shows_sixteen_pictures(service: Service, page: Page) -> None:
    page.goto(service.url)
    pictures = page.locator(PICTURES)
    expect(pictures).to_have_count(16)
    assert "seed 42" in (pictures.first.get_attribute("alt") or "")
    expect(page.get_by_text("not for diagnostic use").first).to_be_visible()


def test_a_permalink_makes_the_same_pictures(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/?model=tiny%402&label=NORMAL&count=4&seed=7&truncation=0.8")
    pictures = page.locator(PICTURES)
    expect(pictures).to_have_count(4)
    assert pictures.nth(3).get_attribute("alt") == "Synthetic NORMAL, seed 10"


def test_what_was_typed_is_drawn_and_the_history_leads_back(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/?model=tiny@2&count=4&seed=7&truncation=1")
    pictures = page.locator(PICTURES)
    expect(pictures).to_have_count(4)
    page.get_by_label("Seed of the first").fill("20")
    page.get_by_text("Advanced").click()
    page.get_by_role("spinbutton", name="Truncation").select_text()
    page.keyboard.type("0.7")
    page.keyboard.press("Control+Enter")
    expect(page).to_have_url(re.compile("seed=20&truncation=0.7$"))
    page.get_by_text("History (2)").click()
    page.get_by_role("link", name="from 7").click()
    expect(page).to_have_url(re.compile("seed=7&truncation=1$"))
    expect(pictures.first).to_have_attribute("alt", re.compile("seed 7$"))


def test_two_versions_are_compared_under_their_own_names(service: Service, page: Page) -> None:
    held: list[Route] = []
    page.route("**/models/compare?*tiny*", lambda route: held.append(route))
    page.goto(f"{service.url}/ui/models/compare?one=chest-xray-turbo@2&other=chest-xray-dcgan@2")
    table = page.get_by_role("region", name="Differences")
    for name in ("chest-xray-turbo@2", "chest-xray-dcgan@2"):
        expect(table.get_by_role("columnheader", name=name)).to_be_visible()
    with page.expect_request("**/models/compare?*tiny*"):
        page.get_by_label("The other").select_option("tiny@1")
    expect(page.get_by_text("Comparing …")).to_be_visible()
    expect(table).to_have_count(0)
    held[0].continue_()
    expect(page.get_by_role("alert")).to_contain_text("no complete report")
    expect(table).to_have_count(0)


def test_wrong_input_is_told_beside_its_field(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/?model=tiny%402&count=4&seed=7")
    expect(page.locator(PICTURES)).to_have_count(4)
    page.get_by_role("spinbutton", name="Images").fill("0")
    page.get_by_role("button", name="Generate").click()
    box = page.get_by_role("spinbutton", name="Images")
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(box).to_be_focused()
    expect(page.get_by_text("Use a whole number from 1 to 1000.")).to_be_visible()
    expect(page.locator(PICTURES)).to_have_count(4)  # what was there stays


@pytest.mark.parametrize(
    ("window", "level", "inverted"), [(256, 128, False), (100, 90, False), (40, 200, True)]
)
def test_the_window_is_dicom_s_linear_one(
    service: Service, page: Page, window: int, level: int, inverted: bool
) -> None:
    """PS3.3 C.11.2.1.2, to one grey level; no tint, no stretching."""
    page.goto(f"{service.url}/?model=tiny%402&count=2&seed=7")
    page.get_by_role("button", name="Inspect Synthetic").first.click()
    inspector = page.get_by_role("complementary", name="Inspector")
    inspector.get_by_label("Window", exact=True).first.fill(str(window))
    inspector.get_by_label("Window", exact=True).first.press("Enter")
    inspector.get_by_label("Level", exact=True).first.fill(str(level))
    inspector.get_by_label("Level", exact=True).first.press("Enter")
    if inverted:
        inspector.get_by_role("button", name="Invert").click()
    picture = page.locator(".grid img").first
    page.mouse.move(0, 0)
    seen = shown(picture)
    source = picture.evaluate(
        """async (img) => {
             const canvas = document.createElement("canvas");
             canvas.width = img.naturalWidth; canvas.height = img.naturalHeight;
             const drawing = canvas.getContext("2d");
             drawing.drawImage(img, 0, 0);
             return [...drawing.getImageData(0, 0, canvas.width, canvas.height).data];
           }"""
    )
    levels = np.array(source, np.float64).reshape(64, 64, 4)[:, :, 0]
    wanted = np.clip(((levels - (level - 0.5)) / (window - 1) + 0.5) * 255, 0, 255)
    wanted = 255 - wanted if inverted else wanted
    height, width, _ = seen.shape
    assert height == width
    assert width % 64 == 0
    assert (seen.max(2) == seen.min(2)).all()  # grey stays grey
    times = width // 64
    small = seen[times // 2 :: times, times // 2 :: times, 0]
    assert np.abs(small - wanted).max() <= 1


def test_the_keyboard_alone_generates_inspects_and_selects(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/?model=tiny%402&count=6&seed=7")
    pictures = page.locator(PICTURES)
    expect(pictures).to_have_count(6)
    first = page.locator("[data-index='0']")
    for _ in range(60):
        page.keyboard.press("Tab")
        if first.evaluate("node => node === document.activeElement"):
            break
    expect(first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-index='1']")).to_be_focused()
    page.keyboard.press("x")
    expect(page.get_by_label("Select seed 8")).to_be_checked()
    page.keyboard.press("Enter")
    inspector = page.get_by_role("complementary", name="Inspector")
    expect(inspector.get_by_role("heading", name="Seed 8")).to_be_visible()
    page.keyboard.press("+")
    expect(inspector.get_by_text("2 ×")).to_be_visible()
    enlarged = inspector.get_by_role("region", name="the arrow keys move it")
    enlarged.focus()
    before = enlarged.evaluate("node => node.scrollLeft")
    page.keyboard.press("ArrowRight")
    wait_until(lambda: enlarged.evaluate("node => node.scrollLeft") > before)
    expect(inspector.get_by_role("heading", name="Seed 8")).to_be_visible()
    page.keyboard.press("i")
    expect(inspector.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(inspector).to_have_count(0)
    expect(page.locator("[data-index='1']")).to_be_focused()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard")
    expect(sheet).to_be_visible()
    sheet.get_by_role("button", name="Single-key shortcuts on").click()
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    page.keyboard.press("x")
    expect(page.get_by_label("Select seed 8")).to_be_checked()  # switched off: nothing happens


def test_each_class_has_the_same_seeds_in_rows_of_its_own(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/?model=chest-xray-turbo%402&classes=each&count=3&seed=7")
    pictures = page.locator(PICTURES)
    expect(pictures).to_have_count(6)
    named = pictures.evaluate_all("all => all.map((img) => img.alt)")
    assert named == [
        f"Synthetic {label}, seed {seed}" for label in ("NORMAL", "PNEUMONIA") for seed in (7, 8, 9)
    ]
    tops = pictures.evaluate_all("all => all.map((img) => img.getBoundingClientRect().top)")
    assert tops[0] == tops[2] < tops[3] == tops[5]
    page.locator("[data-index='1']").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("[data-index='4']")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.locator("[data-index='1']")).to_be_focused()
    page.get_by_role("button", name="Download", exact=True).click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="ZIP of PNG").click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert sum(name.endswith(".png") for name in archive.namelist()) == 6
    page.get_by_role("button", name="Code", exact=True).click()
    page.get_by_label("Command line").check(force=True)
    expect(page.get_by_label("The same request: Command line")).to_contain_text(
        "for label in 'NORMAL' 'PNEUMONIA'"
    )
    page.get_by_label("Images of each").fill("501")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Use a whole number from 1 to 500.")).to_be_visible()


def test_words_leave_the_picture_but_for_what_it_is(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/?model=tiny%402&count=2&seed=7")
    page.get_by_role("button", name="Inspect Synthetic").first.click()
    corners = page.locator(".corner")
    expect(corners).to_have_count(4)
    page.keyboard.press("o")
    expect(corners).to_have_text(["SYNTHETIC"])


def test_two_pictures_are_compared(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/?model=tiny%402&count=4&seed=7")
    for seed in (7, 9):
        page.get_by_label(f"Select seed {seed}").check()
    page.get_by_role("button", name="Compare").click()
    dialog = page.get_by_role("dialog", name="Compare two images")
    expect(dialog.locator("img")).to_have_count(2)
    dialog.get_by_label("Swipe").check(force=True)
    dialog.get_by_label("Where the first ends, percent").fill("20")
    dialog.get_by_label("Where the first ends, percent").press("Enter")
    style = dialog.locator("img").nth(1).evaluate("node => node.style.clipPath")
    assert style == "inset(0px 0px 0px 20%)"
    dialog.get_by_label("Blink").check(force=True)
    dialog.get_by_role("button", name="Pause").click()
    expect(dialog.locator("img")).to_have_count(1)


def test_the_selected_are_downloaded_with_their_manifest(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/?model=tiny%402&count=4&seed=7")
    for seed in (8, 10):
        page.get_by_label(f"Select seed {seed}").check()
    page.get_by_role("button", name="Download", exact=True).click()
    page.evaluate(BREAKS)
    page.get_by_role("button", name="ZIP of PNG").click()
    expect(page.get_by_role("alert")).to_contain_text("The server did not answer.")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="ZIP of PNG").click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert sum(name.endswith(".png") for name in archive.namelist()) == 2
        assert any("manifest" in name for name in archive.namelist())


def test_a_dropped_picture_says_what_it_is(service: Service, page: Page, tmp_path: Path) -> None:
    picture = service.http.get("/models/tiny@2/samples/NORMAL/77.png?truncation=0.9")
    path = tmp_path / "picture.png"
    path.write_bytes(picture.content)
    page.goto(f"{service.url}/?model=tiny%401&count=4&seed=7")
    expect(page.locator(PICTURES)).to_have_count(4)
    page.get_by_label("A picture made here").set_input_files(path)
    expect(page.locator(PICTURES)).to_have_count(1)
    assert page.locator(PICTURES).get_attribute("alt") == "Synthetic NORMAL, seed 77"
    assert "truncation=0.9" in page.url


def test_the_way_to_another_seed_is_drawn(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/?model=tiny%402&count=2&seed=7")
    page.get_by_role("button", name="Inspect Synthetic").first.click()
    inspector = page.get_by_role("complementary", name="Inspector")
    large = inspector.locator(".large img")
    before = large.get_attribute("src")
    inspector.get_by_text("On the way to another seed").click()
    inspector.get_by_label("To seed").fill("99")
    inspector.get_by_role("button", name="Draw").click()
    place = inspector.get_by_label("Place on the way, number")
    expect(place).to_have_value("0")
    place.fill("15")
    place.press("Enter")
    assert large.get_attribute("src") not in (before, None)
    expect(inspector.get_by_text("has no report made on this server")).to_be_visible()


def test_the_reference_is_drawn_without_a_cdn(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/docs")
    expect(page.get_by_text("/train-jobs").first).to_be_visible()


def test_dragging_on_a_picture_sets_its_window(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/?model=tiny%402&count=2&seed=7")
    page.get_by_role("button", name="Inspect Synthetic").first.click()
    inspector = page.get_by_role("complementary", name="Inspector")
    box = inspector.locator(".large").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 56, y + 20)
    page.mouse.up()
    expect(inspector.get_by_label("Window", exact=True).first).to_have_value("200")
    expect(inspector.get_by_label("Level", exact=True).first).to_have_value("148")
    page.keyboard.press("Space")
    expect(inspector.get_by_label("Window", exact=True).first).to_have_value("256")
