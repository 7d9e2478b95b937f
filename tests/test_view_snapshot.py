"""Snapshots of a run from what it publishes: rates, shares, metrics; and that what is shipped beside them fits them."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstline.cli.main import main
from burstline.cli.progress import ProgressLine
from burstline.cli.run_log import RunLog
from burstline.cli.serve import address, listening
from burstline.engine.events import KEPT, Events
from burstline.engine.report import Count
from burstline.engine.stats_reader import Reading, WorkerCounts
from burstline.engine.worker import ENGINE_REASONS
from burstline.errors import BurstlineError, UsageError
from burstline.view.dissect import dissect
from burstline.view.metrics_server import serve
from burstline.view.monitoring import ALERTS, DASHBOARD
from burstline.view.prometheus import MOST, OTHER, exposition
from burstline.view.snapshot import Rate, Snapshot, snapshot_of
from burstline.view.web.guard import is_loopback
from scapy_frames import ARP4, ICMP6, TCP4, UDP4

POOL = {
    "size": 2048, "node": 0, "most": 100, "populated": 100, "in_use": 40, "cached": 10, "depot": 50, "parked": 0,
    "memory": 4096, "peak": 60, "forecast": 45, "cores": [], "taken": 9, "failed": 1, "misses": 3, "transfers": 0,
}  # fmt: skip
COST = {"name": "stage count", "bursts": {"64": {"packets": 10, "ns": 20.0}, "256": {"packets": 30, "ns": 40.0}}}
STEERING = {
    "workers": [7, 5],
    "ports": [{"number": 0, "device": "dpdk:net_null0", "back_end": "software", "why": "it", "rules": [], "count": 3}],
    "decisions": [{"time": 2.0, "action": "MoveBucket", "bucket": 4, "core": 1, "reason": "core 0 is full"}],
}


def port(clock: float, received: int) -> dict[str, Any]:
    counts = {"received": received, "sent": 2 * received, "missed": 1, "errors": 0, "send_errors": 0, "no_buffer": 0}
    return {"device": "dpdk:net_null0", "driver": "net_null", "queues": 1, "node": 0, "clock": clock, **counts}


def reading(clock: float, packets: list[int], **shown: Any) -> Reading:
    workers = []
    for core, count in enumerate(packets):
        gone = {"odd": Count(count // 2, 10 * count)} if count else {}
        kept = Count(count - count // 2, 90 * count)
        workers.append(WorkerCounts(core, clock, Count(count, 100 * count), kept, Count(), 0, gone, {5: 3 * count}))
    about = {
        "pid": 77, "app": "app.py", "source": "dpdk:net_null0", "started": 1000.0, "cores": [*range(len(packets))],
        "buffers": [POOL], "shown": shown, "events": [{"number": 1, "time": 1000.0, "kind": "start", "text": "begun"}],
    }  # fmt: skip
    return Reading(about, False, workers, {5: "hits"})


def both(first: int = 100, second: int = 300) -> Snapshot:
    def polling(polls: int, useful: int, packets: int) -> list[dict[str, Any]]:
        return [{"polls": polls, "useful_polls": useful, "packets": packets, "batch": 64, "ports": [1, 2]}] * 2

    before = reading(10.0, [first, 0], polling=polling(1000, 100, first), ports=[port(9.0, 50)])
    measured = {"since": 1.0, "until": 2.0, "edges": [], "costs": [COST], "hz": 2e9}
    after = reading(
        12.0, [second, 0], polling=polling(3000, 600, second), ports=[port(11.0, 90)], hz=2_000_000_000,
        measured=measured, steering=STEERING,
    )  # fmt: skip
    return snapshot_of(before, after)


def test_rates_are_of_the_time_between_a_workers_own_snapshots() -> None:
    snap = both()
    assert snap.totals["received"] == Rate(300, 30_000, 100.0, 80_000.0)
    assert snap.drops == {"odd": Rate(150, 3000, 50.0, 8000.0)}
    (counter,) = snap.counters
    assert (counter.name, counter.value, counter.rate) == ("hits", 900, 300.0)
    worker = snap.workers[0]
    assert worker.load == 0.5, "every other look is at a port that only sends"
    assert (worker.fill, worker.batch, worker.polls) == (0.4, 64, 3000)
    assert snap.ports[0]["received_rate"] == 20 and snap.ports[0]["sent_rate"] == 40
    (cost,) = snap.costs
    assert (cost.packets, cost.ns, cost.cycles) == (40, 35.0, 70.0)
    assert [event["text"] for event in snap.events] == ["begun", "move bucket 4 to core 1: core 0 is full"]
    assert json.loads(json.dumps(snap.as_json()))["totals"]["received"]["packets"] == 300


def test_one_reading_has_no_rates_and_one_of_a_file_no_polls() -> None:
    one = reading(10.0, [8, 4])
    snap = snapshot_of(one, one)
    assert snap.totals["received"] == Rate(12, 1200)
    assert [worker.load for worker in snap.workers] == [None, None] and snap.ports == [] and snap.costs == []


@given(st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40)), min_size=1, max_size=4))
def test_what_came_is_what_went_in_every_snapshot(counts: list[tuple[int, int]]) -> None:
    snap = snapshot_of(reading(1.0, [a for a, _ in counts]), reading(2.5, [a + more for a, more in counts]))
    ends = snap.totals["sent"] + snap.totals["consumed"] + snap.totals["dropped"]
    assert (ends.packets, ends.bytes) == (snap.totals["received"].packets, snap.totals["received"].bytes)
    assert snap.totals["received"].pps == pytest.approx(sum(more for _, more in counts) / 1.5)


# ---- metrics ----


def families(text: bytes) -> dict[str, Any]:
    from prometheus_client.parser import text_string_to_metric_families

    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def test_metrics_say_what_the_snapshot_says() -> None:
    found = families(exposition(both())[0])
    value = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in found.values() for s in f.samples}
    assert value["burstline_received_packets_total", (("worker", "0"),)] == 300
    assert value["burstline_dropped_bytes_total", (("reason", "odd"),)] == 3000
    assert value["burstline_application_total", (("name", "hits"),)] == 900
    assert value["burstline_pool_buffers", (("node", "0"), ("size", "2048"), ("state", "in_use"))] == 40
    assert value["burstline_pool_failures_total", (("node", "0"), ("size", "2048"))] == 1
    assert value["burstline_stage_seconds_per_packet", (("stage", "stage count"),)] == pytest.approx(35e-9)
    rules = (("back_end", "software"), ("device", "dpdk:net_null0"), ("port", "0"))
    assert value["burstline_steering_rules", rules] == 3
    assert value["burstline_up", ()] == 1
    assert b"burstline_up 0.0" in exposition(both(), is_over=True)[0]


def test_labels_are_bounded_and_no_drop_is_left_out() -> None:
    first, last = reading(1.0, [0]), reading(2.0, [0])
    last.workers[0].drops = {f"reason {k}": Count(k, k) for k in range(1, 3 * MOST)}
    samples = families(exposition(snapshot_of(first, last))[0])["burstline_dropped_packets"].samples
    assert len(samples) == MOST + 1 and OTHER in {sample.labels["reason"] for sample in samples}
    assert sum(sample.value for sample in samples) == sum(range(1, 3 * MOST))


def test_each_series_is_there_once() -> None:
    """A stage may stand in two chains, and counters of two modules have one name: Prometheus takes no series twice."""
    again = {"name": "stage count", "bursts": {"64": {"packets": 120, "ns": 5.0}}}
    measured = {"since": 1.0, "until": 2.0, "edges": [], "costs": [COST, again], "hz": 2e9}
    one = reading(10.0, [8], measured=measured, hz=2e9)
    one.names = {5: "hits", 6: "hits"}
    one.workers[0].counters = {5: 3, 6: 4}
    found = families(exposition(snapshot_of(one, one))[0])
    assert [sample.value for sample in found["burstline_application"].samples] == [7]
    (cost,) = found["burstline_stage_seconds_per_packet"].samples
    assert cost.value == pytest.approx((40 * 35e-9 + 120 * 5e-9) / 160)


class Shown:
    """A run that has a snapshot, or cannot be read."""

    over = None
    trouble = ""

    def snapshot(self) -> Snapshot:
        if self.trouble:
            raise BurstlineError(self.trouble)
        return both()


def test_metrics_are_served_by_ipv6_and_say_so_when_a_run_cannot_be_read() -> None:
    run: Any = Shown()
    server = serve(run, "::1", 0)
    try:
        assert server.where.startswith("[::1]:")
        with urllib.request.urlopen(f"http://{server.where}/metrics", timeout=60) as answer:
            assert b"burstline_up 1.0" in answer.read()
        run.trouble = "it changes all the time"
        with pytest.raises(urllib.error.HTTPError, match="503: it changes all the time"):
            urllib.request.urlopen(f"http://{server.where}/metrics", timeout=60)
    finally:
        server.close()


def test_an_address_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen at 127.0.0.1:{port}"):
            listening("127.0.0.1", port)
        with pytest.raises(UsageError, match=f"cannot listen at 127.0.0.1:{port}"):
            serve(cast(Any, Shown()), "127.0.0.1", port)


def test_alerts_know_each_reason_for_which_the_engine_drops() -> None:
    asked = re.search(r'reason=~"([^"]*)"', ALERTS.read_text())
    assert asked and all(re.fullmatch(asked[1], reason) for reason in (*ENGINE_REASONS[1:], "count: error"))
    assert not re.fullmatch(asked[1], "blocked")


def test_alert_rules_and_dashboard_ask_for_metrics_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    names = {sample.name for family in families(exposition(both())[0]).values() for sample in family.samples}
    for option, path in (("--alerts", ALERTS), ("--dashboard", DASHBOARD)):
        assert main(["metrics", option]) == 0
        text = capsys.readouterr().out
        assert text == path.read_text()
        asked = set(re.findall(r"burstline_[a-z_]+", text))
        assert asked and asked <= names, asked - names
    board = json.loads(DASHBOARD.read_text())
    panels = [panel["gridPos"] for panel in board["panels"]]
    cells = [(x, y) for p in panels for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24, "panels lie side by side"


ALERT_TEST = """
rule_files: [alerts.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'burstline_up{instance="a"}'
        values: '1x30'
      - series: 'burstline_dropped_packets_total{instance="a",reason="no buffer"}'
        values: '0+60x30'
      - series: 'burstline_dropped_packets_total{instance="a",reason="blocked"}'
        values: '0+60x30'
      - series: 'burstline_pool_failures_total{instance="a",size="2048"}'
        values: '0+6x30'
      - series: 'burstline_received_packets_total{instance="a",worker="0"}'
        values: '0+6000x30'
      - series: 'burstline_received_packets_total{instance="a",worker="1"}'
        values: '0+60x30'
      - series: 'burstline_received_packets_total{instance="a",worker="2"}'
        values: '0+60x30'
      - series: 'burstline_worker_load_ratio{instance="a",worker="0",core="0"}'
        values: '0.9x30'
      - series: 'up{instance="a",job="engines"}'
        values: '1x30'
      - series: 'up{instance="b",job="engines"}'
        values: '1x10 0x20'
      - series: 'burstline_up{instance="b",job="engines"}'
        values: '1x10 stale'
      - series: 'up{instance="c",job="others"}'
        values: '0x30'
      - series: 'burstline_received_packets_total{instance="b",worker="0"}'
        values: '0+6000x30'
      - series: 'burstline_received_packets_total{instance="b",worker="1"}'
        values: '0+60x30'
      - series: 'burstline_worker_load_ratio{instance="b",worker="0",core="0"}'
        values: '0.9x30'
    alert_rule_test:
      - {eval_time: 9m, alertname: BurstlineGone, exp_alerts: []}
      - eval_time: 20m
        alertname: BurstlineGone
        exp_alerts:
          - exp_labels: {severity: critical, instance: b, job: engines}
            exp_annotations:
              summary: The run has ended.
              description: b does not process packets any more.
      - {eval_time: 20m, alertname: BurstlineBusy, exp_alerts: []}
      - eval_time: 20m
        alertname: BurstlineDropsByEngine
        exp_alerts:
          - exp_labels: {severity: warning, instance: a, reason: no buffer}
            exp_annotations:
              summary: "1 packets a second are dropped: no buffer"
              description: Not by a stage that says so; `burstline serve` shows what they are.
      - eval_time: 20m
        alertname: BurstlinePoolMisses
        exp_alerts:
          - exp_labels: {severity: warning, instance: a, size: "2048"}
            exp_annotations:
              summary: Buffers of 2048 bytes run short on a.
              description: Raise [pools] buffers; `burstline buffers` tells sizes that fit the traffic.
      - eval_time: 20m
        alertname: BurstlineImbalance
        exp_alerts:
          - exp_labels: {severity: warning, instance: a}
            exp_annotations: &uneven
              summary: One worker has more than one and a half times its share of packets.
              description: The steering controller moves flows, with act = "on" below [steering_control].
          - exp_labels: {severity: warning, instance: b}
            exp_annotations: *uneven
"""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt install prometheus")
def test_alerts_go_off_when_they_should(tmp_path: Any) -> None:
    shutil.copy(ALERTS, tmp_path / "alerts.yml")
    (tmp_path / "test.yml").write_text(ALERT_TEST)
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_open_telemetry_gets_the_same() -> None:
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from burstline.view.telemetry import provider

    reader = InMemoryMetricReader()
    made = provider(both, reader)
    data = reader.get_metrics_data()
    assert data is not None
    metrics = {metric.name: metric for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    made.shutdown()
    points = metrics["burstline.received.packets"].data.data_points
    assert {point.attributes["worker"]: point.value for point in points} == {"0": 300, "1": 0}
    assert metrics["burstline.received.bytes"].unit == "By"
    assert metrics["burstline.stage.seconds.per.packet"].unit == "s/{packet}"
    assert metrics["burstline.pool.memory.bytes"].data.data_points[0].value == 4096


# ---- the terminal ----


def test_names_with_brackets_are_shown_as_they_are() -> None:
    from rich.console import Console

    from burstline.view.terminal import panes

    odd = "[/bold] of [fe80::1]:80 [red]"
    one = reading(10.0, [8], ports=[port(9.0, 50) | {"device": odd[:20]}])
    one.names = {5: odd}
    snap = snapshot_of(one, one)
    snap = dataclasses.replace(
        snap, drops={odd: Rate(1, 1)}, events=[{"number": 1, "time": 1.0, "kind": "warning", "text": odd}],
        steering={**STEERING, "ports": [
            {**STEERING["ports"][0], "rules": [{"packets": 1, "bytes": 1, "level": 0, "rule": odd, "why": odd}]}]},
    )  # fmt: skip
    for pane, words in [(panes.overview, odd), (panes.queues, odd[:20]), (panes.steering, odd), (panes.events, odd)]:
        console = Console(width=200, record=True, file=io.StringIO())
        console.print(pane(snap))
        assert words in console.export_text()


# ---- dropped packets ----


@pytest.mark.parametrize(
    ("packet", "summary", "headers"),
    [
        (TCP4, r"tcp [\d.]+:\d+ > [\d.]+:\d+", ["eth", "ipv4", "tcp"]),
        (UDP4, r"udp [\d.]+:\d+ > [\d.]+:\d+", ["eth", "vlan", "inner_vlan", "ipv4", "udp"]),
        (ICMP6, r"icmpv6 [\da-f:]+ > [\da-f:]+", ["eth", "ipv6", "icmpv6"]),
        (ARP4, r"eth arp", ["eth", "arp"]),
    ],
)
def test_headers_of_a_sample_are_told(packet: Any, summary: str, headers: list[str]) -> None:
    data = bytes(packet)
    found = dissect(data[:192], len(data))
    assert re.fullmatch(summary, found["summary"]), found["summary"]
    assert [header["name"] for header in found["headers"]] == headers
    fields = {f["name"]: f["value"] for f in found["headers"][0]["fields"]}
    assert fields["src"] == packet.src


@given(st.binary(max_size=192))
def test_any_bytes_can_be_told(data: bytes) -> None:
    assert isinstance(json.dumps(dissect(data, len(data) + 100)), str)


# ---- words ----


@pytest.mark.parametrize(
    ("text", "found"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:9000", ("::1", 9000)), (":81", ("127.0.0.1", 81))],
)
def test_addresses_to_listen_at_are_read(text: str, found: tuple[str, int]) -> None:
    assert address(text) == found
    assert is_loopback(found[0])


@pytest.mark.parametrize("text", ["here", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no address to listen at"):
        address(text)


@pytest.mark.parametrize("name", ["0.0.0.0", "192.0.2.1", "example.org", "::", ""])
def test_other_addresses_are_no_loopback(name: str) -> None:
    assert not is_loopback(name)


def test_events_are_kept_and_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    events, log = Events(), RunLog(True, ProgressLine())
    log.follow(events)
    events.tell("swap", "new code")
    events.tell("warning", "no room")
    log.said("a line for people")
    log.warnings(["no room", "flows refused"])
    log.refused(BurstlineError("no such stage", "name another"))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["event"], line["message"]) for line in lines] == [
        ("info", "swap", "new code"), ("warning", "warning", "no room"), ("warning", "warning", "flows refused"),
        ("error", "swap", "the pipeline runs on as it was: no such stage"),
    ]  # fmt: skip
    assert lines[-1]["hint"] == "name another" and all(re.match(r"\d{4}-.*\+00:00", line["time"]) for line in lines)
    for k in range(2 * KEPT):
        events.tell("swap", str(k))
    assert len(events.as_json()) == KEPT and events.as_json()[-1]["number"] == 2 + 2 * KEPT
