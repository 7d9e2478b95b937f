"""The effect of each example on a capture that scapy wrote, compiled and interpreted; live: test_examples_live."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw
from scapy.utils import PcapReader, wrpcap

from burstline.cli.main import main

EXAMPLES = Path(__file__).parents[1] / "examples"
ETHER = Ether(src="02:00:00:00:00:aa", dst="02:00:00:00:00:bb")
Run = Callable[..., tuple[dict[str, Any], list[bytes], str]]


@pytest.fixture(params=["compiled", "interpreted"])
def run(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run an example over frames: its report, the frames that came through, and what it printed."""
    monkeypatch.chdir(tmp_path)  # where examples may leave files

    def run(name: str, frames: Sequence[Packet]) -> tuple[dict[str, Any], list[bytes], str]:
        wrpcap("in.pcap", list(frames))
        mode = ["--interpret"] if request.param == "interpreted" else []
        words = ["run", str(EXAMPLES / f"{name}.py"), "in.pcap", "--out", "out.pcap", "--json", *mode]
        assert main(words) == 0
        said = capsys.readouterr()
        report = json.loads(said.out)
        dropped = sum(d["packets"] for d in report["drops"].values())
        assert len(frames) == report["packets_in"]
        assert len(frames) + report["packets_made"] == report["packets_out"] + report["packets_consumed"] + dropped
        with PcapReader("out.pcap") as reader:
            return report, [bytes(p) for p in reader], said.err

    return run


