"""`burstline flows`: captures in, tables out."""

from __future__ import annotations

import csv
import json
import random
import struct
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from burstline.cli.main import main
from burstline.engine.interpreter import Interpreter
from burstline.engine.offline import FileRun
from burstline.flows.columns import COLUMNS
from burstline.flows.ja4 import ja4
from burstline.flows.meter import Meter
from burstline.flows.output import FlowOutput
from burstline.flows.records import Settings
from capture_files import pcap_header, record
from test_flows_names import CHROME, dns, hello_message, tls_stream

parquet = pytest.importorskip("pyarrow.parquet")
CLIENT, SERVER = ip_address("192.0.2.1"), ip_address("198.51.100.2")
START = 1_700_000_000_000_000_000
MS = 1_000_000
Packets = list[tuple[int, bytes]]  # ns since START, and the frame


def ip(payload: bytes, proto: int, back: bool = False, ttl: int = 64) -> bytes:
    ends = (SERVER, CLIENT) if back else (CLIENT, SERVER)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, ttl, proto, 0)
    return head + ends[0].packed + ends[1].packed + payload


def ethernet(packet: bytes) -> bytes:
    return bytes(12) + b"\x08\x00" + packet


def tcp(seq: int, flags: int, data: bytes = b"", back: bool = False, port: int = 443, ttl: int = 64) -> bytes:
    ports = (port, 50_000) if back else (50_000, port)
    return ip(struct.pack(">HHIIBBHHH", *ports, seq & 0xFFFFFFFF, 0, 0x50, flags, 0, 0, 0) + data, 6, back, ttl)


def udp(data: bytes, sport: int, dport: int, back: bool = False) -> bytes:
    return ip(struct.pack(">HHHH", sport, dport, 8 + len(data), 0) + data, 17, back)


