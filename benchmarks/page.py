"""What the page costs a browser: until Generate can be used, scrolling, memory of a long run.

    python -m benchmarks.page [--rounds 5]

A service of its own on the bundled models, Debian's Chromium.  The named rival of the first two is
a bare document that holds the same pictures and nothing else: no grid, no form, no script.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page

from tests.service.browser import chromium
from tests.service.conftest import IMAGES, Service

THROTTLE = 4  # times slower than this machine
FEW, MANY = 16, 1000
EPOCHS, STEPS = 500, 100  # an epoch: 50,000 points
SCROLL = """async () => {
  const times = [];
  let last = performance.now();
  const far = document.documentElement.scrollHeight - innerHeight;
  for (let i = 0; i < 180; i += 1) {
    scrollTo(0, (far * i) / 180);
    const now = await new Promise(requestAnimationFrame);
    times.push(now - last);
    last = now;
  }
  return times.slice(5);
}"""


def usable(page: Page, address: str, throttled: int) -> float:
    """Seconds from the navigation until all pictures are drawn and the form takes a click."""
    client = page.context.new_cdp_session(page)
    client.send("Emulation.setCPUThrottlingRate", {"rate": throttled})
    page.goto(address, wait_until="commit")
    page.wait_for_function(
        f"""() => {{
          const all = [...document.querySelectorAll("img[alt^=Synthetic]")];
          return all.length === {FEW} && all.every((img) => img.complete && img.naturalWidth);
        }}""",
        polling="raf",
    )
    seconds: float = page.evaluate("performance.now() / 1000")
    client.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    return seconds


def bare(service: Service, count: int) -> str:
    """A document of the same pictures, by their addresses."""
    listed = service.http.get("/models").json()["data"]
    name = next(each["reference"] for each in listed if each.get("active"))
    pictures = "".join(
        f'<img alt="Synthetic {i}" width=192 height=192 src="/models/{name}/samples/_/{i}.png">'
        for i in range(count)
    )
    return f"<!doctype html><title>bare</title>{pictures}"


def rival(page: Page, service: Service, content: str) -> str:
    """An address that answers with a document of ours, in the service's origin."""
    address = f"{service.url}/bare"
    page.route(address, lambda route: route.fulfill(body=content, content_type="text/html"))
    return address


def frames(page: Page, address: str) -> list[float]:
    page.goto(address)
    page.wait_for_function(
        f"document.querySelectorAll('img[alt^=Synthetic]').length === {MANY}", timeout=300_000
    )
    page.wait_for_timeout(2000)
    found: list[float] = page.evaluate(SCROLL)
    return found


def heap(page: Page) -> float:
    """MB of JavaScript objects that live after a collection."""
    client: CDPSession = page.context.new_cdp_session(page)
    client.send("HeapProfiler.collectGarbage")
    client.send("Performance.enable")
    metrics: list[dict[str, Any]] = client.send("Performance.getMetrics")["metrics"]
    used: float = next(m["value"] for m in metrics if m["name"] == "JSHeapUsedSize")
    return used / 1e6


def long_run(service: Service, folder: Path) -> str:
    """A run's page address, whose numbers are those of 500 epochs of 100 steps."""
    shutil.copytree(IMAGES, folder / "roots" / "set")
    job = service.ended(service.train(folder / "roots" / "set")["id"])
    path = service.data_dir / "runs" / job["id"] / "metrics.jsonl"
    written = [json.loads(line) for line in path.read_text().splitlines()]
    model = next(line for line in written if line["scope"] == "epoch")
    lines = []
    for epoch in range(1, EPOCHS + 1):
        for step in range(STEPS):
            done = (epoch - 1) * STEPS + step + 1
            changed = {"epoch": epoch, "epochs": EPOCHS, "step": done, "images": 8 * done}
            share = {"fraction": done / (EPOCHS * STEPS), "loss_d": 1 + (done % 97) / 97}
            lines.append(json.dumps({**model, **changed, **share, "scope": "step"}))
        lines.append(json.dumps({**model, **changed, **share}))
    path.write_text("\n".join(lines) + "\n")
    return f"{service.url}/ui/runs/{job['id']}"


def row(name: str, ours: list[float], theirs: list[float], unit: str) -> str:
    mine, other = statistics.median(ours), statistics.median(theirs)
    return f"| {name} | {mine:.2f} {unit} | {other:.2f} {unit} | {mine / other:.2f} |"


def measured(browser: Browser, do: Callable[[Page], Any]) -> Any:
    """On a page of its own: nothing is in its cache."""
    # What waits for the pictures is evaluated, which the page's policy forbids.
    context = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
    try:
        return do(context.new_page())
    finally:
        context.close()


def first_use(browser: Browser, service: Service, content: str | None, throttled: int) -> float:
    """Of the Generate page, or of a document instead of it."""

    def do(page: Page) -> float:
        ours = f"{service.url}/?count={FEW}&seed=0"
        return usable(page, ours if content is None else rival(page, service, content), throttled)

    found: float = measured(browser, do)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = range(parser.parse_args().rounds)
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser:
        folder = Path(temporary)
        (folder / "data").mkdir()
        service = Service(folder / "data", folder / "roots")
        service.start()
        try:
            few, many = bare(service, FEW), bare(service, MANY)
            print("| | the page | the same pictures alone | ratio |\n|---|---|---|---|")
            for throttled in (1, THROTTLE):
                ours, theirs = [], []
                for _ in rounds:
                    ours.append(first_use(browser, service, None, throttled))
                    theirs.append(first_use(browser, service, few, throttled))
                slow = f", CPU {throttled} times slower" if throttled > 1 else ""
                print(row(f"Generate can be used{slow}", ours, theirs, "s"), flush=True)
            address = f"{service.url}/?count={MANY}&seed=0"
            ours = measured(browser, lambda p: frames(p, address))
            theirs = measured(browser, lambda p: frames(p, rival(p, service, many)))
            print(row(f"a frame while {MANY} pictures scroll", ours, theirs, "ms"))
            slow_ours, slow_theirs = (statistics.quantiles(t, n=20)[-1] for t in (ours, theirs))
            print(row("… the slowest twentieth", [slow_ours], [slow_theirs], "ms"), flush=True)
            address = long_run(service, folder)

            def run_page(page: Page) -> float:
                page.goto(address)
                page.locator(".plot canvas").nth(1).wait_for()
                page.wait_for_timeout(3000)
                return heap(page)

            used = measured(browser, run_page)
            points = f"{EPOCHS * STEPS:,} points"
            print(f"| heap of a run of {EPOCHS} epochs, {points} | {used:.0f} MB | | |")
        finally:
            service.close()


if __name__ == "__main__":
    main()
