"""The flow meter's pipeline: an application that `meter.py` loads with `settings` in its names.

Of most flows, no payload is looked at after the first bytes of each direction. What begins as TLS or goes to the port
of DNS is handed to Python in pieces, until a ClientHello or a message can be whole; QUIC's first packets, too.
"""

from __future__ import annotations

from typing import Any

import burstline as bl
from burstline.flows.records import DNS, DTLS, PIECE, QUIC, STREAM, Piece, Settings, metered

settings: Settings = globals().get("settings") or Settings()  # set before this file is run

# What is looked for in a direction: its beginning; pieces that are on their way; nothing more; a ClientHello anywhere.
WATCH_BEGIN, WATCH_HELLO, WATCH_NOTHING, WATCH_LATER = range(4)
STARTTLS = (21, 25, 110, 119, 143, 389, 587, 2525, 4190, 5222, 5269, 5432)  # where TLS begins within a connection
SYN, SYN_BACK, ACKED, BASE, BASE_BACK, DNS_ASKED, DNS_ANSWERED = (1 << k for k in range(7))
MOST_HELLO = 16_384 + 5  # bytes of a stream, where the first segment does not say more
MOST_EARLY = 16  # segments that come before the one they follow
HELLO_PACKETS = 4  # that a ClientHello is spread over at most
VXLAN, GENEVE, GTPU, GRE, IP_IN_IP = range(1, 6)

flows: Any = bl.FlowTable(
    metered(settings.payload), settings.capacity, both_ways=settings.both_ways, vlan=True, tunnel=settings.tunnels,
    idle=settings.idle, active=settings.active, full="evict",
)  # fmt: skip
pieces: Any = bl.Digest(Piece, capacity=1 << 14)
IN_TUNNELS, NAMES, PAYLOAD = settings.tunnels, settings.names, settings.payload


@bl.stage
def meter(pkt: Any) -> Any:
    if not pkt.ipv4 and not pkt.ipv6:
        return bl.CONSUME
    flow = flows[pkt]
    account(pkt, pkt, flow, flows.is_forward(pkt))
    return bl.CONSUME


@bl.stage
def meter_inside(pkt: Any) -> Any:
    """Behind IP, of the innermost packet where a tunnel carries one, whose flow it is then."""
    if not pkt.ipv4 and not pkt.ipv6:
        return bl.CONSUME
    flow = flows[pkt]
    if pkt.inner:
        account(pkt, pkt.inner, flow, flows.is_forward(pkt))
        flow.tunnel = (
            VXLAN if pkt.vxlan else GENEVE if pkt.geneve else GTPU if pkt.gtpu else GRE if pkt.gre else IP_IN_IP
        )
    else:
        account(pkt, pkt, flow, flows.is_forward(pkt))
    return bl.CONSUME


@bl.stage
def keep_payload(pkt: Any) -> Any:
    if not pkt.ipv4 and not pkt.ipv6:
        return bl.CONSUME
    flow = flows[pkt]
    if IN_TUNNELS and pkt.inner:
        keep(pkt.inner.payload, flow, flows.is_forward(pkt))
    else:
        keep(pkt.payload, flow, flows.is_forward(pkt))
    return None


def keep(data: Any, flow: Any, forward: bool) -> None:
    """The beginning of each direction's first payload."""
    size = min(len(data), PAYLOAD)
    if forward and flow.payload_size == 0:
        flow.payload = data[:size]
        flow.payload_size = size
    elif not forward and flow.payload_size_back == 0:
        flow.payload_back = data[:size]
        flow.payload_size_back = size


