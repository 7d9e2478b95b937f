"""The load balancer of examples/: connections keep their server, new ones keep away from elephants, and where the flow
director moves an elephant to another worker, its server comes along."""

from __future__ import annotations

import functools
import json
import random
import threading
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

import burstline as bl
from both_modes import Outcome, outcome, pcap_of, run_both
from burstline import dpdk
from burstline.cli.main import main
from burstline.engine.app import load_app
from burstline.engine.config import Config, Engine
from burstline.engine.offline import FileRun
from burstline.state.toeplitz import DEFAULT_KEY, toeplitz
from burstline.steering.control.settings import Settings
from capture_files import pcap_header, record
from dpdk_live import alone, python

EXAMPLE = Path(__file__).parents[1] / "examples" / "balancer.py"
ETHER = Ether(src="02:00:00:00:00:aa", dst="02:00:00:00:00:bb")
SERVICE, SERVICE_6 = "198.18.0.80", "2001:2::80"
SERVERS = [bytes((2, 0, 0, 0, 2, k)) for k in range(4)]
SECOND, START = 1_000_000_000, 1_700_000_000


@functools.cache
def app() -> bl.Pipeline:
    """Of which each run begins with empty state."""
    return load_app(str(EXAMPLE))


def capture(packets: list[tuple[float, bytes]]) -> bytes:
    """A file of packets at their seconds."""
    found = [pcap_header("<")]
    for time, data in sorted(packets, key=lambda packet: packet[0]):
        whole, part = divmod(round(time * 1_000_000), 1_000_000)
        found.append(record("<", START + whole, part * 1000, data, len(data)))
    return b"".join(found)


def packet(client: int, sport: int, size: int = 100) -> bytes:
    return bytes(
        ETHER / IP(src=f"10.0.{client // 250}.{client % 250 + 1}", dst=SERVICE) / TCP(sport=sport) / (b"x" * size)
    )


def server_of(data: bytes) -> int:
    return SERVERS.index(data[:6])


def by_connection(found: Outcome) -> dict[bytes, list[int]]:
    """The servers that packets of plain TCP over IPv4 went to, by addresses and ports."""
    servers = defaultdict(list)
    for each in found.written:
        servers[bytes(each.data[26:38])].append(server_of(each.data))
    return servers


def elephant_and_mice(seed: int, mice: int) -> tuple[bytes, bytes]:
    """A capture in which mice come from 60 ms on, when the elephant is known, and the ends of the elephant."""
    chance, heavy = random.Random(seed), packet(1, 1000, 1400)
    packets = [(k / 4000, heavy) for k in range(4000)]
    packets += [(0.06 + k * 0.9 / mice, packet(chance.randrange(5000), 2000 + k)) for k in range(mice)]
    return capture(packets), heavy[26:38]


FLOWS = [
    lambda k: ETHER / IP(src=f"10.0.0.{k}", dst=SERVICE) / TCP(sport=1000 + k, dport=443),
    lambda k: ETHER / IP(src=f"10.0.0.{k}", dst=SERVICE) / UDP(sport=1000 + k, dport=53),
    lambda k: ETHER / IPv6(src=f"2001:db8:1::{k}", dst=SERVICE_6) / TCP(sport=1000 + k, dport=443),
    lambda k: ETHER / Dot1Q(vlan=k) / IPv6(src=f"2001:db8:1::{k}", dst=SERVICE_6) / UDP(sport=1000 + k, dport=443),
    lambda k: ETHER / IP(src=f"10.0.0.{k}", dst=SERVICE, options=b"\x94\x04\0\0") / TCP(sport=1000 + k, dport=443),
]
OTHERS = [
    (lambda k: ETHER / IP(src=SERVICE, dst=f"10.0.0.{k}") / TCP(sport=443, dport=1000 + k), "not for the service"),
    (lambda k: ETHER / IPv6(src=f"2001:db8::{k}", dst="2001:db8::80") / UDP(), "not for the service"),
    (lambda k: ETHER / ARP(), "not for the service"),
    (lambda k: ETHER / IP(src=f"10.0.0.{k}", dst=SERVICE) / ICMP(), "neither TCP nor UDP"),
    (lambda k: ETHER / IP(src=f"10.0.0.{k}", dst=SERVICE, frag=9) / (b"x" * 40), "neither TCP nor UDP"),
]  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 6), st.integers(0, 1300)), max_size=80))
def test_a_connection_keeps_its_server_and_nothing_but_the_mac_address_changes(
    packets: list[tuple[int, int, int]],
) -> None:
    sent, expected, drops = [], [], Counter[str]()
    for kind, k, size in packets:
        if kind < len(FLOWS):
            sent.append(bytes(FLOWS[kind](k) / (b"x" * size)))  # scapy computes the checksums
            expected.append(((kind, k), sent[-1][6:]))
        else:
            make, reason = OTHERS[kind - len(FLOWS)]
            sent.append(bytes(make(k)))
            drops[reason] += 1
    found = run_both(app(), sent).equal()
    assert {name: count.packets for name, count in found.report.drops.items()} == drops
    assert [each.data[6:] for each in found.written] == [rest for _, rest in expected]
    servers = defaultdict(set)
    for (flow, _), each in zip(expected, found.written, strict=True):
        servers[flow].add(server_of(each.data))
    assert all(len(its) == 1 for its in servers.values())


