"""Pictures of `burstline top` and `burstline serve` for the documentation, from a run that forwards: as root,

python -m tools.screenshots [DIRECTORY]     # docs, when left out
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from burstline.cli.main import main as burstline
from burstline.errors import BurstlineError
from burstline.view.attached import Attached, attach
from burstline.view.terminal.app import Top

HERE = Path(__file__).parent
PATIENCE = 300.0  # seconds
PAST = 45  # seconds of charts
WIDE, NARROW = (1360, 850), (760, 1000)
PAGES = {
    "operate-serve-light": ("overview", WIDE, "light"),
    "operate-pipeline-light": ("pipeline", WIDE, "light"),
    "operate-drops-dark": ("drops", WIDE, "dark"),
    "operate-flows-narrow": ("flows", NARROW, "light"),
}


@contextmanager
def forwarding(place: Path) -> Iterator[Attached]:
    """A run of talkers.py over packets that go round."""
    os.environ["BURSTLINE_STATS"] = str(place / "stats")
    capture = place / "capture.pcap"
    burstline(["gen", str(capture), "--packets", "1500", "--flows", "500"])
    source = f"dpdk:net_pcap0,rx_pcap={capture.name},infinite_rx=1"
    shutil.copy(HERE / "talkers.py", place)
    words = ["run", "talkers.py", source, "--out", "dpdk:net_null1", "--no-huge"]
    path = os.pathsep.join(os.path.abspath(p) for p in sys.path)
    process = subprocess.Popen(
        [sys.executable, "-m", "burstline", *words, "--cores", str(max(os.sched_getaffinity(0)))],
        cwd=place, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(BurstlineError):
                run = attach(str(process.pid))
                if run.snapshot().totals["dropped"].packets:
                    yield run
                    return
            time.sleep(0.2)
        raise SystemExit("the engine does not begin")
    finally:
        process.kill()
        process.wait()


async def picture_top(run: Attached, to: Path) -> None:
    app = Top(run, 0.5)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(12)
        to.joinpath("operate-top.svg").write_text(app.export_screenshot(), encoding="utf-8")
        await pilot.press("5")
        await pilot.pause(3)
        to.joinpath("operate-top-flows.svg").write_text(app.export_screenshot(), encoding="utf-8")


def picture_pages(run: Attached, to: Path) -> None:
    from playwright.sync_api import sync_playwright

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        site = f"http://127.0.0.1:{probe.getsockname()[1]}"
    path = os.pathsep.join(os.path.abspath(p) for p in sys.path)
    server = subprocess.Popen(
        [sys.executable, "-m", "burstline", "serve", str(run.pid), "--listen", site.removeprefix("http://")],
        env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _until_there(site)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for name, (view, (width, height), scheme) in PAGES.items():
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
                )
                page = context.new_page()
                page.goto(f"{site}/#{view}")
                page.wait_for_selector("body[data-ready]")
                if view == "overview":
                    page.wait_for_timeout(1000 * PAST)
                elif view == "pipeline":
                    page.get_by_role("button", name="Measure").click()
                    page.wait_for_function(
                        "() => document.querySelector('.said').textContent.startsWith('measured')",
                        timeout=1000 * PATIENCE,
                    )
                elif view == "drops":
                    page.locator("tr[data-key]").first.click(timeout=1000 * PATIENCE)
                page.wait_for_timeout(2500)
                page.screenshot(path=to / f"{name}.png")
                context.close()
            browser.close()
    finally:
        server.kill()
        server.wait()


def _until_there(site: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(site, timeout=5):
            return
        time.sleep(0.2)
    raise SystemExit("the page is not served")


def main() -> None:
    to = Path(sys.argv[1] if len(sys.argv) > 1 else "docs").resolve()
    with tempfile.TemporaryDirectory() as place, forwarding(Path(place)) as run:
        run.ask("measure", seconds=1.0)
        asyncio.run(picture_top(run, to))
        picture_pages(run, to)


main()
