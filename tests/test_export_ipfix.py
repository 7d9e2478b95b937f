"""IPFIX as others read it: libfixbuf's ipfixDump, nfdump's collector, and tshark."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
import tshark
from burstline.errors import UsageError
from burstline.export.fault import Unreachable
from burstline.export.ipfix.elements import DELTA, DOCUMENTATION, IANA, REVERSE, U64, Element, element_of
from burstline.export.ipfix.exporter import IpfixExporter
from burstline.export.ipfix.message import Messages
from burstline.export.ipfix.template import templates_of
from burstline.export.outlet import Outlet
from burstline.export.spelling import target
from burstline.ports.capture_writer import create_capture
from export_rows import Sample, rows, shape

ipfixdump = pytest.mark.skipif(shutil.which("ipfixDump") is None, reason="libfixbuf-tools is not installed")
nfdump = pytest.mark.skipif(shutil.which("nfcapd") is None, reason="nfdump is not installed")


def received(given: Any, options: str = "", host: str = "127.0.0.1", of: Any = None) -> tuple[list[bytes], Outlet]:
    """The messages that a UDP collector gets."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as collector:
        collector.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        collector.bind((host, 0))
        outlet = Outlet(f"ipfix+udp://[{host}]:{collector.getsockname()[1]}?{options}".removesuffix("?"))
        outlet.begin(of or shape())
        outlet.put(given, waits=True)
        outlet.close()
        return [collector.recv(65535) for _ in range(outlet.status()["messages"])], outlet


def over_tcp(given: Any) -> bytes:
    with socket.create_server(("127.0.0.1", 0)) as server:
        outlet = Outlet(f"ipfix+tcp://127.0.0.1:{server.getsockname()[1]}")
        outlet.begin(shape())
        outlet.put(given, waits=True)
        connection, _ = server.accept()
        closing = threading.Thread(target=outlet.close)
        closing.start()
        found = bytearray()
        with connection:
            while piece := connection.recv(1 << 16):
                found += piece
        closing.join()
    assert outlet.status()["exported"] == len(given)
    return bytes(found)


