"""Values of any length in IPFIX: texts and payloads of `burstline flows` as libfixbuf and a plain reader find them."""

from __future__ import annotations

import json
import re
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstline.cli.main import main
from burstline.export.ipfix.template import templates_of
from burstline.export.ipfix.variable import cut, fitting, records
from burstline.flows.columns import columns_of, row_type, shape_of
from burstline.flows.records import Settings
from test_export_ipfix import collected, dumped, flows_of, ipfixdump, nfdump


def read_back(piece: bytes, size: int, columns: int) -> list[tuple[bytes, list[bytes]]]:
    """By RFC 7011, 7: a length of one byte, or 255 and two bytes."""
    at, found = 0, []
    while at < len(piece):
        fixed, at = piece[at : at + size], at + size
        values = []
        for _ in range(columns):
            length, at = piece[at], at + 1
            if length == 255:
                length, at = int.from_bytes(piece[at : at + 2], "big"), at + 2
            values.append(piece[at : at + length])
            at += length
        found.append((fixed, values))
    assert at == len(piece)
    return found


values = st.one_of(
    st.binary(max_size=6), st.integers(0, 700).map(lambda n: b"x" * n), st.text(max_size=300).map(str.encode)
)


@given(st.lists(st.tuples(values, values, values), max_size=30), st.integers(64, 1400))
def test_values_are_read_back_from_pieces_that_fit_into_the_room(rows: list[tuple[bytes, ...]], room: int) -> None:
    fixed = b"".join(k.to_bytes(4, "big") for k in range(len(rows)))
    pieces = list(records(memoryview(fixed), 4, [[row[k] for row in rows] for k in range(3)], room))
    assert all(len(piece) <= room and count for piece, count in pieces)
    found = [record for piece, count in pieces for record in read_back(piece, 4, 3)]
    assert [len(read_back(piece, 4, 3)) for piece, _ in pieces] == [count for _, count in pieces]
    assert [record[0] for record in found] == [k.to_bytes(4, "big") for k in range(len(rows))]
    for (_, got), row in zip(found, rows, strict=True):
        if sum(map(len, row)) + 9 <= room - 4:
            assert tuple(got) == row
        else:
            assert all(whole.startswith(part) for part, whole in zip(got, row, strict=True))
            assert sum(map(len, got)) + 13 >= min(room - 4, sum(map(len, row))) - 4, "no more is cut than need be"


@given(st.text(min_size=1, max_size=20), st.integers(0, 90))
def test_a_text_that_is_cut_is_a_text_still(text: str, length: int) -> None:
    data = text.encode()
    found = cut(data, min(length, len(data) - 1))
    assert text.startswith(found.decode()) and len(found) > min(length, len(data) - 1) - 4
    assert cut(b"\x80" * 50, 20) == b"\x80" * 20, "bytes that are no text"


def test_the_longest_are_cut_first() -> None:
    assert fitting([b"a" * 10, b"b" * 500, b"c" * 300], 400) == [b"a" * 10, b"b" * 83, b"c" * 300]
    assert fitting([b"", b""], 1) == [b"", b""]


def test_columns_of_any_length_are_last_and_all_are_there() -> None:
    settings = Settings(payload=16, tunnels=True)
    columns = columns_of(settings, several=True)
    for template in templates_of(shape_of(columns, settings)):
        lengths = [part.size for part in template.parts]
        assert lengths == sorted(lengths, key=lambda size: size == 65535)
        names = {part.element.name for part in template.varying}
        assert names == {"capture", "tunnel", "payload", "payload_back", "sni", "alpn", "ja4", "dns_name"}
        rows = np.zeros(2, row_type(columns, settings))
        for name in names:
            rows[name] = None
        rows["dns_type"], rows["dns_code"] = [None, 28], [3, None]
        rows["payload"], rows["sni"], rows["tunnel"] = [b"\0\xff\0", None], [None, "grün.example"], ["vxlan", None]
        made = b"".join(piece for piece, _ in template.pieces(rows, 1400))
        at = {part.element.name: f"f{k}" for k, part in enumerate(template.parts)}
        found = read_back(made, template.dtype.itemsize, 8)
        texts = [{p.element.name: v for p, v in zip(template.varying, each, strict=True) if v} for _, each in found]
        assert texts == [{"payload": b"\0\xff\0", "tunnel": b"vxlan"}, {"sni": "grün.example".encode()}]
        fixed = np.frombuffer(b"".join(record for record, _ in found), template.dtype)
        assert fixed[at["dns_type"]].tolist() == [0, 28] and fixed[at["dns_code"]].tolist() == [3, 255]


@ipfixdump
@pytest.mark.parametrize("name", ["quic_interop_V.pcapng", "dns-google-nsid.pcapng", "http_ipv6.pcap"])
def test_libfixbuf_reads_the_names_of_flows(name: str, captures: Path, tmp_path: Path) -> None:
    capture = captures / "protocols" / name
    data = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def collect() -> None:
            connection, _ = server.accept()
            with connection:
                while piece := connection.recv(1 << 16):
                    data.extend(piece)

        collector = threading.Thread(target=collect)
        collector.start()
        sinks = ["-o", f"ipfix+tcp://127.0.0.1:{server.getsockname()[1]}", "-o", str(tmp_path / "flows.jsonl")]
        assert main(["flows", str(capture), *sinks]) == 0
        collector.join()
    expected = [json.loads(line) for line in (tmp_path / "flows.jsonl").read_text().splitlines()]
    found = flows_of(dumped(bytes(data), tmp_path))
    assert len(found) == len(expected) and any("sni" in row or "dns_name" in row for row in expected)
    for column in ("sni", "alpn", "ja4", "dns_name"):
        texts = [re.sub(r"^\(len: \d+\) ?", "", record[column]) for record in found]
        assert sorted(texts) == sorted(row.get(column, "") for row in expected)


@nfdump
def test_nfdump_passes_over_texts(captures: Path, tmp_path: Path) -> None:
    capture, listed = captures / "protocols" / "quic_interop_V.pcapng", tmp_path / "flows.jsonl"
    (tmp_path / "nfdump").mkdir()

    def export(port: int) -> None:
        sinks = ["-o", f"ipfix+udp://127.0.0.1:{port}", "-o", str(listed)]
        assert main(["flows", str(capture), "--payload", "32", *sinks]) == 0

    found = collected(export, tmp_path / "nfdump")
    for row in found:
        row[3] = row[3].partition(".")[0]  # of ICMP it tells type and code there
    expected = [json.loads(line) for line in listed.read_text().splitlines()]
    columns = ("src", "dst", "sport", "dport", "packets", "bytes", "packets_back")
    assert sorted(found) == sorted([str(row[column]) for column in columns] for row in expected)