def account(pkt: Any, level: Any, flow: Any, forward: bool) -> None:
    hops = level.ipv4.ttl if level.ipv4 else level.ipv6.hop_limit
    length, size = min(pkt.length, 65535), len(level.payload)
    if flow.packets + flow.packets_back == 0:
        begin(pkt.time, level, flow)
        flow.min_length, flow.max_length, flow.min_ttl, flow.max_ttl = length, length, hops, hops
    if forward:
        flow.last_there = pkt.time
        flow.packets += 1
        flow.bytes += pkt.length
        flow.payload_bytes += size
    else:
        if flow.packets_back == 0:
            flow.first_back = pkt.time
        flow.last_back = pkt.time
        flow.packets_back += 1
        flow.bytes_back += pkt.length
        flow.payload_bytes_back += size
    flow.min_length = min(flow.min_length, length)
    flow.max_length = max(flow.max_length, length)
    flow.min_ttl = min(flow.min_ttl, hops)
    flow.max_ttl = max(flow.max_ttl, hops)
    if level.tcp:
        if forward:
            flow.tcp_flags |= level.tcp.flags
        else:
            flow.tcp_flags_back |= level.tcp.flags
        if flow.seen & ACKED == 0:
            handshake(pkt.time, level.tcp, flow, forward)
        if size and NAMES:
            if forward and flow.watch != WATCH_NOTHING:
                watch(level.tcp, level.payload, flow)
            elif not forward and flow.watch_back != WATCH_NOTHING:
                watch_back(level.tcp, level.payload, flow)
    elif size and NAMES and level.udp and flow.watch != WATCH_NOTHING:
        watch_udp(level.udp, level.payload, flow, forward)


def begin(time: int, level: Any, flow: Any) -> None:
    flow.first = time
    ports = (level.tcp.sport + level.udp.sport) << 48 ^ (level.tcp.dport + level.udp.dport) << 32
    hosts = int(level.ipv4.src) << 16 ^ int(level.ipv4.dst) ^ level.ipv6.flow_label << 16
    flow.key = ports ^ hosts ^ level.tcp.seq


def handshake(time: int, tcp: Any, flow: Any, forward: bool) -> None:
    """When SYN, SYN with ACK, and the ACK behind them passed. Of SYNs that were sent again the last one counts, of the
    answers the first one: RFC 6298 takes no sample of what was sent twice, but a flow has only these."""
    flags = tcp.flags & 0x17
    if forward and flags == 0x02 and flow.seen & SYN_BACK == 0:
        flow.seen |= SYN | BASE
        flow.syn_at = time
        flow.base = tcp.seq + 1
    elif not forward and flags == 0x12 and flow.seen & SYN_BACK == 0:
        flow.seen |= SYN_BACK | BASE_BACK
        flow.syn_back_at = time
        flow.base_back = tcp.seq + 1
        if flow.seen & SYN and time > flow.syn_at:
            flow.syn_rtt = time - flow.syn_at
    elif forward and flow.seen & SYN_BACK and tcp.flags & 0x10:
        flow.seen |= ACKED
        if time > flow.syn_back_at:
            flow.ack_rtt = time - flow.syn_back_at
    elif flow.packets + flow.packets_back > 8:
        flow.seen |= ACKED  # there was none


def watch(tcp: Any, data: Any, flow: Any) -> None:
    """Payload of the direction of the flow's first packet."""
    place = first_byte(tcp)
    if flow.seen & BASE == 0:
        flow.seen |= BASE
        flow.base = place
    offset = (place - flow.base) & 0xFFFFFFFF
    if flow.watch == WATCH_BEGIN:
        if offset == 0:
            flow.need = wanted(data, tcp.sport, tcp.dport)
            flow.watch = WATCH_HELLO if flow.need else without(tcp)
        elif offset < MOST_HELLO and flow.early < MOST_EARLY:
            flow.early += 1
            send(flow, STREAM, 0, offset, data, MOST_HELLO)
        elif offset < 1 << 31:
            flow.watch = WATCH_NOTHING
    elif flow.watch == WATCH_LATER and len(data) > 5 and data[0] == 22:
        flow.need = wanted(data, 0, 0)
        if flow.need:
            flow.watch, flow.base, offset = WATCH_HELLO, place, 0
    if flow.watch == WATCH_HELLO and offset < flow.need:
        send(flow, STREAM, 0, offset, data, flow.need)
        if flow.sent > 2 * flow.need + MOST_HELLO:
            flow.watch = WATCH_NOTHING


