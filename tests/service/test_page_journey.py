"""A newcomer's way through the page: upload, train, watch, reload, compare, report; and breaks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Dialog, Locator, Page, Route, expect

from tests.evaluation.pictures import FEW, split_folders
from tests.service.browser import visiting
from tests.service.conftest import IMAGES, Service, wait_until
from tests.sets import packed

LONG_MS = 180_000


def test_a_newcomer_uploads_trains_and_reads(service: Service, page: Page, tmp_path: Path) -> None:
    archive = packed(IMAGES, tmp_path / "mine.zip")
    page.goto(f"{service.url}/ui/datasets")
    asked: list[str] = []

    def stays(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", stays)
    held: list[Route] = []
    page.route("**/datasets?name=*", lambda route: held.append(route))
    page.get_by_label("A ZIP of images").set_input_files(archive)
    expect(page.get_by_text("Sending mine")).to_be_visible()
    page.keyboard.press("g")
    assert asked == ["mine is being sent. Leave this page, and stop the upload?"]
    held[0].continue_()
    expect(page.get_by_role("heading", name="mine")).to_be_visible()
    expect(page.get_by_text("Ready")).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_role("row", name="NORMAL").first).to_be_visible()
    expect(page.get_by_alt_text("before and after the loader")).to_be_visible()
    page.get_by_role("link", name="Train on it").click()

    page.get_by_label("Model name").fill("newcomer")
    page.get_by_label("Preset").select_option("quick")
    page.get_by_label("Epochs").fill("3")
    page.get_by_role("button", name="Start").click()
    batch = page.get_by_label("Batch size")
    expect(batch).to_have_attribute("aria-invalid", "true")  # 24 images are less than a batch
    batch.fill("8")
    page.get_by_role("button", name="Start").click()
    expect(page).to_have_url(re.compile("/ui/runs/[^/]+$"))
    expect(page.get_by_alt_text("Synthetic images from the fixed noise, epoch")).to_be_visible(
        timeout=LONG_MS
    )
    page.reload()
    expect(page.get_by_role("link", name="Generate with newcomer@1")).to_be_visible(timeout=LONG_MS)
    expect(page.locator(".plot canvas")).to_have_count(2)
    page.get_by_role("button", name="Data table").click()
    expect(page.get_by_role("rowheader", name="3", exact=True)).to_be_visible()
    page.get_by_role("button", name="Pin epoch 3").click()
    page.get_by_role("button", name="Previous epoch").click()
    # Epoch 3 stays in both places until epoch 2 is decoded: so 2 is waited for first.
    expect(page.get_by_alt_text("epoch 2")).to_be_visible()
    expect(page.get_by_alt_text("epoch 3")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Figures").click()
    assert waiting.value.suggested_filename.endswith("figures.zip")
    table = page.get_by_role("button", name="CSV", exact=True)
    page.route("**/metrics", lambda route: route.fulfill(status=503))
    table.click()
    expect(page.get_by_role("alert")).to_contain_text("The server answered 503")
    page.unroute("**/metrics")
    with page.expect_download() as waiting:
        table.click()
    assert waiting.value.path().read_text().startswith("time,scope,epoch,")

    page.get_by_role("link", name="Its page").click()
    expect(page.get_by_role("heading", name="newcomer@1")).to_be_visible()
    expect(page.get_by_alt_text("Synthetic images of newcomer@1")).to_be_visible()
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_alt_text("of newcomer@1, seed 0")).to_be_visible()


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until it has the focus, which must show."""
    expect(wanted).to_be_visible()
    for _ in range(150):
        if wanted.evaluate("node => node === document.activeElement"):
            assert wanted.evaluate("node => node.matches(':focus-visible')")
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {wanted}")


def entered(page: Page, label: str, text: str) -> None:
    tab_to(page, page.get_by_label(label, exact=True))
    page.keyboard.press("Control+a")
    page.keyboard.type(text)


def pressed(page: Page, role: Literal["button", "link"], name: str) -> None:
    tab_to(page, page.get_by_role(role, name=name, exact=True))
    page.keyboard.press("Enter")


def test_the_keyboard_alone_uploads_trains_and_reads_the_report(
    own_service: Service, browser: Browser, tmp_path: Path
) -> None:
    archive = packed(split_folders(tmp_path / "chests", *FEW), tmp_path / "chests.zip")
    with visiting(browser) as page:
        page.goto(own_service.url)
        expect(page.locator("[data-index='15']")).to_be_visible()
        page.keyboard.press("d")
        with page.expect_file_chooser() as chooser:
            pressed(page, "button", "Choose a ZIP")
        chooser.value.set_files(archive)
        expect(page.get_by_text("Ready")).to_be_visible(timeout=LONG_MS)
        pressed(page, "link", "Train on it")
        entered(page, "Model name", "by-keys")
        tab_to(page, page.get_by_label("Preset"))
        page.keyboard.type("quick")
        expect(page.get_by_label("Preset")).to_have_value("quick")
        entered(page, "Epochs", "1")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("/ui/runs/job-[^/]+$"))
        done = page.get_by_role("link", name="Its page")
        expect(done).to_be_visible(timeout=LONG_MS)
        expect(page.get_by_role("row", name="torch")).to_contain_text("2.")
        page.keyboard.press("Home")  # what scrolls does not lose the keyboard
        pressed(page, "link", "Its page")
        expect(page.get_by_text("There is no overall score.")).to_be_visible(timeout=LONG_MS)
        expect(page.get_by_role("heading", name="by-keys@1")).to_be_focused()
        expect(page.get_by_role("rowheader", name=re.compile("HEALTHY"))).to_be_visible()
        pressed(page, "link", "Compare")
        expect(page.get_by_alt_text("of by-keys@1, seed 0")).to_be_visible()
        page.keyboard.press("g")
        expect(page.locator("[data-index='15']")).to_be_visible()
        pressed(page, "button", "Download")
        with page.expect_download() as waiting:
            pressed(page, "button", "ZIP of PNG")
        assert waiting.value.suggested_filename.endswith(".zip")