def capture(packets: Packets, path: Path) -> Path:
    second = 10**9
    records = [record("<", (START + ns) // second, ns % second, frame) for ns, frame in packets]
    path.write_bytes(pcap_header("<") + b"".join(records))
    return path


def handshake(base: int, port: int = 443) -> Packets:
    return [
        (0, ethernet(tcp(base, 0x02, port=port))),
        (20 * MS, ethernet(tcp(900, 0x12, back=True, port=port, ttl=50))),
        (25 * MS, ethernet(tcp(base + 1, 0x10, port=port))),
    ]


def flows(path: Path, **options: Any) -> list[dict[str, Any]]:
    """Compiled and interpreted, which have to agree."""
    found = []
    for compiled in (True, False):
        meter = Meter(Settings(**options))
        output, rows = FlowOutput(meter, [], several=False), []
        meter.flows.expired(lambda r, output=output, rows=rows: rows.extend(output.rows(r)))
        if compiled:
            FileRun(meter.pipeline, str(path), None).run()
        else:
            Interpreter(meter.pipeline, str(path)).run_file(str(path), None, None, None)
        found.append([{name: plain(row[name]) for name in row.dtype.names} for row in rows])
    assert found[0] == found[1]
    return found[0]


def plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def test_times_flags_and_lengths_of_a_connection(tmp_path: Path) -> None:
    packets = [*handshake(100), (30 * MS, ethernet(tcp(101, 0x18, b"x" * 100))),
               (50 * MS, ethernet(tcp(901, 0x18, b"y" * 300, back=True, ttl=49)))]  # fmt: skip
    (row,) = flows(capture(packets, tmp_path / "c.pcap"))
    assert (row["syn_rtt"], row["ack_rtt"]) == (20 * MS, 5 * MS)
    assert (row["first"], row["last"]) == (START, START + 50 * MS)
    assert (row["first_back"], row["last_back"]) == (START + 20 * MS, START + 50 * MS)
    assert (row["packets"], row["packets_back"]) == (3, 2)
    assert (row["payload_bytes"], row["payload_bytes_back"]) == (100, 300)
    assert (row["tcp_flags"], row["tcp_flags_back"]) == (0x1A, 0x1A)
    assert (row["min_ttl"], row["max_ttl"], row["min_length"], row["max_length"]) == (49, 64, 54, 354)
    assert (row["sni"], row["reason"]) == (None, b"end")


@pytest.mark.parametrize("seed", range(6))
def test_a_client_hello_in_segments_of_any_order_is_read(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    base, size = chance.choice((100, 0xFFFFFFF0)), chance.choice((1, 100, 600, 1400))
    stream = tls_stream(hello_message(CHROME), chance.choice((400, 16_000)))
    if size == 1:
        stream, size = stream, len(stream) // 10 + 1
    segments = [(at, stream[at : at + size]) for at in range(0, len(stream), size)]
    if seed:
        segments = chance.sample(segments, len(segments)) + segments[:2]
    packets = handshake(base)
    packets += [((30 + k) * MS, ethernet(tcp(base + 1 + at, 0x18, data))) for k, (at, data) in enumerate(segments)]
    packets += [(90 * MS, ethernet(tcp(base + 1 + len(stream), 0x18, b"\x17\x03\x03\x00\x02ab")))]
    (row,) = flows(capture(packets, tmp_path / "c.pcap"))
    assert (row["sni"], row["alpn"], row["ja4"]) == ("example.org", "h2,http/1.1", ja4(CHROME))


@pytest.mark.parametrize("base", [100, 0xFFFFFFFF])
def test_a_client_hello_that_begins_in_the_syn_is_read(base: int, tmp_path: Path) -> None:
    """TCP Fast Open (RFC 7413): the SYN has a sequence number of its own."""
    stream = tls_stream(hello_message(CHROME), 16_000)
    packets = [(0, ethernet(tcp(base, 0x02, stream[:100]))), (20 * MS, ethernet(tcp(900, 0x12, back=True))),
               (25 * MS, ethernet(tcp(base + 101, 0x18, stream[100:])))]  # fmt: skip
    (row,) = flows(capture(packets, tmp_path / "c.pcap"))
    assert (row["sni"], row["ja4"]) == ("example.org", ja4(CHROME))


def test_tls_begins_later_where_there_is_starttls_and_nothing_is_read_elsewhere(tmp_path: Path) -> None:
    for port, name in ((25, "example.org"), (8025, None)):
        packets = handshake(7, port)
        for k, data in enumerate((b"EHLO me\r\n", b"STARTTLS\r\n", tls_stream(hello_message(CHROME), 16_000))):
            packets.append(((30 + k) * MS, ethernet(tcp(8 + 100 * k, 0x18, data, port=port))))
        (row,) = flows(capture(packets, tmp_path / "c.pcap"))
        assert row["sni"] == name


def test_questions_and_codes_of_dns_over_udp_and_tcp(tmp_path: Path) -> None:
    name = b"\x03www\x07example\0"
    packets = [(0, ethernet(udp(dns(name), 4000, 53))), (5, ethernet(udp(dns(name, 0x8183), 53, 4000, back=True)))]
    question = dns(name)
    stream = len(question).to_bytes(2) + question
    packets += [(ns + 10, frame) for ns, frame in handshake(5, 53)]
    packets += [((30 + k) * MS, ethernet(tcp(6 + at, 0x18, stream[at : at + 7], port=53)))
                for k, at in enumerate(range(0, len(stream), 7))]  # fmt: skip
    first, second = flows(capture(packets, tmp_path / "c.pcap"))
    assert (first["dns_name"], first["dns_type"], first["dns_code"]) == ("www.example", 28, 3)
    assert (second["dns_name"], second["dns_type"], second["dns_code"]) == ("www.example", 28, None)


def test_the_beginning_of_each_direction_is_kept(tmp_path: Path) -> None:
    packets = [*handshake(1, 80), (30 * MS, ethernet(tcp(2, 0x18, b"GET \0\0", port=80))),
               (40 * MS, ethernet(tcp(901, 0x18, b"HTTP/1.1 200 OK", back=True, port=80))),
               (50 * MS, ethernet(tcp(8, 0x18, b"more", port=80)))]  # fmt: skip
    (row,) = flows(capture(packets, tmp_path / "c.pcap"), payload=8, tunnels=True)  # as below: compiled once
    assert (row["payload"], row["payload_back"]) == (b"GET \0\0", b"HTTP/1.1")


def test_flows_inside_of_tunnels(tmp_path: Path) -> None:
    inner = [frame for _, frame in [*handshake(1), (0, ethernet(tcp(2, 0x18, tls_stream(hello_message(CHROME), 999))))]]
    vxlan = struct.pack(">II", 0x08000000, 77 << 8)
    packets = [(k, ethernet(udp(vxlan + frame, 5000 + k, 4789))) for k, frame in enumerate(inner)]
    path = capture(packets, tmp_path / "c.pcap")
    assert [row["dport"] for row in flows(path)] == [4789] * 4
    (row,) = flows(path, payload=8, tunnels=True)
    assert (row["dport"], row["protocol"], row["tunnel"], row["tunnel_id"]) == (443, 6, "vxlan", 77)
    assert (row["sni"], row["tcp_flags_back"], row["packets_back"]) == ("example.org", 0x12, 1)


def test_one_way_flows_and_timeouts(tmp_path: Path) -> None:
    path = capture([*handshake(1), (9000 * MS, ethernet(tcp(2, 0x10)))], tmp_path / "c.pcap")
    assert [(r["sport"], r["packets"], r["packets_back"]) for r in flows(path, both_ways=False)] == [
        (50_000, 3, 0), (443, 1, 0)]  # fmt: skip
    assert [(row["packets"], row["reason"]) for row in flows(path, idle=5.0)] == [(2, b"idle"), (1, b"end")]


def test_a_directory_goes_into_one_table_and_what_cannot_be_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "captures", tmp_path / "flows.parquet"
    folder.mkdir()
    for name in ("b", "a"):
        assert main(["gen", str(folder / f"{name}.pcap"), "--packets", "5k", "--flows", "300"]) == 0
    (folder / "c.pcap").write_text("no capture")
    (folder / "notes.txt").write_text("no capture either")
    capsys.readouterr()
    assert main(["flows", str(folder), "-o", str(out), "--json"]) == 1
    said = capsys.readouterr()
    assert said.err.count("c.pcap is neither pcap nor pcapng") == 1
    assert "1 of 3 captures could not be read to their end" in said.err
    report = json.loads(said.out)
    table = parquet.read_table(out)
    assert [path.rpartition("/")[2] for path in table.column("capture").unique().to_pylist()] == ["a.pcap", "b.pcap"]
    assert table.num_rows == report["flows"] == report["exports"][0]["exported"] == 600
    assert sum(table.column("packets").to_pylist()) + sum(table.column("packets_back").to_pylist()) == 10_000


def test_every_column_is_described_and_csv_goes_to_standard_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "g.pcap")
    assert main(["gen", path, "--packets", "2k", "--flows", "100"]) == 0
    capfd.readouterr()
    assert main(["flows", path, path, "--tunnels", "--payload", "8"]) == 0
    said = capfd.readouterr()
    rows = list(csv.DictReader(said.out.splitlines()))
    assert list(rows[0]) == [column.name for column in COLUMNS]
    assert len(rows) == 200
    assert "200 flows of 4,000 packets" in said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["empty"], "there are no captures in"),
        (["c.pcap", "--payload", "-1"], "--payload -1 is out of range"),
        (["c.pcap", "--workers", "0"], "is no number of workers"),
        (["c.pcap", "--filter", "prot tcp"], "column"),
        (["c.pcap", "dpdk:net_null0"], "of captures or of ports"),
        (["c.pcap", "-o", "flows.xls"], "what kind of file is that"),
        (["c.pcap", "-o", "nowhere/flows.parquet"], "there is no such directory"),
        (["c.pcap", "-o", "flows.csv", "-o", "csv:./flows.csv?queue=9"], "records go there already"),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    capture(handshake(1), tmp_path / "c.pcap")
    assert main(["flows", *words]) in (1, 2)
    assert said in capsys.readouterr().err


def test_what_a_sink_refuses_is_in_the_report_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run whose collector is not there goes on, and tells how many records are missing."""
    app = Path(__file__).parents[1] / "examples" / "flow_meter.py"
    out = tmp_path / "f.parquet"
    words = ["run", str(app), "gen:packets=2k,flows=100", "--json", "--export", str(out)]
    assert main([*words, "--export", "ipfix+tcp://127.0.0.1:9?patience=0.2s"]) == 0
    said = capsys.readouterr()
    file, collector = json.loads(said.out)["exports"]
    assert (file["exported"], file["refused"], file["table"]) == (100, 0, "Flow")
    assert (collector["exported"], collector["refused"], collector["waiting"]) == (0, 100, 0)
    assert "100 flow records did not go to ipfix+tcp://127.0.0.1:9" in said.err
    assert parquet.read_table(out).num_rows == 100
