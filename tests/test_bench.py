"""The bench harness: what a row says, what is printed, which peers are found, and that the yardsticks count right."""

from __future__ import annotations

import json
import math
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import captures, flow_peers, install, process, testpmd
from benchmarks.harness import flows as flow_lists
from burstline.cli import bench
from burstline.cli.bench import Missing, Options, Row
from burstline.cli.main import main
from burstline.errors import BurstlineError, UsageError

ROOT = Path(__file__).resolve().parents[1]


def row(ours: float, theirs: float | None, unit: str = "packets/s") -> Row:
    return Row("offline", "a case", "peer", ours, theirs, unit, 3)


def test_a_ratio_above_one_means_that_we_are_better_for_rates_and_for_times() -> None:
    assert row(20e6, 10e6).ratio == 2
    assert row(5e6, 10e6).ratio == 0.5
    assert row(1.0, 3.0, "s").ratio == 3
    assert row(40.0, 20.0, "ns/packet").ratio == 0.5
    assert row(1.0, None, "s").ratio is None
    assert row(1.0, 0.0).ratio == math.inf


def test_pairs_alternate_the_first_is_dropped_and_medians_are_given() -> None:
    order: list[str] = []
    ours, theirs = iter([1000.0, 3.0, 1.0, 2.0]), iter([1000.0, 30.0, 10.0, 20.0])

    def side(name: str, values: Any) -> float:
        order.append(name)
        return float(next(values))

    assert bench.alternate(lambda: side("A", ours), lambda: side("B", theirs), 3) == (2.0, 20.0)
    assert "".join(order) == "ABABABAB"


def test_json_has_the_promised_keys_and_nothing_else() -> None:
    document = bench.document([row(14.1e6, 0.12e6)], [Missing("offline", "tshark", "apt-get install tshark")])
    assert json.loads(json.dumps(document)) == {
        "rows": [
            {"bench": "offline", "case": "a case", "peer": "peer", "ours": 14.1e6, "theirs": 0.12e6}
            | {"unit": "packets/s", "ratio": 117.5, "runs": 3}
        ],
        "missing": [{"bench": "offline", "peer": "tshark", "install": "apt-get install tshark"}],
    }
    without_peer = Row("start", "cold", None, 2.5, None, "s", 5).as_json()
    assert (without_peer["peer"], without_peer["theirs"], without_peer["ratio"]) == (None, None, None)


def test_the_table_is_aligned_and_a_row_without_a_peer_has_dashes() -> None:
    lines = bench.table([row(15.72e6, 107_300), Row("start", "cold", None, 2.5, None, "s", 5)]).splitlines()
    assert lines[0].split() == ["bench", "case", "peer", "ours", "theirs", "unit", "ratio", "runs"]
    assert "15.72 M" in lines[1] and "107.3 k" in lines[1] and "147" in lines[1]
    assert lines[2].split() == ["start", "cold", "-", "2.5", "-", "s", "-", "5"]
    assert lines[1].index("packets/s") == lines[2].index(" s ") + 1