def dumped(data: bytes, folder: Path) -> list[dict[str, str]]:
    """Data records, by the names of elements; those of our own by what their options records say."""
    path = folder / "messages.ipfix"
    path.write_bytes(data)
    words = ["ipfixDump", "--in", str(path), "--yaf", "--rfc5610", "--hexdump=16"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert "out of sequence" not in done.stdout + done.stderr
    records = re.split(r"--- (?:data|options|template|Message).*\n", done.stdout)
    found = [dict(re.findall(r"^\s*\(\d+(?:/\d+)?\)\s*(?:\(S\))?\s*(\w+) : (.*?)\s*$", r, re.M)) for r in records]
    return [record for record in found if record]


def flows_of(records: list[dict[str, str]]) -> list[dict[str, str]]:
    return [record for record in records if "ipVersion" in record]


@ipfixdump
@pytest.mark.parametrize("way", ["udp", "tcp"])
def test_libfixbuf_reads_back_what_was_exported(way: str, tmp_path: Path) -> None:
    given = rows(500, (4, 6, 0))
    data = b"".join(received(given)[0]) if way == "udp" else over_tcp(given)
    found = flows_of(dumped(data, tmp_path))
    assert len(found) == 500
    by_bytes = {int(record["octetDeltaCount"]): record for record in found}
    reasons = {b"idle": "1", b"active": "2", b"closed": "3", b"end": "4", b"evicted": "5"}
    for row in given:
        record, version = by_bytes[int(row["bytes"])], int(row["version"])
        assert record["ipVersion"] == str(version)
        if version:
            for end, name in (("src", "source"), ("dst", "destination")):
                raw = row[end].tobytes()[: 4 if version == 4 else 16]
                assert ip_address(record[f"{name}IPv{version}Address"]) == ip_address(raw)
            assert record["sourceTransportPort"] == str(row["sport"])
            assert record["destinationTransportPort"] == str(row["dport"])
            assert record["protocolIdentifier"] == "6"
        else:
            assert record["ethernetType"] == str(row["sport"])
        assert record["dot1qVlanId"] == str(row["vlan"])
        assert record["packetDeltaCount"] == str(row["packets"])
        assert record["reversePacketDeltaCount"] == str(row["packets_back"])
        assert record["flowEndReason"] == reasons[row["reason"]]
        assert record["mark"] == str(row["mark"])
        assert ip_address(record["gateway"]) == ip_address(int(row["gateway"]))
        assert float(record["rate"]) == pytest.approx(row["rate"], abs=1e-5)
        assert time_of(record["flowStartMilliseconds"]) == int(row["first"]) // 10**6


def time_of(text: str) -> int:
    """In milliseconds."""
    from datetime import UTC, datetime

    return round(datetime.fromisoformat(text.strip()).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("mtu", [576, 1500, 9000])
def test_messages_fit_into_the_mtu_and_their_sequence_numbers_count_records(mtu: int, host: str) -> None:
    messages, outlet = received(rows(1000), f"mtu={mtu}&domain=77", host)
    headers = 28 if host == "127.0.0.1" else 48
    sequence, records = 0, 0
    sizes = {256 + k: template.dtype.itemsize for k, template in enumerate(templates_of(shape()))}
    for message in messages:
        version, length, _, number, domain = struct.unpack_from(">HHIII", message)
        assert (version, length, number, domain) == (10, len(message), sequence, 77)
        assert len(message) <= mtu - headers
        set_number, set_length = struct.unpack_from(">HH", message, 16)
        assert set_length == len(message) - 16
        if set_number >= 256:
            count = (set_length - 4) // sizes[set_number] if set_number in sizes else descriptions(message)
            sequence += count
            records += count if set_number in sizes else 0
    assert records == outlet.status()["exported"] == 1000
    if mtu == 1500:
        assert max(map(len, messages)) > mtu - headers - max(sizes.values())


def descriptions(message: bytes) -> int:
    at, count = 20, 0
    while at < len(message):
        at, count = at + 28 + message[at + 26], count + 1
    return count


def test_the_sequence_number_wraps_at_32_bits() -> None:
    (template,) = [t for t in templates_of(shape()) if t.version == 4]
    messages = Messages([template], 1, 500)
    messages.sequence = (1 << 32) - 1
    numbers = [struct.unpack_from(">I", buffers[0], 8)[0] for buffers, _ in messages.data(template, rows(20, (4,)))]
    assert numbers[0] == (1 << 32) - 1
    assert numbers[1] < 20


def test_templates_are_sent_again_over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(60)
        outlet = Outlet(f"ipfix+udp://127.0.0.1:{collector.getsockname()[1]}?refresh=0.1s")
        outlet.begin(shape())
        outlet.put(rows(1), waits=False)
        templates = 0
        while templates < 3:  # though nothing else comes
            templates += struct.unpack_from(">H", collector.recv(65535), 16)[0] == 2
        outlet.close()


def udp_exporter(port: int, options: str = "") -> IpfixExporter:
    exporter = IpfixExporter(target(f"ipfix+udp://127.0.0.1:{port}{options}"))
    exporter.open(shape())
    return exporter


def test_over_udp_nobody_is_told_templates_again_and_again() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        exporter = udp_exporter(collector.getsockname()[1], "?refresh=1ms")
        exporter.write(rows(1))
    while exporter.due():
        time.sleep(0.001)
    with pytest.raises(Unreachable):
        exporter.tick()
        exporter.write(rows(1))
    assert exporter.due() is None, "the next rows begin a session, with templates"


def test_over_udp_a_route_may_come_back_and_a_message_that_is_too_large_stays_so() -> None:
    exporter = udp_exporter(9)
    with pytest.raises(Unreachable):
        exporter.write(rows(500))
    for number, expected in ((errno.EHOSTUNREACH, Unreachable), (errno.ENETUNREACH, Unreachable),
                             (errno.EMSGSIZE, OSError)):  # fmt: skip
        exporter._session = lambda: Messages(exporter._templates, 1, 1000)  # type: ignore[method-assign]
        exporter._socket = Failing(number)  # type: ignore[assignment]
        with pytest.raises(expected):
            exporter.write(rows(1))


class Failing:
    """A socket that cannot send."""

    def __init__(self, number: int) -> None:
        self.number = number

    def sendmsg(self, buffers: Any) -> int:
        raise OSError(self.number, os.strerror(self.number))

    def close(self) -> None: ...


@pytest.mark.parametrize("option", ["domain", "enterprise"])
def test_numbers_of_more_than_32_bits_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match="32 bits"):
        Outlet(f"ipfix+udp://127.0.0.1?{option}={1 << 32}")


@pytest.mark.parametrize(
    ("name", "kind", "size", "expected"),
    [
        ("packets", "uint", 4, ("packetDeltaCount", 0)),
        ("bytes_back", "uint", 8, ("reverseOctetDeltaCount", REVERSE)),
        ("tcp_flags", "uint", 1, ("tcpControlBits", 0)),
        ("tcp_flags", "uint", 8, ("tcp_flags", 9)),  # longer than the element: RFC 7011, 6.2 allows only shorter ones
        ("packets", "float", 8, ("packets", 9)),
        ("packets", "int", 8, ("packets", 9)),
        ("first", "int", 8, ("flowStartNanoseconds", 0)),
        ("first", "uint", 4, ("first", 9)),
        ("ipv6.src", "ipv6", 16, ("sourceIPv6Address", 0)),
        ("anything", "bool", 1, ("anything", 9)),
    ],
)
def test_columns_become_elements_that_fit(name: str, kind: str, size: int, expected: tuple[str, int]) -> None:
    found = element_of(name, kind, size, "ns", 9, 3)
    assert (found.name, found.enterprise) == expected


def test_elements_of_a_template_are_different_ones() -> None:
    for template in templates_of(shape(), enterprise=DOCUMENTATION):
        identities = [(part.element.enterprise, part.element.number) for part in template.parts]
        assert len(identities) == len(set(identities))
    assert IANA["octetDeltaCount"] == Element("octetDeltaCount", 1, U64, 0, DELTA)


def test_tables_of_named_fields_have_one_template() -> None:
    table = bl.FlowTable(Sample, 10, key=("ipv4.src", "udp.dport", "vlan.id"))
    (template,) = templates_of(table.exports.shape)
    assert [p.element.name for p in template.parts[:3]] == ["sourceIPv4Address", "udpDestinationPort", "dot1qVlanId"]


@pytest.mark.skipif(tshark.find() is None, reason="tshark is not installed")
def test_tshark_finds_the_same_and_nothing_malformed(tmp_path: Path) -> None:
    given = rows(200, (4, 6, 0))
    messages, _ = received(given, "time=ns")
    capture = create_capture(str(tmp_path / "ipfix.pcap"))
    for k, message in enumerate(messages):
        length = len(message)
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + length, k, 0, 64, 17, 0, bytes([10, 0, 0, 1]), bytes(4))
        udp = struct.pack(">HHHH", 4739, 4739, 8 + length, 0)
        frame = bytes(12) + b"\x08\x00" + ip + udp + message
        capture.write(frame, len(frame), k * 1000, 0, 1)
    capture.close()
    fields = (
        "cflow.octets",
        "cflow.packets",
        "cflow.srcport",
        "cflow.flow_end_reason",
        "_ws.malformed",
    )
    words = ["tshark", "-n", "-r", str(tmp_path / "ipfix.pcap"), "-d", "udp.port==4739,cflow", "-T", "fields"]
    done = subprocess.run([*words, *(w for f in fields for w in ("-e", f))], capture_output=True, text=True, check=True)
    lines = [dict(zip(fields, line.split("\t"), strict=True)) for line in done.stdout.splitlines()]
    assert not any(line["_ws.malformed"] for line in lines)
    found = [int(n) for line in lines for n in line["cflow.octets"].split(",") if n]
    assert sorted(found) == list(range(200))
    packets = [int(n) for line in lines for n in line["cflow.packets"].split(",") if n]
    assert sorted(packets) == sorted([*given["packets"].tolist(), *given["packets_back"].tolist()]), "both ways"