def watch_back(tcp: Any, data: Any, flow: Any) -> None:
    """The same of the other direction: what the first packet of a capture was is no matter of who began."""
    place = first_byte(tcp)
    if flow.seen & BASE_BACK == 0:
        flow.seen |= BASE_BACK
        flow.base_back = place
    offset = (place - flow.base_back) & 0xFFFFFFFF
    if flow.watch_back == WATCH_BEGIN:
        if offset == 0:
            flow.need_back = wanted(data, tcp.sport, tcp.dport)
            flow.watch_back = WATCH_HELLO if flow.need_back else without(tcp)
        elif offset < MOST_HELLO and flow.early < MOST_EARLY:
            flow.early += 1
            send(flow, STREAM, 1, offset, data, MOST_HELLO)
        elif offset < 1 << 31:
            flow.watch_back = WATCH_NOTHING
    elif flow.watch_back == WATCH_LATER and len(data) > 5 and data[0] == 22:
        flow.need_back = wanted(data, 0, 0)
        if flow.need_back:
            flow.watch_back, flow.base_back, offset = WATCH_HELLO, place, 0
    if flow.watch_back == WATCH_HELLO and offset < flow.need_back:
        send(flow, STREAM, 1, offset, data, flow.need_back)
        if flow.sent > 2 * flow.need_back + MOST_HELLO:
            flow.watch_back = WATCH_NOTHING


def first_byte(tcp: Any) -> int:
    """The number of the payload's first byte: a SYN, which may have a payload (RFC 7413), has one of its own."""
    return int(tcp.seq + (tcp.flags >> 1 & 1))


def without(tcp: Any) -> int:
    """What is looked for in a stream that begins otherwise."""
    return WATCH_LATER if tcp.dport in STARTTLS or tcp.sport in STARTTLS else WATCH_NOTHING


def wanted(data: Any, sport: int, dport: int) -> int:
    """How much of a stream that begins so holds a ClientHello (RFC 8446, 5.1 and 4) or a message of DNS (RFC 1035,
    4.2.2), headers included; 0: neither."""
    size = len(data)
    if sport == 53 or dport == 53:
        return 2 + data.be16(0) if size >= 2 else MOST_HELLO
    if data[0] != 22 or (size > 1 and data[1] != 3) or (size > 5 and data[5] != 1):
        return 0
    if size < 9 or data.be16(3) == 0:
        return MOST_HELLO
    record, hello = data.be16(3), 4 + (data[6] << 16 | data.be16(7))
    return hello + 5 * ((hello + record - 1) // record) if hello < 1 << 17 else 0


def watch_udp(udp: Any, data: Any, flow: Any, forward: bool) -> None:
    size = len(data)
    if udp.sport == 53 or udp.dport == 53 or udp.dport == 5353 or udp.dport == 5355 or udp.sport == 5355:
        watch_dns(data, flow, forward, size)
    elif flow.sent > HELLO_PACKETS * 1500:
        flow.watch = WATCH_NOTHING
    elif size >= 1200 and data[0] & 0xC0 == 0xC0:  # RFC 9000, 14.1 and 17.2
        send(flow, QUIC, 0 if forward else 1, 0, data, 1 << 16)
    elif size > 25 and data[0] == 22 and data[1] == 0xFE:  # RFC 6347, 4.1
        if data[13] == 1:
            send(flow, DTLS, 0 if forward else 1, 0, data, 1 << 16)
    else:
        flow.watch = WATCH_NOTHING


def watch_dns(data: Any, flow: Any, forward: bool, size: int) -> None:
    """The first question, and the first answer. Of mDNS, answers come without a question (RFC 6762, 6)."""
    if size < 12:
        return
    kind = DNS_ASKED if data[2] < 0x80 else DNS_ANSWERED
    if flow.seen & kind == 0:
        flow.seen |= kind
        if data.be16(4) and kind == DNS_ANSWERED:
            flow.seen |= DNS_ASKED
        send(flow, DNS, 0 if forward else 1, 0, data, PIECE)
    if flow.seen & DNS_ASKED and flow.seen & DNS_ANSWERED:
        flow.watch = WATCH_NOTHING


def send(flow: Any, kind: int, back: int, offset: int, data: Any, end: int) -> None:
    """To Python, no further than `end` in the stream."""
    at, size = 0, min(len(data), end - offset)
    while at < size:
        part = data[at : min(at + PIECE, size)]
        piece = pieces.new()
        piece.first = flow.first
        piece.key = flow.key
        piece.kind = kind
        piece.back = back
        piece.place = offset + at
        piece.size = len(part)
        piece.data = part
        flow.pieces += 1
        at += PIECE
    flow.sent += size
