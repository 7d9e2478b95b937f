"""The compiled generator: packet after packet, record after record, into a buffer.

Whatever a packet is like follows from its number and its flow, by hashing. Payloads are pieces of one pool whose sums
are known, so that checksums (RFC 1071) cost no walk over the bytes.
"""

from __future__ import annotations

from typing import Any

from burstline.native.memory import (
    copy,
    load8,
    load16,
    load32,
    mix,
    shift_right,
    store16,
    store32,
    swap16,
    swap32,
    unsigned_divide,
)
from burstline.native.struct_type import reference
from burstline.packet.checksum import folded
from burstline.packet.flow_key_kernel import SECRET_1, SECRET_2
from burstline.ports import capture_format as form
from burstline.ports.frame_sizes import ENTRIES
from burstline.ports.generator import OFFSETS, Flow, Kind
from burstline.ports.traffic import LARGEST

flow_at, kind_at = reference(Flow), reference(Kind)
FLOW_SIZE, KIND_SIZE = Flow.layout.size, Kind.layout.size
GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
FLOW_SALT, SIZE_SALT = 0x1D8E4E27C47D124F, 0x3C6EF372FE94F82B  # so that no two uses draw the same numbers
SPREAD = 633  # times `n` modulo 1024: any run of numbers is spread evenly over the table of sizes
LONGEST_RECORD = form.BLOCK_MIN + form.ENHANCED_BODY + LARGEST + 4
TRANSPORTS, TCP, UDP = 3, 0, 1

# Addresses that no one else has: RFC 1918, RFC 2544 appendix C.2.2, RFC 4193, RFC 5180 section 8.
CLIENT, SERVER = 0x0A000000, 0xC6120000  # 10.0.0.0/8, 198.18.0.0/15
CLIENT6, SERVER6 = 0xFD6273746C6E0001 - (1 << 64), 0x2001000200000000  # fd62:7374:6c6e:1::/64, 2001:2::/48


def generate(g: Any, buffer: int, room: int) -> int:
    """As many of the packets that are left as surely fit; returns how many bytes they take."""
    at, last = buffer, buffer + room - LONGEST_RECORD
    number, time, fraction = g.done, g.time, g.fraction
    packets, rate, is_pcapng = g.packets, g.rate, g.is_pcapng
    step = unsigned_divide(1_000_000_000, rate)
    rest = 1_000_000_000 - step * rate
    while number < packets and at <= last:
        dice = draw(g.seed, number)
        flow = next_flow(g, dice)
        at = write_pcapng(g, at, number, time, flow) if is_pcapng else write_pcap(g, at, number, time, flow)
        number += 1
        time += step
        fraction += rest
        if fraction >= rate:
            fraction -= rate
            time += 1
    g.done, g.time, g.fraction = number, time, fraction
    return at - buffer


def draw(seed: int, number: int) -> int:
    """64 random bits by number: Wang Yi's wyrand."""
    state = seed + number * GOLDEN
    bits: int = mix(state ^ SECRET_1, state ^ SECRET_2)
    return bits


def next_flow(g: Any, dice: int) -> int:
    """Every flow once, in even steps over the whole capture; in between any, by its share of what is left."""
    if g.packets >= g.flows:
        g.debt += g.flows
        if g.debt >= g.packets:
            g.debt -= g.packets
            g.introduced += g.stride
            if g.introduced >= g.flows:
                g.introduced -= g.flows
            introduced: int = g.introduced
            return introduced
    column: int = shift_right(dice, 32) * g.flows >> 32
    slot = flow_at(g.table + column * FLOW_SIZE)
    return column if (dice & 0xFFFFFFFF) < slot.threshold else slot.alias


