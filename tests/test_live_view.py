"""A running engine, looked at from outside: what is shown is what it does, and it does not stop for that."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from burstline import dpdk
from burstline.engine.stats_reader import RunFile
from burstline.errors import BurstlineError
from burstline.ports.capture_reader import read_capture
from burstline.view.attached import Attached
from burstline.view.client import NotAnswered
from burstline.view.dissect import dissect
from burstline.view.terminal.app import ORDER, Top
from dpdk_live import needs_root
from running_engine import PACKETS, Engine, engine

pytestmark = [needs_root, pytest.mark.skipif(not dpdk.available(), reason="needs DPDK")]
PATIENCE = 240


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    place = tmp_path_factory.mktemp("live")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURSTLINE_STATS", str(place / "stats"))
        before = os.sched_getaffinity(0)
        with engine(place, "--log", "json") as made:
            yield made
        os.sched_setaffinity(0, before)


@pytest.fixture
def run(live: Engine) -> Iterator[Attached]:
    before = os.sched_getaffinity(0)
    attached = live.attached()
    os.sched_setaffinity(0, before)  # the tests stay where they were
    yield attached
    attached.close()


def until(check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError("it does not come to be")


# ---- questions ----


def test_a_snapshot_adds_up_and_has_rates_once_there_are_two(run: Attached) -> None:
    first = run.snapshot()
    assert first.totals["received"].packets > 0 and not first.ended
    snap = until(lambda: (s := run.snapshot()).totals["received"].pps and s.workers[0].fill and s)
    for one in (first, snap):
        ends = one.totals["sent"] + one.totals["consumed"] + one.totals["dropped"]
        assert one.totals["received"].packets == ends.packets
        assert one.totals["received"].bytes == ends.bytes
        assert one.totals["dropped"] == one.drops["blocked"]
    assert 0 < snap.workers[0].load <= 1 and 0 < snap.workers[0].fill <= 256
    assert [port["driver"] for port in snap.ports] == ["net_pcap", "net_null"]
    assert any(pool["in_use"] >= PACKETS for pool in snap.pools)
    assert {each.name for each in snap.counters} == {"small", "large"}


def test_flows_are_read_while_packets_flow(run: Attached) -> None:
    found = run.ask("flows", limit=1000)
    names = [column["name"] for column in found["columns"]]
    assert found["tables"] == ["Flow"] and 0 < found["total"] == found["matched"] == len(found["rows"])
    amounts = [row[names.index("bytes")] for row in found["rows"]]
    assert amounts == sorted(amounts, reverse=True) and amounts[0] > 0
    tcp = run.ask("flows", search="tcp", limit=1000)
    assert 0 < tcp["matched"] < found["total"] and {row[names.index("protocol")] for row in tcp["rows"]} == {6}


def test_edges_and_cycles_are_measured_and_no_packet_is_lost_for_it(run: Attached) -> None:
    measured = run.ask("measure", seconds=0.3)
    packets = {tuple(edge[:4]): edge[4] for edge in measured["edges"]}
    into = packets[(0, 0, "next", "")]
    assert into > 0
    assert packets[(0, 1, "next", "")] + packets[(0, 1, "drop", "blocked")] == into
    names = [cost["name"] for cost in measured["costs"]]
    assert names == ["receive", "parse", "stages", "send", "stage sizes", "stage drop_blocked", "stage count"]
    graph = run.ask("graph")
    assert graph["measured"]["seconds"] >= 0.3
    assert {way["end"]: way["packets"] for way in graph["ways"] if way["end"]}["dropped: blocked"] > 0
    snap = until(lambda: (s := run.snapshot()).costs and s)
    assert snap.totals["received"].packets == sum(snap.totals[n].packets for n in ("sent", "consumed", "dropped"))
    assert all(cost.cycles >= 0 and cost.packets for cost in snap.costs)
    assert any(event["kind"] == "measure" for event in snap.events)
    with pytest.raises(BurstlineError, match="no time to measure"):
        run.ask("measure", seconds=0)


def test_dropped_packets_are_sampled_with_their_reason_and_their_bytes(run: Attached, live: Engine) -> None:
    samples = until(lambda: run.ask("drops"))
    with live.capture.open("rb") as stream:
        known = {bytes(packet.data)[:192] for packet in read_capture(stream, str(live.capture))}
    for sample in samples:
        assert sample["reason"] == "blocked" and bytes.fromhex(sample["data"]) in known
        summary = dissect(bytes.fromhex(sample["data"]), sample["length"])["summary"]
        assert re.match(r"\w+ 10\.0\.(1[2-9]\d|2\d\d)\.\d+", summary), summary
    newest = max(sample["number"] for sample in samples)
    until(lambda: max(sample["number"] for sample in run.ask("drops")) > newest)


def test_a_question_that_is_none_is_refused_and_the_run_goes_on(run: Attached) -> None:
    with pytest.raises(BurstlineError, match="no question is called 'colour'") as caught:
        run.ask("colour")
    assert "flows" in str(caught.value.hint)
    with pytest.raises(BurstlineError, match="not understood"):
        run.ask("flows", limit="many")
    assert run.ask("layout")["records"][0]["name"] == "Flow"


def test_only_its_user_can_ask_a_run(run: Attached) -> None:
    (path,) = run.path.parent.glob("*.sock")
    assert path.stat().st_mode & 0o777 == 0o600


# ---- burstline top ----


def seen(app: Top) -> str:
    """What is on the screen, line by line."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def drive(run: Attached, check: Callable[[Top, Any], Any]) -> None:
    app = Top(run, 0.1)
    async with app.run_test(size=(80, 24)) as pilot:
        await check(app, pilot)


