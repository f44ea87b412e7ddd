"""Large sets on the page: made, looked at, fetched, deleted."""

from __future__ import annotations

import hashlib
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.service.conftest import Service


def test_a_set_is_made_fetched_and_deleted(service: Service, page: Page) -> None:
    page.goto(f"{service.url}/ui/sets?model=tiny%402")
    expect(page.get_by_role("heading", name="No sets")).to_be_visible()
    form = page.get_by_role("form", name="New set")
    form.get_by_label("Images").fill("ten")
    form.get_by_role("button", name="Make the set").click()
    expect(form.get_by_text("Use a whole number from 1 to 10,000,000.")).to_be_visible()
    # A class that the next model lacks is no wish to have all classes drawn.
    form.get_by_label("Classes").select_option("PNEUMONIA")
    form.get_by_label("Model").select_option("chest-xray-findings@1")
    expect(form.get_by_label("Classes")).to_have_value("turns")
    form.get_by_label("Model").select_option("tiny@2")
    form.get_by_label("Classes").select_option("turns")
    form.get_by_label("Images").fill("120")
    form.get_by_label("First seed").fill("7")
    form.get_by_label("Shards").select_option("zip")
    form.get_by_role("button", name="Make the set").click()
    row = page.get_by_role("list", name="Large sets").get_by_role("listitem")
    expect(row.get_by_text("120 images", exact=True)).to_be_visible()
    expect(row.get_by_text("succeeded")).to_be_visible(timeout=60_000)
    (job,) = service.http.get("/generate-jobs").json()["data"]
    assert job["labels"] == service.http.get("/models/tiny@2").json()["labels"]
    row.get_by_role("button", name="Files").click()
    files = page.get_by_role("dialog", name=f"Files of {job['id']}")
    with page.expect_download() as download:
        files.get_by_role("link", name="shard-000000.zip").click()
    (shard,) = service.http.get(f"/generate-jobs/{job['id']}/shards").json()["data"]
    content = Path(download.value.path()).read_bytes()
    assert hashlib.sha256(content).hexdigest() == shard["sha256"]
    files.get_by_role("button", name="Close").click()
    row.get_by_role("button", name="Delete").click()
    sure = page.get_by_role("dialog", name="Delete this set?")
    expect(sure.get_by_role("button", name="Keep it")).to_be_focused()
    page.route("**/generate-jobs/*", lambda route: route.abort(), times=1)
    sure.get_by_role("button", name="Delete").click()
    expect(sure.get_by_role("alert")).to_contain_text("The server did not answer.")
    sure.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="No sets")).to_be_visible()
    assert service.http.get("/generate-jobs").json()["data"] == []
