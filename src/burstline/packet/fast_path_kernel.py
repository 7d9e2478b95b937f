"""The parser's fast path: Ethernet, IPv4 or IPv6, TCP or UDP, with nothing between; up to sixteen packets at a time.

What a packet is depends on data that no branch predictor knows: one wrong guess costs as much as all that is done here.
So everything is worked out for every packet, lane by lane, and the few that are not plain are written on a list for
the parser's states. Both must agree on every packet that is plain. Bytes of headers are gathered by plain loads, four
words of a packet at once: slower machines have slow gathers, and none is faster than this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.native.memory import load8, load32, load64, mix, select, store32, store64
from burstline.packet.burst import BurstColumns
from burstline.packet.burst_type import burst_address
from burstline.packet.flow_key_kernel import SECRET_1, SECRET_2, SECRET_3
from burstline.packet.machine import Machine
from burstline.packet.parser import ETH, IPV4, IPV6, LINK_ETHERNET, TCP, UDP
from burstline.packet.transitions import PORTS
from burstline.simd import level, m4, u64x2, u64x4, vector
from burstline.simd import select as choose
from burstline.simd.memory import load_masked, load_vector, scratch, store_vector, trailing_zeros

LEAST = 42  # bytes of Ethernet, IPv4 and UDP
V4_L4, V6_L4 = 34, 54
# Places in the scratch memory, which holds something of each of up to sixteen packets.
START, CAPTURED, HEADER, OFFSET, TRANSPORT, SIZE_AT, SIZE, KEY = 0, 128, 192, 448, 512, 640, 704, 768


def lanes_here() -> int:
    """As many packets at a time as a register of the target has lanes; one, where vectors are taken apart."""
    return 1 if level.used() == "scalar" else level.vector_bits() // 32


def fast_path(
    columns: tuple[str, ...], *, keys: bool, inner: bool, linked: bool, machine: Machine, lanes: int | None = None
) -> Callable[[BurstColumns, int, int, int], int]:
    """`(burst, first, count, zeros)` fills the columns of packets from `first` on, and returns how many are not plain:
    the `slow` column lists them. Columns of up to `lanes - 1` packets behind them are overwritten. `zeros` is the
    address of 64 zeros.

    All packets begin with Ethernet, unless they are `linked`: then the `link` column says how each begins.
    """
    hooked = tuple(sorted({port for name in PORTS for port in machine.tables.get(name, {})})) or (-1,)
    has_hooks, protocols = hooked != (-1,), len(machine.protocols)
    present, lower3, lower4, payloads, ends, protos, vlans, labels = (
        name in columns for name in ("present", "l3", "l4", "payload", "end", "proto", "vlan_depth", "mpls_depth")
    )
    lanes = lanes or lanes_here()
    words, pairs, quads = vector(32, lanes), vector(32, 2 * lanes), vector(32, 4 * lanes)
    halves = vector(16, lanes)
    lengths = payloads or ends
    transports = lengths or keys or has_hooks

    def gather(burst: BurstColumns, i: int, last: int, zeros: int, room: int) -> None:
        """Where each packet is, how long, and bytes 12 to 27: EtherType to IPv4's protocol, IPv6's next header."""
        for k in range(lanes):
            packet = min(i + k, last)
            captured = burst.captured[packet]
            known = (captured >= LEAST) & (burst.link[packet] == LINK_ETHERNET) if linked else captured >= LEAST
            data = select(known, burst.data[packet], zeros)  # zeros are not plain
            store64(room + START + 8 * k, data)
            store32(room + CAPTURED + 4 * k, captured)
            store_vector(room + HEADER + 16 * k, load_vector(u64x2, data + 12))

    def gather_transport(room: int) -> None:
        """Ports and what follows them; of TCP, the byte with its header's size."""
        for k in range(lanes):
            data = load64(room + START + 8 * k)
            store64(room + TRANSPORT + 8 * k, load64(data + load32(room + OFFSET + 4 * k)))
            if lengths:
                store32(room + SIZE + 4 * k, load8(data + load32(room + SIZE_AT + 4 * k)))

    def write_key(burst: BurstColumns, i: int, start: int, head: int, is6: bool) -> None:
        key = burst.key[i]
        store64(key, head)
        addresses: Any = load_masked(u64x4, start + select(is6, 22, 26), m4(select(is6, 15, 1)))
        store_vector(key + 8, addresses)
        half = mix(head ^ SECRET_1, load64(key + 8) ^ SECRET_2)
        other = mix(load64(key + 16) ^ SECRET_3, load64(key + 24) ^ SECRET_1)
        burst.hash[i] = select(is6, mix((half ^ other) ^ SECRET_2, load64(key + 32) ^ SECRET_3), half)

    def swapped(values: Any) -> Any:
        """The bytes of each 16-bit half exchanged."""
        return (values & 0x00FF00FF) << 8 | values >> 8 & 0x00FF00FF

    def plain_packets(burst: BurstColumns, first: int, count: int, zeros: int) -> int:
        room, slow, last = scratch(), 0, first + count - 1
        for i in range(first, first + count, lanes):
            gather(burst, i, last, zeros, room)
            headers: Any = load_vector(quads, room + HEADER)
            kind, total, rest = headers.every(4, 0), headers.every(4, 1), headers.every(4, 2)
            captured: Any = load_vector(words, room + CAPTURED)
            is4 = ((kind & 0x00FFFFFF) == 0x00450008) & ((rest & 0xFF3F) == 0)  # no options, no fragment
            is6 = ((kind & 0x00F0FFFF) == 0x0060DD86) & (captured >= V6_L4 + 8)
            proto = choose(is6, rest & 0xFF, rest >> 24)
            is_tcp = proto == 6
            l4 = choose(is6, words(V6_L4), V4_L4)
            length = choose(is6, swapped(total) >> 16, swapped(total) & 0xFFFF)
            whole = choose(is6, words(V6_L4), 14) + length
            end = choose((length == 0) | (whole > captured), captured, whole)
            fits = l4 + choose(is_tcp, words(20), 8) <= end
            plain = (is4 | is6) & (is_tcp | (proto == 17)) & fits & (captured >= LEAST)
            if transports:
                store_vector(room + OFFSET, choose(plain, l4, 0))
                store_vector(room + SIZE_AT, choose(plain & is_tcp, l4 + 12, 0))
                gather_transport(room)
                transport: Any = load_vector(pairs, room + TRANSPORT)
                ports = swapped(transport.every(2, 0))
                if has_hooks:
                    for port in hooked:
                        plain = plain & ((ports & 0xFFFF) != port) & ((ports >> 16) != port)
                if lengths:
                    size: Any = load_vector(words, room + SIZE) >> 4 << 2
                    behind = l4 + choose(size < 20, words(20), size)
                    datagram = swapped(transport.every(2, 1)) & 0xFFFF
                    shorter = (datagram >= 8) & (l4 + datagram < end)
                    if payloads:
                        behind = choose(behind < end, behind, end)
                        store_vector(burst_address(burst.payload) + 4 * i, choose(is_tcp, behind, l4 + 8))
                    if ends:
                        datagram = choose(shorter, l4 + datagram, end)
                        store_vector(burst_address(burst.end) + 4 * i, choose(is_tcp, end, datagram))
                if keys:
                    heads = proto | choose(is6, words(6 << 8), 4 << 8) | ports << 16
                    store_vector(room + KEY, heads.interleave(ports >> 16))
                    sixes = is6.bits()
                    for k in range(min(lanes, last + 1 - i)):
                        start, head = load64(room + START + 8 * k), load64(room + KEY + 8 * k)
                        write_key(burst, i + k, start, head, sixes >> k & 1 != 0)
            if present:
                found = choose(is6, words(ETH | IPV6), ETH | IPV4) | choose(is_tcp, words(TCP), UDP)
                store_vector(burst_address(burst.present) + 4 * i, found)
            if lower3:
                store_vector(burst_address(burst.l3) + 4 * i, words(14))
            if lower4:
                store_vector(burst_address(burst.l4) + 4 * i, l4)
            if protos:
                store_vector(burst_address(burst.proto) + 2 * i, halves(proto))
            if vlans:
                store_vector(burst_address(burst.vlan_depth) + 2 * i, halves(0))
            if labels:
                store_vector(burst_address(burst.mpls_depth) + 2 * i, halves(0))
            if inner:
                store_vector(burst_address(burst.inner_present) + 4 * i, words(0))
            for number in range(protocols):
                for k in range(min(lanes, last + 1 - i)):
                    store64(burst.protocols[i + k] + 8 * number, 0)
            others = ~plain.bits() & (1 << min(lanes, last + 1 - i)) - 1
            while others != 0:
                burst.slow[slow] = i + trailing_zeros(others)
                others &= others - 1
                slow += 1
        return slow

    return plain_packets
