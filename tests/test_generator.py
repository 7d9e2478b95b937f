"""Generated traffic: the same seed gives the same bytes, every packet is right, and the whole is what was asked for."""

from __future__ import annotations

import hashlib
import io
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Dot1Q, Ether

from burstline.cli.main import main
from burstline.errors import UsageError
from burstline.packet.flow_key import flow_key
from burstline.packet.parser import LINK_ETHERNET, Parsed, parse
from burstline.ports.capture_reader import CapturedPacket, read_capture
from burstline.ports.capture_writer import Format
from burstline.ports.frame_sizes import ENTRIES, size_table
from burstline.ports.generator import Generator
from burstline.ports.source import open_source, open_stream
from burstline.ports.traffic import LARGEST, PARAMETERS, SMALLEST, START, Traffic, number, parse_source

SECOND = 1_000_000_000
CALCULATED = {IP: ("len", "chksum"), IPv6: ("plen",), TCP: ("chksum",), UDP: ("len", "chksum"), ICMP: ("chksum",)}


def made(traffic: Traffic, format: Format = "pcap") -> bytes:
    return b"".join(map(bytes, Generator(traffic, format).pieces()))


def packets_of(traffic: Traffic, format: Format = "pcap") -> list[CapturedPacket]:
    return list(read_capture(io.BytesIO(made(traffic, format)), "generated"))


def key_of(packet: CapturedPacket) -> bytes:
    data = packet.data
    return flow_key(data, Parsed(*parse(data, len(data), LINK_ETHERNET)))


def source_text(traffic: Traffic) -> str:
    return "gen:" + ",".join(f"{name}={getattr(traffic, name)}" for name in PARAMETERS)


traffics = st.builds(
    Traffic,
    packets=st.integers(0, 3000),
    flows=st.integers(1, 500),
    zipf=st.floats(0, 3),
    mean=st.integers(78, LARGEST),
    seed=st.integers(0, 2**64 - 1),
    rate=st.integers(1, 10**9),
    ipv6=st.floats(0, 1),
    vlan=st.floats(0, 1),
    snaplen=st.sampled_from([1, 60, 96, 1 << 20]),
)