async def wait_for(app: Top, pilot: Any, pattern: str) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        await pilot.pause(0.05)
        if re.search(pattern, text := seen(app)):
            return text
    raise AssertionError(f"{pattern} is not seen:\n{seen(app)}")


PATTERNS = {
    "overview": r"received +[\d,]+ +[\d.]+ [kM]pps",
    "stages": r"Press m|cycles a packet",
    "cores": r"net_null1 +1",
    "pools": r"2,048",
    "flows": r"\d+ of \d+ flows, sorted by bytes",
    "steering": r"Nothing is steered",
    "events": r"start",
}


def test_top_shows_each_view_at_80_by_24_without_a_line_cut(run: Attached) -> None:
    async def check(app: Top, pilot: Any) -> None:
        for key, name in enumerate(ORDER, 1):
            await pilot.press(str(key))
            lines = (await wait_for(app, pilot, PATTERNS[name])).splitlines()
            assert len(lines) == 24 and {len(line) for line in lines} == {80}
            assert re.search(r"app\.py \(\d+\) +up 00:0", lines[0]) and f"{key} {name}" in lines[1]
            assert "quit" in lines[-1]
        await pilot.press("tab")
        assert app.current == "overview"

    asyncio.run(drive(run, check))


def test_top_measures_searches_and_pauses_by_key(run: Attached) -> None:
    async def check(app: Top, pilot: Any) -> None:
        await pilot.press("2", "m")
        await wait_for(app, pilot, r"drop_blocked +[\d,]+ +[\d.]+")
        await pilot.press("slash", *"udp", "enter")
        await wait_for(app, pilot, r"udp")
        until_fewer = r"(\d+) of (\d+) flows"
        found = re.search(until_fewer, await wait_for(app, pilot, r"\b(\d+) of (?!\1 )\d+ flows"))
        assert found and 0 < int(found[1]) < int(found[2])
        await pilot.press("p", "1")
        await wait_for(app, pilot, r"paused")

    asyncio.run(drive(run, check))


def test_top_shows_a_recorded_file(run: Attached, tmp_path: Path) -> None:
    run.snapshot()
    copy = tmp_path / "recorded.stats"
    shutil.copyfile(run.path, copy)
    recorded = Attached(RunFile(copy))

    async def check(app: Top, pilot: Any) -> None:
        text = await wait_for(app, pilot, r"received +[\d,]{4,}")
        assert "its process is gone" in text.splitlines()[0]
        await pilot.press("5")
        await wait_for(app, pilot, "the run does not answer")

    asyncio.run(drive(recorded, check))
    recorded.close()


