"""A generator of traffic: a capture of flows, made by compiled code a buffer at a time."""

from __future__ import annotations

import array
import ctypes
import hashlib
import struct
from collections.abc import Iterator
from itertools import accumulate, product
from math import gcd

from burstline.native.fieldtypes import f64, i64, u32
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.ports import capture_format as form
from burstline.ports.capture_writer import Format, pcap_header
from burstline.ports.frame_sizes import size_table
from burstline.ports.pcapng_blocks import interface_description, section_header
from burstline.ports.traffic import LARGEST, SMALLEST, START, Traffic
from burstline.state.region import Block, Region

BUFFER = 256 << 10  # bytes made at once: they stay in L2 until they are written
OFFSETS = 4096  # even ones below this are where a payload may start in the pool
POOL = OFFSETS + (LARGEST + 1 & ~1)
TRANSPORTS = ((0.80, 20), (0.17, 8), (0.03, 8))  # TCP, UDP, ICMP: share of packets, bytes of the header
# Services, each entry as likely as the other. UDP leaves out those whose payload dissectors would call malformed.
TCP_PORTS = (*[443] * 8, *[80] * 3, 22, 25, 993, 5432, 8080)
UDP_PORTS = (*[443] * 8, *[51820, 5004, 6881, 27015] * 2)
_NOT_ZERO = b"\x5a" + bytes(range(1, 256))


class Kind(Struct):
    """A kind of flows: IP version, tag or not, transport. Kind `6 * is_ipv6 + 3 * has_tag + transport`."""

    sizes: i64  # address of its table of frame sizes
    share: f64  # of all packets
    owed: f64  # packets that it should have so far and has not


class Flow(Struct):
    """A flow. With the first two fields, one random number picks any flow by its share: the alias method."""

    threshold: u32
    alias: u32
    sequence: u32
    kind: u32


class Generation(Struct):
    """What the compiled generator is told, and where it is."""

    seed: i64
    packets: i64
    flows: i64
    zipf: f64
    rate: i64
    snaplen: i64
    is_pcapng: i64
    kinds: i64  # address of the Kinds
    table: i64  # of the Flows
    weights: i64  # of room for a float for each flow, while preparing
    pool: i64  # of `POOL` bytes that are not zero, from which payloads are taken
    sums: i64  # of the sums of the 16-bit big-endian words before each of its words
    tcp_ports: i64  # addresses of 16 ports
    udp_ports: i64
    stride: i64  # between flows that are introduced one after the other; has no divisor in common with `flows`
    done: i64
    time: i64  # of the next packet: nanoseconds since the epoch,
    fraction: i64  # and `fraction / rate` of one
    introduced: i64  # the flow that was introduced last
    debt: i64  # when this comes to `packets`, a flow is introduced


_prepare = Kernel("burstline.ports.generator_flows_kernel:prepare", Generation)
_generate = Kernel("burstline.ports.generator_kernel:generate", Generation, int, int)


class Generator:
    """Makes the bytes of one capture. Compiles, when this machine never has, before it returns."""

    def __init__(self, traffic: Traffic, format: Format = "pcap") -> None:
        self.traffic = traffic
        self._format = format
        self._memory: list[Region] = []
        self._state = Block(Generation.layout)
        self._buffer = Region(BUFFER)
        _generate.load()
        self._fill()

    def _fill(self) -> None:
        """Lay out everything that the compiled code reads."""
        traffic = self.traffic
        dice = hashlib.shake_256(struct.pack("<Q", traffic.seed)).digest(8 + POOL)
        payload = dice[8:].translate(_NOT_ZERO)
        weights = Region(traffic.flows * 8)
        words = struct.unpack(f">{POOL // 2}H", payload)
        self._state.set(
            seed=int.from_bytes(dice[:8], "little", signed=True),
            packets=traffic.packets,
            flows=traffic.flows,
            rate=traffic.rate,
            snaplen=traffic.snaplen,
            is_pcapng=int(self._format == "pcapng"),
            kinds=self._keep(self._kinds()),
            table=self._room(traffic.flows * Flow.layout.size),
            weights=weights.address,
            pool=self._keep(payload),
            sums=self._keep(array.array("I", accumulate(words, initial=0)).tobytes()),
            tcp_ports=self._keep(struct.pack("<16H", *TCP_PORTS)),
            udp_ports=self._keep(struct.pack("<16H", *UDP_PORTS)),
            stride=_stride(traffic.flows),
            time=START * 1_000_000_000,
        )
        self._state.set(zipf=struct.unpack("<q", struct.pack("<d", traffic.zipf))[0])  # the bits of a fraction
        _prepare(self._state.address)

    def _kinds(self) -> bytes:
        traffic, layout = self.traffic, Kind.layout
        tables: dict[int, int] = {}
        block = bytearray()
        for is_ipv6, has_tag, (share, header) in product((False, True), (False, True), TRANSPORTS):
            share *= traffic.ipv6 if is_ipv6 else 1 - traffic.ipv6
            share *= traffic.vlan if has_tag else 1 - traffic.vlan
            least = max(SMALLEST, 14 + 4 * has_tag + (40 if is_ipv6 else 20) + header)
            if least not in tables:
                tables[least] = self._keep(size_table(max(traffic.mean, least), least).tobytes())
            kind = bytearray(layout.size)
            struct.pack_into("<q", kind, layout.offset("sizes"), tables[least])
            struct.pack_into("<d", kind, layout.offset("share"), share)
            block += kind
        return bytes(block)

    def _room(self, size: int) -> int:
        self._memory.append(Region(size))
        return self._memory[-1].address

    def _keep(self, data: bytes) -> int:
        address = self._room(len(data))
        self._memory[-1].write(0, data)
        return address

    @property
    def done(self) -> int:
        """Packets made so far."""
        return self._state.get("done")

    def pieces(self) -> Iterator[memoryview]:
        """The capture: its header, then whole packets. A piece is overwritten when the next is asked for."""
        if self._format == "pcapng":
            yield memoryview(section_header() + interface_description(form.LINKTYPE_ETHERNET))
        else:
            yield memoryview(pcap_header(form.LINKTYPE_ETHERNET))
        whole = memoryview((ctypes.c_char * BUFFER).from_address(self._buffer.address)).cast("B")
        while size := _generate(self._state.address, self._buffer.address, BUFFER):
            yield whole[:size]


def _stride(flows: int) -> int:
    """Near the golden ratio of `flows`, so that heavy and light flows start all over the capture."""
    stride = max(1, int(flows * 0.6180339887498949))
    while gcd(stride, flows) != 1:
        stride += 1
    return stride