@pytest.mark.parametrize("format", ["pcap", "pcapng"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(format: Format) -> None:
    first, again, other = (made(Traffic(packets=2000, flows=100, seed=seed), format) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_both_formats_hold_the_same_packets() -> None:
    traffic = Traffic(packets=3000, flows=50, snaplen=101)
    assert packets_of(traffic, "pcap") == packets_of(traffic, "pcapng")


def test_scapy_calculates_the_same_lengths_and_checksums() -> None:
    traffic = Traffic(packets=1500, flows=300, zipf=0.5, ipv6=0.5, vlan=0.3)
    kinds = Counter[tuple[bool, bool, str]]()
    for packet in packets_of(traffic):
        frame = Ether(packet.data)
        transport = next(t for t in (TCP, UDP, ICMP, ICMPv6EchoRequest) if frame.haslayer(t))
        kinds[IPv6 in frame, Dot1Q in frame, transport.__name__[:4]] += 1
        for layer, fields in {**CALCULATED, ICMPv6EchoRequest: ("cksum",)}.items():
            for name in fields if frame.haslayer(layer) else ():
                assert frame[layer].fields.pop(name) is not None
        assert bytes(frame) == packet.data
        assert 0 not in bytes(frame[transport].payload)
    assert len(kinds) == 12  # IPv4 and IPv6, with and without a tag, TCP, UDP and ICMP


def test_udp_never_has_a_checksum_of_zero() -> None:
    packets = packets_of(Traffic(packets=40_000, flows=20, ipv6=1, vlan=0, mean=80))
    datagrams = [p.data for p in packets if p.data[20] == 17]
    assert len(datagrams) > 5000
    assert all(d[60:62] != b"\0\0" for d in datagrams)


@settings(deadline=None, max_examples=40)
@given(traffics)
def test_whatever_is_asked_for_holds(traffic: Traffic) -> None:
    packets = packets_of(traffic)
    assert len(packets) == traffic.packets
    for k, packet in enumerate(packets):
        assert packet.time == START * SECOND + k * SECOND // traffic.rate
        assert SMALLEST <= packet.length <= LARGEST
        assert len(packet.data) == min(packet.length, traffic.snaplen)
    if traffic.packets >= ENTRIES:
        assert math.isclose(sum(p.length for p in packets) / len(packets), traffic.mean, rel_tol=0.05)
    if traffic.snaplen >= 60:
        flows = len({key_of(packet) for packet in packets})
        assert flows <= traffic.flows
        if traffic.packets >= traffic.flows:
            assert flows == traffic.flows


@pytest.mark.parametrize("packets", [1000, 20_000])
@pytest.mark.parametrize("mean", [64, 100, 360, 1000, 1514])
def test_the_mean_size_is_met_within_a_hundredth(packets: int, mean: int) -> None:
    traffic = Traffic(packets=packets, flows=1000, mean=mean, ipv6=0 if mean == 64 else 0.2)
    found = [packet.length for packet in packets_of(traffic)]
    assert math.isclose(sum(found) / packets, mean, rel_tol=0.01)


def test_sizes_are_many_small_ones_many_full_ones_and_some_between() -> None:
    sizes = [packet.length for packet in packets_of(Traffic(packets=20_000))]
    small, full = (sum(low <= size <= high for size in sizes) / len(sizes) for low, high in ((64, 120), (1514, 1514)))
    assert small > 0.5
    assert full > 0.1
    assert 1 - small - full > 0.1
    assert len(set(sizes)) > 100


@settings(deadline=None)
@given(st.integers(SMALLEST, LARGEST), st.sampled_from([64, 66, 74, 78]))
def test_a_table_of_sizes_has_exactly_the_mean(mean: int, least: int) -> None:
    mean = max(mean, least)
    table = size_table(mean, least)
    assert sum(table) == mean * ENTRIES
    assert list(table) == sorted(table)
    assert least <= table[0]
    assert table[-1] <= LARGEST


@pytest.mark.parametrize("zipf", [0.0, 0.8, 1.1, 2.0])
def test_flow_sizes_follow_zipfs_law(zipf: float) -> None:
    traffic = Traffic(packets=30_000, flows=200, zipf=zipf, snaplen=90)
    found = sorted(Counter(map(key_of, packets_of(traffic))).values(), reverse=True)
    weights = [rank**-zipf for rank in range(1, traffic.flows + 1)]
    expected = [traffic.packets * weight / sum(weights) for weight in weights]
    assert len(found) == traffic.flows
    # A flow has one packet at least, which the others lack: more than a percent of them only where most have no more.
    lacking = sum(max(0.0, 1 - packets) for packets in expected) / traffic.packets
    for rank in (1, 2, 3, 5, 10, 20, 50, 100):
        few, many = sum(expected[:rank]) * (1 - lacking), sum(expected[:rank])
        slack = 5 * math.sqrt(many) + (5 * math.sqrt(rank * traffic.packets / traffic.flows) if zipf == 0 else 0)
        assert few - slack <= sum(found[:rank]) <= many + slack, rank


def test_shares_of_ipv6_vlan_and_transports_hold_for_packets_and_for_flows() -> None:
    packets = packets_of(Traffic(packets=40_000, flows=5000, ipv6=0.3, vlan=0.1, snaplen=90))
    kinds = [key_of(packet)[:2] for packet in packets]
    flows = {key_of(packet): packet.data for packet in packets}

    def shares(keys: list[bytes], frames: list[bytes]) -> list[float]:
        tagged = sum(frame[12:14] == b"\x81\x00" for frame in frames)
        counts = [sum(key[1] == 6 for key in keys), tagged, *(sum(k[0] == p for k in keys) for p in (6, 17))]
        return [count / len(keys) for count in counts]

    assert shares(kinds, [p.data for p in packets]) == pytest.approx([0.3, 0.1, 0.8, 0.17], abs=0.01)
    assert shares(list(flows), list(flows.values())) == pytest.approx([0.3, 0.1, 0.8, 0.17], abs=0.02)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_none_and_of_all_is_exact(share: float) -> None:
    for packet in packets_of(Traffic(packets=500, flows=100, ipv6=share, vlan=share)):
        ethertype = packet.data[12:14]
        assert ethertype == (b"\x81\x00" if share else b"\x08\x00")
        assert (packet.data[16:18] == b"\x86\xdd") == bool(share)


def test_sequence_numbers_of_tcp_and_icmp_go_on_from_packet_to_packet() -> None:
    following: dict[bytes, int] = {}
    seen = Counter[str]()
    for packet in packets_of(Traffic(packets=2000, flows=40, zipf=0, ipv6=0)):
        frame, key = Ether(packet.data), key_of(packet)
        if TCP in frame:
            sequence, size, bits = frame[TCP].seq, len(frame[TCP].payload), 32
        elif ICMP in frame:
            sequence, size, bits = frame[ICMP].seq, 1, 16
        else:
            continue
        assert following.get(key, sequence) == sequence
        following[key] = (sequence + size) % (1 << bits)
        seen["tcp" if bits == 32 else "icmp"] += 1
    assert min(seen["tcp"], seen["icmp"]) > 20


def test_the_source_gives_the_bytes_of_the_file_with_the_same_parameters(tmp_path: Path) -> None:
    traffic = Traffic(packets=20_000, flows=700, zipf=0.9, mean=500, seed=3, ipv6=0.5, snaplen=700)
    file = tmp_path / "x.pcap"
    options = [word for name in PARAMETERS for word in (f"--{name}", str(getattr(traffic, name)))]
    assert main(["gen", str(file), *options]) == 0
    source = open_source(source_text(traffic))
    read = source.head
    while piece := os.read(source.fd, 1 << 20):
        read += piece
    source.finish()
    source.close()
    source.close()
    assert not source.seekable
    assert read == file.read_bytes()
    with open_stream(source_text(traffic)) as stream:
        assert stream.read() == read


def test_a_source_that_is_closed_early_ends_its_thread() -> None:
    from burstline.ports.generator_feeder import GeneratorFeeder

    with GeneratorFeeder("gen:packets=1e15") as feeder:
        assert os.read(feeder.fd, 4) == b"\x4d\x3c\xb2\xa1"
    assert not feeder._thread.is_alive()
    stream = open_stream("gen:packets=1e15")
    assert len(stream.read(100_000)) == 100_000
    stream.close()


def test_a_compiled_run_takes_generated_traffic_as_its_source() -> None:
    import burstline as bl
    from burstline.engine.offline import FileRun

    @bl.stage
    def nothing(pkt: bl.Packet) -> None:
        pass

    report = FileRun(bl.Pipeline(nothing), "gen:packets=50k,flows=100,mean=200", None, workers=2).run()
    assert report.received.packets == 50_000
    assert math.isclose(report.received.bytes, 200 * 50_000, rel_tol=0.01)


def test_a_warm_start_imports_neither_numba_nor_numpy(session_cache: Path) -> None:
    made(Traffic(packets=1))
    code = (
        "import sys; from burstline.ports.generator import Generator; from burstline.ports.traffic import Traffic\n"
        "for piece in Generator(Traffic(packets=5)).pieces(): pass\n"
        "print(sorted({'numba', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e6", 10**6), ("10k", 10**4), ("2.5M", 2_500_000), ("1G", 10**9), ("1_000", 1000), ("20%", 0.2), (" 7 ", 7)],
)
def test_numbers_can_be_written_short(text: str, value: float) -> None:
    assert float(number(text)) == value


@pytest.mark.parametrize("text", ["", "k", "ten", "1e", "nan", "inf", "-inf", "1e999999999", "0x10", "1 000", "10kk"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        number(text)


def test_a_source_without_parameters_has_the_defaults() -> None:
    assert parse_source("gen:") == Traffic()
    assert parse_source("gen:packets=1e3, seed=2") == Traffic(packets=1000, seed=2)


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("gen:packet=5", "no parameter 'packet'", "did you mean packets?"),
        ("gen:colour=5", "no parameter 'colour'", "the parameters are packets, flows"),
        ("gen:packets", "packets has no value", "write packets=1000000"),
        ("gen:seed=1,seed=2", "seed is given twice", "leave one"),
        ("gen:packets=many", "packets is 'many', not a whole number", "how many packets"),
        ("gen:packets=1.5", "packets is '1.5', not a whole number", "how many packets"),
        ("gen:flows=0", "flows is '0', not a whole number from 1", "how many 5-tuples"),
        ("gen:zipf=-1", "zipf is '-1', not a number from 0 to 10", "rank"),
        ("gen:ipv6=2", "ipv6 is '2', not a number from 0 to 1", "share"),
        ("gen:mean=63", "mean is '63', not a whole number from 64 to 1,514", "mean size"),
        ("gen:mean=70", "too small for IPv6", "mean 78 or more, or gen: ipv6 0"),
        ("gen:packets=1e12,rate=1", "longer than timestamps", "higher gen: rate"),
    ],
)
def test_wrong_parameters_are_refused_with_a_hint(source: str, message: str, hint: str) -> None:
    for opening in (open_source, open_stream):
        with pytest.raises(UsageError) as caught:
            opening(source)
        assert message in caught.value.message
        assert hint in (caught.value.hint or "")


def test_the_command_tells_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.pcapng"
    assert main(["gen", str(file), "--packets", "2k", "--flows", "1e2"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert f"{file}: 2,000 packets of 100 flows" in told.out
    with open(file, "rb") as stream:
        assert len(list(read_capture(stream, "x"))) == 2000


def test_wrong_options_are_named_as_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gen", str(tmp_path / "x.pcap"), "--packets", "none"]) == 2
    assert main(["gen", str(tmp_path / "x.pcap"), "--mean", "64"]) == 2
    told = capsys.readouterr().err
    assert "--packets is 'none'" in told
    assert "give --mean 78 or more, or --ipv6 0" in told
    assert not (tmp_path / "x.pcap").exists()


def test_an_output_that_cannot_be_opened_or_written_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gen", str(tmp_path / "no" / "x.pcap"), "--packets", "5"]) == 1
    assert "No such file or directory" in capsys.readouterr().err
    if os.path.exists("/dev/full"):
        assert main(["gen", "/dev/full", "--packets", "5"]) == 1
        told = capsys.readouterr().err
        assert "cannot write /dev/full: No space left on device" in told
        assert "free space there" in told


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of file sizes")
@pytest.mark.parametrize("name", ["x.pcap", "x.pcapng"])
def test_a_file_that_could_not_be_written_whole_holds_whole_packets(tmp_path: Path, name: str) -> None:
    file = str(tmp_path / name)
    code = (
        "import resource, sys; from burstline.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        f"sys.exit(main(['gen', {file!r}, '--packets', '1e6']))"
    )
    made(Traffic(packets=1))  # the child finds the machine code in the cache, and writes none there
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert done.stderr.startswith(f"burstline: error: cannot write {file}: File too large")
    with open(file, "rb") as stream:
        assert len(list(read_capture(stream, name))) > 500


def test_standard_output_is_a_pcapng_and_nothing_else() -> None:
    made(Traffic(packets=1))
    words = [sys.executable, "-m", "burstline", "gen", "-", "--packets", "100"]
    done = subprocess.run(words, capture_output=True, check=True, timeout=300)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(made(Traffic(packets=100), "pcapng")).digest()
    assert b"100 packets" in done.stderr