@pytest.mark.parametrize("seed", range(3))
def test_new_connections_keep_away_from_the_server_of_an_elephant(seed: int) -> None:
    mice = 400
    data, heavy = elephant_and_mice(seed, mice)
    found = by_connection(run_both(app(), data).equal())
    (server,) = set(found.pop(heavy))
    assert len(found) == mice and all(len(set(its)) == 1 for its in found.values())
    share = Counter(its[0] for its in found.values())
    assert share[server] < mice / 4 / 4, share
    assert all(share[other] > mice / 4 for other in range(4) if other != server), share


def test_without_an_elephant_all_servers_get_about_the_same() -> None:
    chance = random.Random(5)
    packets = [(k / 1000, packet(chance.randrange(5000), 2000 + k)) for k in range(800)]
    found = run_both(app(), capture(packets)).equal()
    share = Counter(its[0] for its in by_connection(found).values())
    assert all(170 <= share[server] <= 230 for server in range(4)), share


def test_an_elephant_that_has_stopped_is_forgotten() -> None:
    heavy = packet(1, 1000, 1400)
    packets = [(k / 4000, heavy) for k in range(4000)]
    packets += [(4 + k / 1000, packet(k, 2000 + k)) for k in range(800)]
    found = by_connection(run_both(app(), capture(packets)).equal())
    (server,) = set(found.pop(heavy[26:38]))
    assert Counter(its[0] for its in found.values())[server] > 150


def test_of_several_workers_each_keeps_to_it_for_the_connections_that_it_has(tmp_path: Path) -> None:
    data, heavy = elephant_and_mice(9, 600)
    (tmp_path / "in.pcap").write_bytes(data)
    pipeline, sink = app(), str(tmp_path / "out.pcapng")
    found = outcome(pipeline, lambda: FileRun(pipeline, str(tmp_path / "in.pcap"), sink, workers=2), sink)
    assert found.report.balanced
    servers = by_connection(found)
    assert len(servers) == 601 and all(len(set(its)) == 1 for its in servers.values())
    server = servers.pop(heavy)[0]
    share = Counter(its[0] for its in servers.values())
    assert share[server] < min(share[other] for other in range(4) if other != server), share


def test_a_mark_for_the_fast_path_tells_an_elephant_too() -> None:
    pipeline = app()
    (balance,) = pipeline.stages

    @bl.stage
    def mark(pkt: Any) -> None:
        if pkt.tcp.sport == 1000:
            pkt.mark = bl.FAST_PATH

    packets = [(0.01, packet(1, 1000))] + [(0.02 + k / 10_000, packet(k, 2000 + k)) for k in range(200)]
    found = by_connection(run_both(bl.Pipeline(mark, balance), capture(packets)).equal())
    server = found.pop(packet(1, 1000)[26:38])[0]
    assert Counter(its[0] for its in found.values())[server] < 200 / 4 / 4