def test_a_run_is_cancelled_resumed_and_cloned(service: Service, page: Page, dataset: Path) -> None:
    job = service.train(dataset, epochs=400)
    page.goto(f"{service.url}/ui/runs/{job['id']}")
    expect(page.get_by_text(re.compile("epoch [1-9]")).first).to_be_visible(timeout=LONG_MS)
    epoch = page.get_by_role("slider", name="Epoch", exact=True)
    wait_until(lambda: int(epoch.get_attribute("max") or 0) > 1)
    page.keyboard.press("ArrowLeft")
    shown, newest = epoch.input_value(), int(epoch.get_attribute("max") or 0)
    wait_until(lambda: int(epoch.get_attribute("max") or 0) > newest + 1)
    page.get_by_role("region", name="Log lines").press("End")  # the log's own key
    assert epoch.input_value() == shown
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Keep training").click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel run").click()
    expect(page.get_by_text("Cancelled").first).to_be_visible(timeout=LONG_MS)
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Finish epoch and save").click(timeout=LONG_MS)
    expect(page.get_by_role("link", name="Generate with tiny@")).to_be_visible(timeout=LONG_MS)
    runs = len(service.http.get("/train-jobs").json()["data"])
    page.get_by_role("button", name="Run again").dblclick()  # is one run
    expect(page).not_to_have_url(re.compile(job["id"]))
    again = service.http.get("/train-jobs").json()["data"]
    assert len(again) == runs + 1
    service.http.post(f"/train-jobs/{again[0]['id']}/cancel", json={})
    page.goto(f"{service.url}/ui/runs")
    boxes = page.get_by_role("checkbox", name="Select ")
    if boxes.count() < 2:
        service.ended(service.train(dataset)["id"])
        page.reload()
    boxes.nth(0).check()
    boxes.nth(1).check()
    page.get_by_role("link", name="Compare 2 runs").click()
    expect(page.get_by_role("button", name="Only differences")).to_be_visible()
    expect(page.get_by_role("row", name="epochs done")).to_be_visible()


def test_what_is_missing_is_said(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/ui/runs/job-that-never-was")
    expect(page.get_by_role("alert")).to_contain_text("job-that-never-was")
    page.route(f"{service.url}/models", lambda route: route.fulfill(status=503))
    page.goto(f"{service.url}/ui/models")
    expect(page.get_by_role("alert")).to_contain_text("The server answered 503")
    page.unroute(f"{service.url}/models")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("link", name=re.compile("chest-xray-turbo@")).first).to_be_visible()
    page.goto(f"{service.url}/ui/nothing-here")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
    page.goto(f"{service.url}/ui/runs")
    page.get_by_label("Dataset").select_option("folder")
    page.get_by_label("Folder of images").fill("no/such/folder")
    page.get_by_label("Model name").fill("never")
    found = {"status": "measured", "seconds": 90, "device": "cpu", "images": 9}
    measured = {**found, "images_per_second": 1}
    page.route("**/train-jobs/estimates", lambda route: route.fulfill(json=measured))
    page.get_by_role("button", name="How long will it take?").click()
    cost = page.get_by_text("on this worker")
    expect(cost).to_be_visible()
    page.get_by_label("Epochs").fill("7")  # of which nothing was measured
    expect(cost).to_have_count(0)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_label("Folder of images")).to_have_attribute("aria-invalid", "true")


def test_a_run_is_watched_across_a_restart(
    own_service: Service, browser: Browser, dataset: Path
) -> None:
    """The stream breaks, the page says so, and goes on when the server is back."""
    job = own_service.train(dataset, epochs=60)
    with visiting(browser) as page:
        page.goto(f"{own_service.url}/ui/runs/{job['id']}")
        expect(page.get_by_text(re.compile("epoch [1-9]")).first).to_be_visible(timeout=LONG_MS)
        assert own_service.stop() == 0
        expect(page.get_by_text("Live updates interrupted")).to_be_visible()
        own_service.start()
        wait_until(lambda: own_service.job(job["id"])["finished_at"] is not None)
        expect(page.get_by_role("link", name="Generate with tiny@")).to_be_visible(timeout=LONG_MS)
        expect(page.get_by_text("Live updates interrupted")).to_have_count(0)


def test_another_version_is_served_and_its_bundled_report_read(
    service: Service, page: Page
) -> None:
    page.goto(f"{service.url}/ui/models")
    card = page.locator(".card", has=page.get_by_role("heading", name="tiny@1"))
    card.get_by_role("button", name="Serve by default").click()
    expect(card.get_by_text("served", exact=True)).to_be_visible()
    made = service.http.post("/generate", json={"seed": 1}).json()
    assert (made["model"]["name"], made["model"]["version"]) == ("tiny", 1)
    page.goto(f"{service.url}/ui/models/chest-xray-turbo@2")
    expect(page.get_by_text("There is no overall score.")).to_be_visible()
    expect(page.get_by_role("rowheader", name=re.compile("KID × 1000"))).to_be_visible()
    expect(page.get_by_text("They do not prove anonymity.")).to_be_visible()


def test_the_frame_says_who_is_there(service: Service, page: Page) -> None:
    page.goto(service.url)
    expect(page.locator("#service")).to_contain_text("1 worker · 0 waiting")