# ---- burstline serve and burstline metrics ----


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def command(live: Engine, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "burstline", *words],
        env=live.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def get(url: str, **headers: str) -> tuple[int, str, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def answers(url: str, **headers: str) -> bool:
    try:
        return get(url, **headers)[0] in (200, 401)
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.fixture(scope="module")
def site(live: Engine) -> Iterator[str]:
    url = f"http://127.0.0.1:{free_port()}"
    with command(live, "serve", str(live.process.pid), "--listen", url.removeprefix("http://")):
        until(lambda: answers(url))
        yield url


def test_the_page_asks_for_nothing_from_elsewhere(site: str) -> None:
    status, page, headers = get(site)
    assert status == 200 and "default-src 'self'" in headers["content-security-policy"]
    static = Path(__file__).parents[1] / "src/burstline/view/web/static"
    for path in static.iterdir():
        body = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in body and "https:" not in body and "//cdn" not in body
        assert get(f"{site}/static/{path.name}")[0] == 200
    assert 'type="module"' in page


def test_a_name_of_another_site_is_refused(site: str) -> None:
    assert get(f"{site}/api/snapshot", host="evil.example")[0] == 403
    request = urllib.request.Request(f"{site}/api/measure", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=PATIENCE)


def test_snapshots_stream_and_answers_are_json(site: str) -> None:
    with urllib.request.urlopen(f"{site}/api/stream", timeout=PATIENCE) as stream:
        lines = (line.decode() for line in stream)
        snaps = [json.loads(next(line for line in lines if line.startswith("data: "))[6:]) for _ in range(2)]
    assert snaps[1]["totals"]["received"]["packets"] >= snaps[0]["totals"]["received"]["packets"] > 0
    assert json.loads(get(f"{site}/api/flows?search=tcp&limit=3")[1])["matched"] > 0
    status, said, _ = get(f"{site}/api/flows?search=colour")
    assert status == 409 and "nothing that flows are searched by" in json.loads(said)["error"]
    assert get(f"{site}/api/flows?limit=many")[0] == 400
    topology = json.loads(get(f"{site}/api/topology")[1])
    assert "<svg" in topology["svg"] and "worker 0" in topology["svg"]
    assert topology["rows"][0]["what"] == "worker 0"


def test_away_from_loopback_a_token_is_wanted(live: Engine) -> None:
    port = free_port()
    with command(live, "serve", str(live.process.pid), "--listen", f"0.0.0.0:{port}") as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        token = said.strip().partition("?token=")[2]
        assert len(token) > 20
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(url))
        assert get(f"{url}/api/snapshot")[0] == 401
        assert get(f"{url}/api/snapshot", authorization=f"Bearer {token[:-1]}")[0] == 401
        assert get(f"{url}/api/snapshot", authorization=f"Bearer {token}")[0] == 200
        assert get(f"{url}/metrics", authorization=f"Bearer {token}")[0] == 200
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert b"<main" in opener.open(f"{url}/?token={token}", timeout=PATIENCE).read()
        assert opener.open(f"{url}/api/snapshot", timeout=PATIENCE).status == 200