@pytest.fixture
def benches(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with two benches: one whose peer is missing, one that breaks after its first row."""
    directory = tmp_path / f"benches_{request.node.name}"
    directory.mkdir()
    (directory / "good.py").write_text(
        textwrap.dedent('''
        """Nothing much is compared."""
        from burstline.cli.bench import Row
        def run(options):
            options.lacks("rabbit", "apt-get install rabbit")
            yield Row("good", f"{options.runs(5)} runs", "hare", 2.0, 1.0, "packets/s", options.runs(5))
        ''')
    )
    (directory / "broken.py").write_text(
        textwrap.dedent('''
        """It breaks."""
        from burstline.cli.bench import Row
        from burstline.errors import BurstlineError
        def run(options):
            yield Row("broken", "before", None, 1.0, None, "s", 1)
            raise BurstlineError("the wheel came off", "put it on again")
        ''')
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    return directory


def test_json_is_all_that_standard_output_gets(benches: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "good", "--json", "--quick", "--dir", str(benches)]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert [r["case"] for r in document["rows"]] == ["2 runs"]
    assert document["missing"] == [{"bench": "good", "peer": "rabbit", "install": "apt-get install rabbit"}]
    assert "2 times as good" not in said.out and "times as good" in said.err


def test_a_missing_peer_is_named_with_what_installs_it(benches: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "good", "--dir", str(benches)]) == 0
    said = capsys.readouterr().out
    assert "missing: rabbit (good); install it with: apt-get install rabbit" in said
    assert "hare" in said


def test_a_bench_that_fails_leaves_its_rows_and_ends_with_an_error(
    benches: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "broken", "good", "--json", "--dir", str(benches)]) == 1
    said = capsys.readouterr()
    assert [r["bench"] for r in json.loads(said.out)["rows"]] == ["broken", "good"]
    assert "the wheel came off" in said.err and "put it on again" in said.err and "Traceback" not in said.err


def test_the_list_shows_what_each_bench_compares(benches: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--list", "--dir", str(benches)]) == 0
    assert capsys.readouterr().out.split("\n")[:4] == [
        "broken",
        "    It breaks.",
        "good",
        "    Nothing much is compared.",
    ]


def test_an_unknown_bench_and_a_missing_directory_are_usage_errors(
    benches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "beter", "--dir", str(benches)]) == 2
    assert "the benches are broken, good" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "__file__", str(tmp_path / "site" / "burstline" / "cli" / "bench.py"))
    with pytest.raises(UsageError, match="not installed with the package") as caught:
        bench.find_directory()
    assert "from a checkout" in str(caught.value.hint)
    with pytest.raises(UsageError, match="no benches"):
        bench.find_directory(tmp_path / "nowhere")


def test_the_checkout_has_the_promised_benches_and_each_says_what_it_compares() -> None:
    directory = bench.find_directory(ROOT / "benchmarks")
    assert set(bench.bench_names(directory)) >= {"offline", "forward", "start"}
    for name in bench.bench_names(directory):
        assert len((bench.load(directory, name).__doc__ or "").split()) > 20


def test_a_program_that_fails_is_told_with_what_it_said() -> None:
    assert process.output([sys.executable, "-c", "print(7)"], core=process.measuring_core()) == "7\n"
    with pytest.raises(BurstlineError, match="code 3") as caught:
        process.output([sys.executable, "-c", "import sys; sys.exit('no' + 'pe') if 0 else sys.exit(3)"])
    assert "sys.exit" in str(caught.value.hint)
    with pytest.raises(BurstlineError, match="cannot be run"):
        process.output(["/nowhere/at-all"])


def test_a_measured_program_stays_on_its_core() -> None:
    core = process.measuring_core()
    code = "import os; print(sorted(os.sched_getaffinity(0)))"
    assert process.output([sys.executable, "-c", code], core=core) == f"[{core}]\n"


def test_unequal_flows_are_refused_and_the_first_difference_named() -> None:
    ours = flow_lists.add_up(["0a,0b,1,2,6,3,300\n", "0a,0b,1,2,6,1,100\n"])
    assert ours == {"0a,0b,1,2,6": (4, 400)}
    flow_lists.must_equal(ours, dict(ours), "dpkt")
    with pytest.raises(BurstlineError, match=r"dpkt counted other flows.*0a,0b,1,2,6.*\(4, 400\).*\(4, 401\)"):
        flow_lists.must_equal(ours, {"0a,0b,1,2,6": (4, 401)}, "dpkt")


def test_tshark_lines_become_flows() -> None:
    line = flow_peers.tshark_line
    assert line("10.0.0.1;10.0.0.2;;;6;;80;;;443;;;60\n") == "0a000001,0a000002,80,443,6,1,60"
    assert line(";;::1;::2;;44,17;;53;;;54;;90\n") == f"{'0' * 31}1,{'0' * 31}2,53,54,17,1,90"
    assert line("10.0.0.1,10.0.0.9;10.0.0.2,10.0.0.8;;;1,17;;;;;;;;70\n") == "0a000001,0a000002,0,0,1,1,70"
    assert line(";;;;;;;;;;;;42\n") is None


def test_testpmd_is_started_with_as_many_bursts_as_the_ring_is_to_hold() -> None:
    assert testpmd.start(testpmd.RING, 64) == "start tx_first 8"
    assert testpmd.start(testpmd.RING, 32) == "start tx_first 16"
    assert testpmd.start(testpmd.NULL, 64) == "start"
    assert "--vdev=net_null0,size=64,copy=0" in testpmd.command("testpmd", testpmd.NULL, 64)


def write_capture(path: Path, *, odd_ones: bool) -> dict[str, tuple[int, int]]:
    """Write plain packets, and with `odd_ones` all that the flow rule speaks of; gives the flows that they are."""
    from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
    from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
    from scapy.utils import wrpcap

    v4, v6 = {"src": "10.0.0.1", "dst": "192.168.7.9"}, {"src": "2001:db8::1", "dst": "fe80::9"}
    key4, key6 = "0a000001,c0a80709", "20010db8000000000000000000000001,fe800000000000000000000000000009"
    eth = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    plain = [
        (eth / IP(**v4) / TCP(sport=80, dport=443) / b"data", f"{key4},80,443,6"),
        (eth / IP(**v4) / TCP(sport=80, dport=443), f"{key4},80,443,6"),
        (eth / Dot1Q(vlan=5) / IP(**v4) / TCP(sport=80, dport=443), f"{key4},80,443,6"),
        (eth / IP(**v4) / ICMP() / b"ping", f"{key4},0,0,1"),
        (eth / IPv6(**v6) / UDP(sport=53, dport=5353) / b"y", f"{key6},53,5353,17"),
        (eth / Dot1Q(vlan=9) / IPv6(**v6) / TCP(sport=65535, dport=1), f"{key6},65535,1,6"),
        (eth / IPv6(**v6) / ICMPv6EchoRequest(), f"{key6},0,0,58"),
    ]
    odd = [
        (eth / IP(**v4, options=[IPOption_NOP()] * 8) / TCP(sport=80, dport=443) / b"more", f"{key4},80,443,6"),
        (eth / Dot1AD(vlan=7) / Dot1Q(vlan=5) / IP(**v4) / UDP(sport=53, dport=5353) / b"x", f"{key4},53,5353,17"),
        (eth / IP(**v4, flags="MF") / UDP(sport=1, dport=2, chksum=0) / bytes(16), f"{key4},1,2,17"),
        (eth / IP(**v4, frag=3, proto=17) / bytes(32), f"{key4},0,0,17"),
        (eth / IP(**v4, proto=47) / bytes(20), f"{key4},0,0,47"),
        (eth / IPv6(**v6) / IPv6ExtHdrDestOpt() / UDP(sport=53, dport=5353), f"{key6},53,5353,17"),
        (eth / IPv6(**v6) / IPv6ExtHdrFragment(offset=0, m=1) / UDP(sport=7, dport=8) / bytes(8), f"{key6},7,8,17"),
        (eth / IPv6(**v6) / IPv6ExtHdrFragment(offset=4, nh=17) / bytes(24), f"{key6},0,0,17"),
        (eth / ARP(), None),
    ]
    frames = plain + odd if odd_ones else plain
    wrpcap(str(path), [frame for frame, _ in frames])
    expected: dict[str, tuple[int, int]] = {}
    for frame, key in frames:
        if key is not None:
            packets, size = expected.get(key, (0, 0))
            expected[key] = (packets + 1, size + len(frame))
    return expected


def measure(name: str, cache: Path, path: Path) -> Any:
    environment = bench.cache_directory() / "venv"
    if environment.exists():
        (cache / "venv").symlink_to(environment)
    peer = next(p for p in flow_peers.find(cache, 64) if p.name == name)
    if isinstance(peer, flow_peers.Absent):
        pytest.skip(f"{name} is not here: {peer.install}")
    rate, flows = peer.measure(path)
    assert rate > 0
    return flows


@pytest.mark.parametrize(
    ("name", "odd_ones"),
    [
        ("C reading chunks", True),
        ("C over a mapped file", True),
        ("dpkt", True),
        ("scapy", False),
        ("NFStream", False),
        ("tshark -T fields", False),  # it has no field for the protocol after all extension headers
        ("tshark -T fields, no TCP analysis", False),
    ],
)
def test_peers_count_the_flows_that_are_there(name: str, odd_ones: bool, tmp_path: Path) -> None:
    path = tmp_path / "small.pcap"
    expected = write_capture(path, odd_ones=odd_ones)
    assert measure(name, tmp_path, path) == expected


def test_a_table_that_is_too_small_ends_the_yardstick_with_a_message(tmp_path: Path) -> None:
    binary = install.yardstick("flows_chunks", tmp_path)
    if binary is None:
        pytest.skip("neither clang nor gcc is here")
    path = tmp_path / "small.pcap"
    write_capture(path, odd_ones=False)
    with pytest.raises(BurstlineError, match="more flows than CAPACITY"):
        process.output([binary, path, "1", "3"])


def test_a_sample_is_the_first_packets_of_a_capture(tmp_path: Path) -> None:
    from scapy.utils import rdpcap

    path = tmp_path / "small.pcap"
    write_capture(path, odd_ones=True)
    assert [bytes(p) for p in rdpcap(str(captures.first(path, 4)))] == [bytes(p) for p in rdpcap(str(path))[:4]]


def test_quick_counts_fewer_runs() -> None:
    assert Options("x", quick=True).runs(7) == 2
    assert Options("x").runs(7) == 7


def test_rates_by_the_size_of_bursts_are_drawn_in_order(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.harness import plots

    drawn = plots.draw_bursts({256: (2e7, 3e6), 2: (4e6, 3e6), 32: (1.5e7, 3e6)}, tmp_path / "new").read_text()
    sizes = [size for size in re.findall(r"<!-- (\w+) -->", drawn) if size in ("2", "32", "256")]
    assert sizes[:3] == ["2", "32", "256"] and "million packets/s" in drawn