def write_pcap(g: Any, record: int, number: int, time: int, flow: int) -> int:
    """A record of draft-ietf-opsawg-pcap; returns where the next one goes."""
    size = write_frame(g, record + form.PCAP_RECORD, number, flow)
    captured: int = min(size, g.snaplen)
    store32(record, time // 1_000_000_000)
    store32(record + 4, time % 1_000_000_000)
    store32(record + 8, captured)
    store32(record + 12, size)
    return record + form.PCAP_RECORD + captured


def write_pcapng(g: Any, block: int, number: int, time: int, flow: int) -> int:
    """NG "Enhanced Packet Block" of interface 0; returns where the next one goes."""
    size = write_frame(g, block + 28, number, flow)
    captured: int = min(size, g.snaplen)
    padding = -captured & 3
    length = form.BLOCK_MIN + form.ENHANCED_BODY + captured + padding
    store32(block, form.ENHANCED_PACKET)
    store32(block + 4, length)
    store32(block + 8, 0)
    store32(block + 12, time >> 32)
    store32(block + 16, time)
    store32(block + 20, captured)
    store32(block + 24, size)
    store32(block + 28 + captured, 0)
    store32(block + length - 4, length)
    return block + length


def write_frame(g: Any, frame: int, number: int, flow: int) -> int:
    """The whole packet; returns its size."""
    kind = flow_at(g.table + flow * FLOW_SIZE).kind
    entry = number * SPREAD + draw(g.seed ^ SIZE_SALT, unsigned_divide(number, ENTRIES)) & ENTRIES - 1
    size = load16(kind_at(g.kinds + kind * KIND_SIZE).sizes + 2 * entry)
    traits = draw(g.seed ^ FLOW_SALT, flow)
    identity = identify(g.seed, flow)

    store32(frame, swap32(0x02000000))  # to 02:00:00:00:00:01
    store32(frame + 4, swap32(0x0001 << 16 | 0x0200))  # from 02:00:01:...
    store32(frame + 8, swap32(0x01 << 24 | identity))
    at = frame + 12
    is_ipv6 = kind >= 2 * TRANSPORTS
    transport = kind - 2 * TRANSPORTS if is_ipv6 else kind
    if transport >= TRANSPORTS:  # IEEE 802.1Q: VLANs 100 to 115
        transport -= TRANSPORTS
        store32(at, swap32(0x8100 << 16 | 100 + (traits & 15)))
        at += 4
    if is_ipv6:
        store16(at, swap16(0x86DD))
        pseudo = write_ipv6(at + 2, frame + size, transport, traits, identity)
        at += 42
    else:
        store16(at, swap16(0x0800))
        pseudo = write_ipv4(at + 2, frame + size, transport, traits, identity, number)
        at += 22
    pseudo += frame + size - at
    if transport == TCP:
        write_tcp(g, at, frame + size, pseudo, flow, traits, identity, number)
    elif transport == UDP:
        write_udp(g, at, frame + size, pseudo, traits, identity, number)
    else:
        write_echo(g, at, frame + size, pseudo, flow, identity, number, is_ipv6)
    return size


def identify(seed: int, flow: int) -> int:
    """24 bits that no other flow has, in no visible order: every step can be undone."""
    x = (flow ^ seed) & 0xFFFFFF
    x = x * 0x9E3779 & 0xFFFFFF
    x = (x ^ x >> 13) * 0x85EBCB & 0xFFFFFF
    return x ^ x >> 11


def hops(traits: int) -> int:
    """What is left of a TTL of 64 or 128."""
    return (64 if traits & 16 else 128) - (traits >> 5 & 15)


def write_ipv4(at: int, end: int, transport: int, traits: int, identity: int, number: int) -> int:
    """RFC 791, not to be fragmented; returns the pseudo-header's sum without the length."""
    proto = 6 if transport == TCP else 17 if transport == UDP else 1
    source = CLIENT | identity & 0xFFFF
    target = SERVER | identity >> 16 | (traits >> 9 & 0x1FF) << 8
    length, name, lasting = end - at, number & 0xFFFF, hops(traits) << 8 | proto
    pair = words(source) + words(target)
    checksum = folded(0x4500 + length + name + 0x4000 + lasting + pair)
    store32(at, swap32(0x4500 << 16 | length))
    store32(at + 4, swap32(name << 16 | 0x4000))
    store32(at + 8, swap32(lasting << 16 | checksum))
    store32(at + 12, swap32(source))
    store32(at + 16, swap32(target))
    return pair + proto


def write_ipv6(at: int, end: int, transport: int, traits: int, identity: int) -> int:
    """RFC 8200, with a flow label (RFC 6437); returns the pseudo-header's sum without the length."""
    proto = 6 if transport == TCP else 17 if transport == UDP else 58
    source = (identity & 0xFFFF) * GOLDEN
    target = SERVER6 | traits >> 9 & 0xFFFF
    store32(at, swap32(6 << 28 | traits >> 25 & 0xFFFFF))
    store32(at + 4, swap32(end - at - 40 << 16 | proto << 8 | hops(traits)))
    store_be64(at + 8, CLIENT6)
    store_be64(at + 16, source)
    store_be64(at + 24, target)
    store_be64(at + 32, identity >> 16)
    return words(CLIENT6) + words(source) + words(target) + words(identity >> 16) + proto


def write_tcp(g: Any, at: int, end: int, pseudo: int, flow: int, traits: int, identity: int, number: int) -> int:
    """RFC 9293: a segment in the middle of a connection, whose sequence numbers go on from packet to packet."""
    slot = flow_at(g.table + flow * FLOW_SIZE)
    size = end - at - 20
    ports = ports_of(g.tcp_ports, traits, identity)
    sequence, acknowledged = slot.sequence + traits & 0xFFFFFFFF, shift_right(traits, 32)
    control = 0x5018 if size else 0x5010  # ACK; PSH with data
    window = traits & 0xFFFF | 0x4000
    slot.sequence = slot.sequence + size
    total = pseudo + words(ports) + words(sequence) + words(acknowledged) + control + window
    checksum = folded(total + write_payload(g, at + 20, size, number))
    store32(at, swap32(ports))
    store32(at + 4, swap32(sequence))
    store32(at + 8, swap32(acknowledged))
    store32(at + 12, swap32(control << 16 | window))
    store32(at + 16, swap32(checksum << 16))
    return 0


def write_udp(g: Any, at: int, end: int, pseudo: int, traits: int, identity: int, number: int) -> int:
    """RFC 768, where a checksum of 0 is sent as its complement."""
    ports, length = ports_of(g.udp_ports, traits, identity), end - at
    checksum = folded(pseudo + words(ports) + length + write_payload(g, at + 8, length - 8, number))
    store32(at, swap32(ports))
    store32(at + 4, swap32(length << 16 | (checksum if checksum else 0xFFFF)))
    return 0


def write_echo(g: Any, at: int, end: int, pseudo: int, flow: int, identity: int, number: int, is_ipv6: bool) -> int:
    """RFC 792 and RFC 4443 section 4.1: echo requests in a row; only ICMPv6 sums a pseudo-header."""
    slot = flow_at(g.table + flow * FLOW_SIZE)
    head = 128 << 8 if is_ipv6 else 8 << 8
    name = (identity & 0xFFFF) << 16 | slot.sequence & 0xFFFF
    slot.sequence = slot.sequence + 1
    total = write_payload(g, at + 8, end - at - 8, number) + head + words(name) + (pseudo if is_ipv6 else 0)
    store32(at, swap32(head << 16 | folded(total)))
    store32(at + 4, swap32(name))
    return 0


def ports_of(table: int, traits: int, identity: int) -> int:
    """An ephemeral source port and a service."""
    return (0x8000 | identity >> 9) << 16 | load16(table + 2 * (traits >> 18 & 15))


def write_payload(g: Any, at: int, size: int, number: int) -> int:
    """Copy a piece of the pool; returns the sum of its 16-bit words."""
    start = draw(g.seed, ~number) & OFFSETS - 2
    end = start + size
    copy(at, g.pool + start, size)
    total = load32(g.sums + 4 * (end >> 1)) - load32(g.sums + 4 * (start >> 1))
    return total + (load8(g.pool + end - 1) << 8) if size & 1 else total


def words(value: int) -> int:
    """The sum of the 16-bit words of a number of 64 bits."""
    return (value & 0xFFFF) + (value >> 16 & 0xFFFF) + (value >> 32 & 0xFFFF) + (value >> 48 & 0xFFFF)


def store_be64(at: int, value: int) -> None:
    store32(at, swap32(value >> 32))
    store32(at + 4, swap32(value))