@nfdump
def test_nfdump_collects_what_was_exported(tmp_path: Path) -> None:
    given = rows(300, (4, 6))

    def export(port: int) -> None:
        outlet = Outlet(f"ipfix+udp://127.0.0.1:{port}")
        outlet.begin(shape())
        outlet.put(given, waits=True)
        outlet.close()

    wanted = [[str(ip_address(row[end].tobytes()[: 4 if row["version"] == 4 else 16])) for end in ("src", "dst")] + [
        str(row["sport"]), str(row["dport"]), str(row["packets"]), str(row["bytes"]), str(row["packets_back"])]
        for row in given]  # fmt: skip
    assert sorted(collected(export, tmp_path)) == sorted(wanted)


def collected(export: Callable[[int], object], folder: Path) -> list[list[str]]:
    """What nfdump's collector has of what is sent to a port: addresses, ports, packets, bytes, packets back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["nfcapd", "-b", "127.0.0.1", "-p", str(port), "-w", str(folder), "-t", "3600", "-B", "4000000"]
    collector = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not is_bound(port):
            assert collector.poll() is None
            time.sleep(0.02)
        export(port)
        while waiting(port):
            time.sleep(0.02)
    finally:
        collector.send_signal(signal.SIGTERM)
        collector.wait()
    (file,) = (path for path in folder.iterdir() if path.name.startswith("nfcapd"))
    form = "fmt:%sa;%da;%sp;%dp;%pkt;%byt;%opkt"
    done = subprocess.run(["nfdump", "-6", "-q", "-N", "-r", str(file), "-o", form],
                          capture_output=True, text=True, check=True)  # fmt: skip
    return [[cell.strip() for cell in line.split(";")] for line in done.stdout.splitlines() if ";" in line]


def is_bound(port: int) -> bool:
    return any(int(line.split()[1].rpartition(":")[2], 16) == port for line in _sockets())


def waiting(port: int) -> int:
    """Bytes that it has not read yet."""
    return sum(int(line.split()[4].rpartition(":")[2], 16) for line in _sockets()
               if int(line.split()[1].rpartition(":")[2], 16) == port)  # fmt: skip


def _sockets() -> list[str]:
    return Path("/proc/net/udp").read_text().splitlines()[1:]