def drops(report: dict[str, Any]) -> dict[str, int]:
    return {name: count["packets"] for name, count in report["drops"].items()}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_says_how_to_run_it(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < (100 if path.stem == "balancer" else 50)
    assert f"burstline run examples/{path.name} " in text.split('"""')[1]


def test_top_talkers_shows_the_ten_largest_and_writes_all_flows_to_parquet(run: Run, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    flows = [ETHER / IP(src=f"10.0.0.{k}", dst="10.1.0.1") / UDP(sport=k, dport=53) / (b"x" * k) for k in range(1, 13)]
    flows += [ETHER / IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(sport=999, dport=443) / (b"x" * 50)]
    _, _, said = run("top_talkers", [*flows, *flows, flows[0]])
    lines = said.splitlines()
    assert len(lines) == 10
    assert lines[0].split("  ", 1)[0].strip() == "" and "248 bytes" in lines[0]
    assert "2001:db8::1 999 -> 2001:db8::2 443, protocol 6" in lines[0]
    assert "129 bytes           3 packets  10.0.0.1 1 -> 10.1.0.1 53, protocol 17" in lines[1]
    assert [line.split()[4] for line in lines[2:]] == [f"10.0.0.{k}" for k in range(12, 4, -1)]
    table = parquet.read_table(tmp_path / "top_talkers.parquet").to_pylist()
    assert {row["src"]: row["bytes"] for row in table} == {
        **{f"10.0.0.{k}": (42 + k) * (3 if k == 1 else 2) for k in range(1, 13)},
        "2001:db8::1": 248,
    }


def test_firewall_drops_blocked_prefixes_by_name_and_passes_the_rest_unchanged(run: Run) -> None:
    passed = [
        ETHER / IP(src="203.0.112.255", dst="192.0.2.1") / TCP(dport=80),
        ETHER / IP(src="198.51.100.6", dst="198.51.100.8") / UDP() / b"beside a blocked address",
        ETHER / IPv6(src="2001:db8:bae::1", dst="2001:db8::1") / TCP(),
        ETHER / ARP(psrc="203.0.113.1", pdst="203.0.113.2"),
    ]
    sources = [
        ETHER / IP(src="203.0.113.0", dst="192.0.2.1") / TCP(),
        ETHER / Dot1Q(vlan=7) / IP(src="203.0.113.255", dst="192.0.2.1") / ICMP(),
        ETHER / IPv6(src="2001:db8:bad:ffff::1", dst="2001:db8::1") / UDP(),
    ]
    destinations = [
        ETHER / IP(src="192.0.2.1", dst="198.51.100.7") / TCP(),
        ETHER / IPv6(src="2001:db8::1", dst="2001:db8:bad::") / TCP(),
    ]
    report, out, _ = run("firewall", [*sources, *passed, *destinations])
    assert drops(report) == {"blocked source": 3, "blocked destination": 2}
    assert out == [bytes(p) for p in passed]


def test_reflector_swaps_the_mac_addresses_and_nothing_else(run: Run) -> None:
    frames = [ETHER / ARP(), ETHER / Dot1Q(vlan=5) / IP() / TCP() / b"x", Ether(src="02:00:00:00:00:01") / Raw(b"any")]
    _, out, _ = run("reflector", frames)
    assert out == [b[6:12] + b[0:6] + b[12:] for b in map(bytes, frames)]


def test_mirror_copies_dns_and_syns_to_the_monitor_and_passes_everything(run: Run) -> None:
    names, opened = ETHER / IP() / UDP(dport=53), ETHER / IPv6() / TCP(flags="S")
    frames = [ETHER / ARP(), names, ETHER / IP() / TCP(flags="A"), opened, ETHER / IP() / UDP(sport=54, dport=54)]
    report, out, said = run("mirror", frames)
    mark = bytes.fromhex("0200000000aa")
    passed = [bytes(frame) for frame in frames]
    copies = {passed[1]: mark + passed[1][6:], passed[3]: mark + passed[3][6:]}
    assert out == [each for frame in passed for each in (frame, *([copies[frame]] if frame in copies else []))]
    assert (report["packets_made"], said.strip()) == (2, "2 packets were copied")


def test_handle_packet_hands_each_protocol_to_its_handler(run: Run) -> None:
    inside = ETHER / IP() / UDP(dport=4789) / VXLAN(flags=8, vni=7) / ETHER / IP() / UDP()
    handled = [ETHER / IP() / TCP(flags="S"), ETHER / IP() / TCP(flags="SA"), ETHER / IP() / TCP(flags="R"), inside]
    report, out, said = run("handle_packet", [*handled, ETHER / ARP(), ETHER / IP() / ICMP()])
    assert out == [bytes(p) for p in handled]
    assert (drops(report), report["packets_consumed"]) == ({"no handler": 1}, 1)
    assert said.splitlines() == ["TCP handshakes: 1", "TCP resets: 1", "packets in VXLAN: 1"]


def test_bridge_passes_all_but_what_is_meant_for_one_link(run: Run) -> None:
    passed = [
        ETHER / ARP(),
        Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(),
        Ether(dst="01:80:c2:00:00:10") / Raw(b"not reserved"),
    ]
    kept = [Ether(dst=f"01:80:c2:00:00:{k:02x}") / Raw(b"STP, LLDP") for k in (0, 2, 14, 15)]
    report, out, _ = run("bridge", [*kept, *passed])
    assert drops(report) == {"reserved for one link": 4}
    assert out == [bytes(p) for p in passed]


def test_router_takes_the_longest_prefix_and_rewrites_what_a_router_must(run: Run) -> None:
    def hop(number: int) -> Ether:
        return Ether(src=f"02:00:00:00:0{number}:01", dst=f"02:00:00:00:0{number}:02")

    v4, v6 = {"src": "192.0.2.1"}, {"src": "2001:db8:1::1"}
    inner = [UDP(sport=1, dport=2) / b"unchanged", TCP(sport=3, dport=4)]
    cases = [
        (IP(dst="10.0.255.1", ttl=64, **v4) / inner[0], IP(dst="10.0.255.1", ttl=63, **v4) / inner[0], 0),
        (IP(dst="10.1.0.1", ttl=2, tos=3, **v4) / inner[1], IP(dst="10.1.0.1", ttl=1, tos=3, **v4) / inner[1], 1),
        (
            IP(dst="10.0.0.9", options=b"\x94\x04\0\0", **v4),
            IP(dst="10.0.0.9", ttl=63, options=b"\x94\x04\0\0", **v4),
            0,
        ),
        (IPv6(dst="2001:db8::9", hlim=9, **v6) / inner[0], IPv6(dst="2001:db8::9", hlim=8, **v6) / inner[0], 0),
        (IPv6(dst="2001:db8:9::9", hlim=2, **v6) / inner[1], IPv6(dst="2001:db8:9::9", hlim=1, **v6) / inner[1], 1),
    ]
    lost = [
        ETHER / IP(dst="10.0.0.1", ttl=1) / ICMP(),
        ETHER / IP(dst="10.0.0.1", ttl=0) / ICMP(),
        ETHER / IPv6(dst="2001:db8::1", hlim=1) / UDP(),
        ETHER / IP(dst="11.0.0.1") / UDP(),
        ETHER / IPv6(dst="2001:db9::1") / UDP(),
        ETHER / ARP(),
    ]
    report, out, _ = run("router", [*lost, *(ETHER / before for before, _, _ in cases)])
    assert drops(report) == {"TTL expired": 2, "hop limit expired": 1, "no route": 3}
    assert out == [bytes(hop(number) / after) for _, after, number in cases]  # scapy computes the checksums


def test_dns_log_prints_the_time_client_and_name_of_queries_only(run: Run) -> None:
    def query(name: str | bytes, **more: Any) -> Packet:
        return UDP(sport=4000, dport=53) / DNS(qd=DNSQR(qname=name), **more)

    frames = [
        ETHER / IP(src="192.0.2.1") / query("www.example.org"),
        ETHER / IPv6(src="2001:db8::1") / query("a.b"),
        ETHER / IP(src="192.0.2.1") / query("response.example", qr=1),
        ETHER / IP(src="192.0.2.1") / TCP(dport=53) / (b"\0" * 20),
        ETHER / IP(src="192.0.2.1") / UDP(dport=53) / b"short",
        ETHER / IP(src="192.0.2.2") / query(b"\x1b[31m.evil"),
        ETHER / IP(src="192.0.2.3") / query("."),
        ETHER / IP(src="192.0.2.4") / query("x" * 63 + ".cut.after.64.bytes"),
    ]
    for k, frame in enumerate(frames):
        frame.time = 1_700_000_000 + k
    _, _, said = run("dns_log", frames)
    at = [f"2023-11-14T22:13:{20 + k}.000000000" for k in range(8)]
    assert said.splitlines() == [
        f"{at[0]} 192.0.2.1 www.example.org.",
        f"{at[1]} 2001:db8::1 a.b.",
        f"{at[5]} 192.0.2.2 \\x1b[31m.evil.",
        f"{at[6]} 192.0.2.3 .",
        f"{at[7]} 192.0.2.4 {'x' * 63}.",
    ]


def openings(src: str, dst: str, sport: int, dport: int, time: float, flags: str = "S") -> Packet:
    packet = ETHER / IP(src=src, dst=dst) / TCP(sport=sport, dport=dport, flags=flags)
    packet.time = time
    return packet


def background(chance: random.Random, seconds: int) -> list[Packet]:
    """Clients that open connections to a few servers, and are answered."""
    found = []
    for _ in range(300 * seconds):
        client, server = f"10.0.{chance.randrange(4)}.{chance.randrange(1, 200)}", f"10.9.0.{chance.randrange(1, 9)}"
        time, sport = 1_700_000_000 + chance.random() * seconds, chance.randrange(1024, 65536)
        port = chance.choice((22, 80, 443))
        found.append(openings(client, server, sport, port, time))
        found.append(openings(server, client, port, sport, time + 0.001, "SA"))
    return found


def test_anomaly_finds_the_flood_and_the_scan_and_nothing_in_clean_traffic(run: Run) -> None:
    chance = random.Random(6)
    clean = sorted(background(chance, 3), key=lambda packet: packet.time)
    assert run("anomaly", clean)[2] == ""
    flood = [
        openings(f"172.{16 + k % 16}.{k // 16 % 256}.{k % 251 + 1}", "10.9.0.3", 1024 + k, 80, 1_700_000_001 + k / 900)
        for k in range(800)
    ]
    scan = [openings("10.0.1.77", "10.9.0.5", 4000 + k, k, 1_700_000_002.1 + k / 400) for k in range(1, 300)]
    attacked = sorted([*clean, *flood, *scan], key=lambda packet: packet.time)
    said = run("anomaly", attacked)[2].splitlines()
    assert said == ["SYN flood of 10.9.0.3", "port scan of 10.9.0.5 by 10.0.1.77"]


def test_scan_finds_both_kinds_of_scanners_and_shuts_them_out(run: Run) -> None:
    chance = random.Random(4)
    clean = background(chance, 3)
    of_ports = [openings("10.0.1.77", "10.9.0.5", 4000 + k, k + 1, 1_700_000_001 + k / 400) for k in range(300)]
    of_hosts = [
        openings("10.0.9.9", f"10.8.{k // 200}.{k % 200}", 4000, 445, 1_700_000_002 + k / 900) for k in range(500)
    ]
    slow = [openings("10.0.9.8", f"10.7.0.{k % 99}", 4000 + k, k % 99, 1_700_000_001 + k / 900) for k in range(900)]
    frames = sorted([*clean, *of_ports, *of_hosts, *slow], key=lambda packet: packet.time)
    report, out, said = run("scan", frames)
    first, *scanners = said.splitlines()
    assert scanners == ["10.0.1.77 scans: 100 ports, 1 hosts", "10.0.9.9 scans: 1 ports, 100 hosts"]
    assert drops(report) == {"scanner": 200 + 400}
    assert len(out) == len(frames) - 600
    tcp = [frame for frame in frames if frame[TCP].flags == "S"]
    sources, hosts = ({frame[IP].getfieldval(end) for frame in tcp} for end in ("src", "dst"))
    about = [int(word.replace(",", "")) for word in first.split() if word[0].isdigit()]
    assert about[0] == pytest.approx(len(sources), rel=0.07)
    assert about[1] == pytest.approx(len(hosts) - 400, rel=0.07)  # those that are dropped are not looked at