@pytest.mark.parametrize("mode", [[], ["--interpret"], ["--workers", "2"]], ids=" ".join)
def test_the_table_at_the_end_has_all_that_was_sent(
    mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, _ = elephant_and_mice(4, 300)
    (tmp_path / "in.pcap").write_bytes(data)
    assert (
        main(["run", str(EXAMPLE), str(tmp_path / "in.pcap"), "--out", str(tmp_path / "out.pcap"), "--json", *mode])
        == 0
    )
    said = capsys.readouterr()
    report = json.loads(said.out)
    head, *lines = said.err.splitlines()
    assert head.split() == ["server", "connections", "packets", "bytes", "elephants"]
    rows = [line.replace(",", "").split() for line in lines]
    assert [row[0] for row in rows] == [f"02:00:00:00:02:0{k}" for k in range(4)]
    connections, packets, size, elephants = (sum(int(row[k]) for row in rows) for k in range(1, 5))
    assert (connections, packets, elephants) == (301, report["packets_out"], 1)
    assert (packets, size) == (4300, 4000 * 1454 + 300 * 154)


def test_its_page_shows_what_it_prints(tmp_path: Path) -> None:
    text = (EXAMPLE.parents[1] / "docs" / "balancer.md").read_text()
    command, *lines = text.partition("    $ burstline ")[2].partition("\n\n")[0].splitlines()
    words = command.replace("balanced.pcap", str(tmp_path / "out.pcap")).replace("examples/balancer.py", str(EXAMPLE))
    done = python(f"import sys; from burstline.cli.main import main; sys.exit(main({words.split()!r}))")
    assert (done.stderr + done.stdout).splitlines()[: len(lines)] == [line[4:] for line in lines]


def ports(buckets: tuple[int, ...], count: int) -> list[int]:
    """Source ports of so many connections of 10.0.0.1, whose hashes a NIC has in each of these buckets in turn."""
    found: dict[int, list[int]] = {bucket: [] for bucket in buckets}
    for sport in range(1024, 65536):
        ends = bytes((10, 0, 0, 1, 198, 18, 0, 80)) + sport.to_bytes(2, "big") + (443).to_bytes(2, "big")
        its = found.get(toeplitz(DEFAULT_KEY, ends) % 128, [])
        its.append(sport)
    return [sport for group in zip(*found.values(), strict=False) for sport in group][:count]


def run_until_moved(path: str) -> dict[str, Any]:
    from burstline.engine.live import LiveRun

    engine = Engine(workers=2, duration=60, stats_interval=False)
    control = Settings(act="on", look=0.05)
    pipeline = app()
    flows = next(state for state in pipeline.state if isinstance(state, bl.FlowTable))
    source = f"nic-model,driver=model,pcap={path},times=1000000"
    run = LiveRun(pipeline, [source], None, Config(engine=engine, enable_flow_director=True, steering_control=control))
    before, ended = list[Any](), threading.Event()

    def follow() -> None:
        while not len(flows) and not ended.wait(0.01):
            pass
        before.extend(rows_of(flows))
        while not (run.directing.moves and run.directing.moves.records) and not ended.wait(0.01):
            pass
        ended.wait(0.5)
        run.stop()

    other = threading.Thread(target=follow)
    other.start()
    report = run.run()
    ended.set()
    other.join()
    return {
        "before": before, "after": rows_of(flows), "received": report.received.packets, "sent": report.sent.packets,
        "drops": report.drops, "balanced": report.balanced, "steering": report.steering,
    }  # fmt: skip


def rows_of(flows: bl.FlowTable[Any]) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in flows.to_numpy()[["sport", "server", "packets"]]]


@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
def test_an_elephant_that_the_controller_moves_keeps_its_server(tmp_path: Path) -> None:
    (heavy,), mice = ports((6,), 1), ports((8, 20, 32, 44), 80)  # without steering, all are worker 0's
    frame = {
        sport: bytes(ETHER / IP(src="10.0.0.1", dst=SERVICE) / TCP(sport=sport, dport=443)) for sport in [heavy, *mice]
    }
    (tmp_path / "in.pcap").write_bytes(pcap_of(frame[s] for k in range(400) for s in (heavy, mice[k % len(mice)])))
    found = alone(run_until_moved, str(tmp_path / "in.pcap"))
    assert found["balanced"] and found["sent"] and not found["drops"].keys() - {"send failed"}  # a ring that is full
    placed = [one["flow"] for one in found["steering"]["decisions"] if one["action"] == "Place"]
    assert f"tcp 10.0.0.1:{heavy} > {SERVICE}:443" in placed
    assert found["steering"]["moved"]["records"]
    servers, after = {s: server for s, server, _ in found["before"]}, {s: server for s, server, _ in found["after"]}
    assert len(found["after"]) == len(after) == 81, "one record for each connection, on whichever worker"
    assert servers.items() <= after.items()
    assert sum(packets for *_, packets in found["after"]) == found["received"]