def test_the_token_of_the_environment_is_wanted_on_loopback_too(live: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSTLINE_TOKEN", "of-the-environment")
    url = f"http://127.0.0.1:{free_port()}"
    with command(live, "serve", str(live.process.pid), "--listen", url.removeprefix("http://")):
        until(lambda: answers(url))
        assert get(f"{url}/api/snapshot")[0] == 401
        assert get(f"{url}/api/snapshot", authorization="Bearer of-the-environment")[0] == 200


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
VIEWS = {
    "overview": "blocked", "pipeline": "drop_blocked", "cores": "net_null1", "pools": "2,048", "flows": "tcp",
    "drops": "blocked", "steering": "Nothing is steered", "topology": "worker 0", "layouts": "Flow", "events": "start",
}  # fmt: skip
CUT = """() => [...document.querySelectorAll('.card, h2, .tile .value, .legend')].filter((node) => {
    const box = node.getBoundingClientRect(), inside = getComputedStyle(node).display !== 'inline';
    return box.width && inside && (box.right > innerWidth + 1 || node.scrollWidth > node.clientWidth + 1);
}).map((node) => node.className + ': ' + node.textContent.slice(0, 40))"""
OVERLAP = """() => {
    const boxes = [...document.querySelectorAll('.card')].map((node) => node.getBoundingClientRect());
    const meet = (a, b, from, to) => a[from] < b[to] - 1 && b[from] < a[to] - 1;
    const over = (a, b) => meet(a, b, 'left', 'right') && meet(a, b, 'top', 'bottom');
    return boxes.some((a, k) => boxes.slice(k + 1).some((b) => over(a, b)));
}"""
CONTRAST = """() => {
    const linear = (n) => (n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4);
    const light = (text) => {
        const [r, g, b] = text.match(/[0-9.]+/g).map((n) => linear(n / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const card = light(getComputedStyle(document.querySelector('.card')).backgroundColor);
    const read = ['body', 'th', '.note', '.what', '.bad'].map((name) => document.querySelector(name)).filter(Boolean);
    return read.map((node) => light(getComputedStyle(node).color)).map((ink) =>
        (Math.max(ink, card) + 0.05) / (Math.min(ink, card) + 0.05));
}"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1360, 850), (760, 1000)])
def test_chromium_shows_every_view(site: str, size: tuple[int, int], scheme: Any) -> None:
    """Nothing is cut or lies over something else; what is read stands out (WCAG 2.2, 1.4.3: 4.5 to 1)."""
    from playwright.sync_api import sync_playwright

    troubles: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(site)
        page.wait_for_selector("body[data-ready]")
        for number, (name, words) in enumerate(VIEWS.items(), 1):
            page.keyboard.press(str(number % 10))  # by keyboard alone
            page.wait_for_selector(f"nav a[href='#{name}'][aria-current]")
            page.wait_for_function("words => document.querySelector('main').textContent.includes(words)", arg=words)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                f"{name} is wider than the window"
            )
            assert page.evaluate(CUT) == [] and not page.evaluate(OVERLAP), name
            assert min(page.evaluate(CONTRAST)) >= 4.5, name
            if name == "drops":
                row = page.locator("tr[data-key]").first
                row.focus()
                page.keyboard.press("Enter")
                page.wait_for_function("() => document.querySelector('main').textContent.includes('RFC 791')")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground))) > 380) == (scheme == "light")
        browser.close()
    assert troubles == []


def test_metrics_are_served_and_printed(live: Engine, site: str) -> None:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
    from prometheus_client.parser import text_string_to_metric_families as plain

    found = {family.name: family for family in plain(get(f"{site}/metrics")[1])}
    assert found["burstline_up"].samples[0].value == 1
    total = sum(sample.value for sample in found["burstline_received_packets"].samples)
    assert total > 0
    assert {s.labels["reason"] for s in found["burstline_dropped_packets"].samples} == {"blocked"}
    _, text, headers = get(f"{site}/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert {family.name for family in open_metrics(text)} >= {"burstline_received_packets", "burstline_pool_buffers"}
    with command(live, "metrics", str(live.process.pid)) as printed:
        out, err = printed.communicate(timeout=PATIENCE)
    assert "burstline_received_packets_total" in out, err
    if promtool := shutil.which("promtool"):
        done = subprocess.run([promtool, "check", "metrics"], input=out, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout


def test_metrics_go_to_a_collector_by_otlp(live: Engine) -> None:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            bodies.append(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1/metrics"
    with command(live, "metrics", str(live.process.pid), "--otlp", url, "--period", "0.5"):
        until(lambda: len(bodies) >= 2)
    server.shutdown()
    server.server_close()
    values = []
    for body in bodies:
        request = ExportMetricsServiceRequest.FromString(body)
        (resource,) = request.resource_metrics
        about = {each.key: each.value.string_value for each in resource.resource.attributes}
        assert about["service.name"] == "burstline" and about["service.instance.id"] == str(live.process.pid)
        metrics = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
        assert metrics["burstline.received.packets"].unit == "{packet}"
        assert metrics["burstline.received.packets"].sum.is_monotonic
        values.append(
            sum(point.as_int or point.as_double for point in metrics["burstline.received.packets"].sum.data_points)
        )
    assert values[-1] >= values[0] > 0


# ---- the end ----


def test_the_log_is_json_and_who_looks_is_told_of_the_end(live: Engine, run: Attached) -> None:
    """The last test of the module: it ends the run."""
    run.ask("measure", seconds=0.1)
    live.process.send_signal(signal.SIGTERM)
    out, _ = live.process.communicate(timeout=PATIENCE)
    until(lambda: run.snapshot().ended)
    assert run.over == "it has ended"
    with pytest.raises(NotAnswered, match="has ended"):
        run.ask("flows")
    report = json.loads(out)
    last = run.snapshot().totals
    assert (last["received"].packets, last["dropped"].packets) == (
        report["packets_in"],
        report["drops"]["blocked"]["packets"],
    )
    assert report["swaps"] == [] and report["error"] is None, "measuring is no swap of the pipeline"
    lines = [json.loads(line) for line in live.said.read_text().splitlines() if line.startswith("{")]
    events = [line["event"] for line in lines]
    assert events[0] == "start" and "measure" in events and events[-1] == "end"
    assert all(line["level"] in ("info", "warning") and line["pid"] == live.process.pid for line in lines)
    assert lines[-1]["packets"]["received"] == report["packets_in"]
    assert list((live.place / "stats").iterdir()) == []
