"""Sending by a port with the software for what it does not do itself: `tx_burst`'s place in the compiled loop."""

from __future__ import annotations

from burstline.native.build import apart
from burstline.native.memory import call_with_four, call_with_two, load16, load32, load64, store64, unsigned_divide
from burstline.native.struct_type import reference
from burstline.offload.checksums.checksums import Checksums
from burstline.offload.checksums.fill_kernel import fill, fill_ip_of_large
from burstline.offload.checksums.request_kernel import request
from burstline.offload.gso.gso import Gso
from burstline.offload.gso.gso_kernel import segment
from burstline.offload.mbuf import (
    BUF_ADDR,
    DATA_LEN,
    DATA_OFF,
    L2_MASK,
    L3_MASK,
    L3_SHIFT,
    L4_MASK,
    L4_SHIFT,
    NB_SEGS,
    NEXT,
    OL_FLAGS,
    OUTER_L3_MASK,
    OUTER_L3_SHIFT,
    PKT_LEN,
    RX_LRO,
    SEGSZ_MASK,
    SEGSZ_SHIFT,
    TX_IPV6,
    TX_OFFLOAD,
    TX_TCP_SEG,
    TX_TUNNEL_GRE,
    TX_TUNNEL_MASK,
    TX_TUNNEL_VXLAN,
    TX_UDP_SEG,
)
from burstline.offload.segments_kernel import cut_into, found_right, partial, size_to_fit
from burstline.offload.twins import Twins
from burstline.offload.vlan_kernel import tag

checksums_at, gso_at = reference(Checksums), reference(Gso)
TRIES = 4  # a port whose ring is full gets this many chances
FAILED = -1  # the length of a packet that has failed already
ROOMY = 64  # segments of a packet that must find room before what waits is sent first


def transmit(twins: Twins, mbufs: int, n: int) -> int:
    """The packets are sent or freed, each; returns how many the port did not take, in part or whole. Their bytes are
    in `twins.failed_bytes`."""
    twins.failed = twins.failed_bytes = 0
    if twins.vlan:
        n = tagged(twins, mbufs, n)
    for i in range(n):
        if load32(load64(mbufs + 8 * i) + PKT_LEN) > twins.mtu:
            cut_single(twins, load64(mbufs + 8 * i))
    if twins.requests:
        request(checksums_at(twins.checksums), mbufs, n, twins.requests)
    if twins.fills:
        fill(checksums_at(twins.checksums), mbufs, n)
    packets = waiting = 0
    for i in range(n):
        mbuf = load64(mbufs + 8 * i)
        length = load32(mbuf + PKT_LEN)
        if twins.segments - waiting < ROOMY:
            send(twins, waiting, packets)
            packets = waiting = 0
        made = mbufs_for(twins, mbuf, waiting)
        if made == 0 and waiting > 0:
            send(twins, waiting, packets)  # it may need all the room, and mbufs that come back by this
            packets = waiting = 0
            made = mbufs_for(twins, mbuf, 0)
        if made == 0:
            fail(twins, length)
            call_with_two(twins.free, mbufs + 8 * i, 1)
            continue
        waiting += made
        store64(twins.ends + 16 * packets, waiting)
        store64(twins.ends + 16 * packets + 8, length)
        packets += 1
    if waiting:
        send(twins, waiting, packets)
    return twins.failed


@apart
def cut_single(twins: Twins, mbuf: int) -> None:
    """TCP that is larger than the MTU leaves in segments that fit, as it would had it been merged with another; but not
    where its checksum, which each segment gets a new one for, may have been wrong."""
    if load64(mbuf + OL_FLAGS) & (RX_LRO | TX_TCP_SEG | TX_UDP_SEG) == 0 and (found_right(mbuf) or partial(mbuf)):
        captured = load16(mbuf + DATA_LEN)
        data = load64(mbuf + BUF_ADDR) + load16(mbuf + DATA_OFF)
        size = size_to_fit(data, captured, load32(mbuf + PKT_LEN), twins.mtu, 0)
        if size > 0:
            cut_into(mbuf, size)


def tagged(twins: Twins, mbufs: int, n: int) -> int:
    """Put tags on, and free packets before which there is no place for one; returns how many are left."""
    kept = 0
    for i in range(n):
        mbuf = load64(mbufs + 8 * i)
        if tag(twins, mbuf):
            store64(mbufs + 8 * kept, mbuf)
            kept += 1
        else:
            fail(twins, load32(mbuf + PKT_LEN))
            call_with_two(twins.free, mbufs + 8 * i, 1)
    return kept


def mbufs_for(twins: Twins, mbuf: int, waiting: int) -> int:
    """What the port is to be given for a packet goes behind what waits; returns how many there are, 0 where it cannot
    be made."""
    out, chain = twins.leaving + 8 * waiting, load16(mbuf + NB_SEGS)
    if load64(mbuf + OL_FLAGS) & (TX_TCP_SEG | TX_UDP_SEG):
        if port_cuts(twins, mbuf, chain):
            fill_ip_of_large(checksums_at(twins.checksums), mbuf)
            twins.cut += 1
        elif twins.gso:
            return segment(gso_at(twins.gso), mbuf, out, twins.segments - waiting)
    elif twins.pools and chain > twins.most_mtu_mbufs:
        mbuf = call_with_two(twins.gather, mbuf, twins.pools)
        if load16(mbuf + NB_SEGS) > 1:
            return 0
        twins.copied += 1
    store64(out, mbuf)
    return 1


def port_cuts(twins: Twins, mbuf: int, chain: int) -> bool:
    """Whether the port is to cut a packet. Segments of TCP that would be larger than the MTU are to have less payload
    then than was asked."""
    if twins.cuts >> kind_of(mbuf) & 1 == 0 or chain > twins.most_mbufs:
        return False
    flags, lengths = load64(mbuf + OL_FLAGS), load64(mbuf + TX_OFFLOAD)
    l2, headers = lengths & L2_MASK, (lengths >> L3_SHIFT & L3_MASK) + (lengths >> L4_SHIFT & L4_MASK)
    if flags & TX_TUNNEL_MASK:
        headers += l2 + (lengths >> OUTER_L3_SHIFT & OUTER_L3_MASK)
    size, fits = lengths >> SEGSZ_SHIFT & SEGSZ_MASK, twins.mtu - headers
    if twins.counts_ethernet:
        fits -= l2
    if twins.even:
        fits &= ~1
    lowered = size > fits > 0 and flags & TX_TCP_SEG != 0
    size = fits if lowered else size
    if twins.most_segments and load32(mbuf + PKT_LEN) - l2 - headers > size * twins.most_segments:
        return False
    if twins.even and not is_even(mbuf, l2 + headers, size):
        return False
    if lowered:
        store64(mbuf + TX_OFFLOAD, lengths & ~(SEGSZ_MASK << SEGSZ_SHIFT) | size << SEGSZ_SHIFT)
        twins.lowered += 1
    return True


def is_even(mbuf: int, headers: int, size: int) -> bool:
    """Whether segments of so many bytes of payload go on in another mbuf behind an even number of bytes only. TCP's
    headers have one, and so have those before it."""
    into, following = load16(mbuf + DATA_LEN) - headers, load64(mbuf + NEXT)
    while following:
        into -= unsigned_divide(into, size) * size if into >= size else 0
        if into & 1:
            return False
        into += load16(following + DATA_LEN)
        following = load64(following + NEXT)
    return True


def kind_of(mbuf: int) -> int:
    """What there is to cut, as a bit of `cuts`: TCP over IPv4, over IPv6, in VXLAN, in GRE; the same of UDP."""
    flags = load64(mbuf + OL_FLAGS)
    tunnel = flags & TX_TUNNEL_MASK
    kind = 1 if flags & TX_IPV6 else 0
    if tunnel == TX_TUNNEL_VXLAN:
        kind = 2
    elif tunnel == TX_TUNNEL_GRE:
        kind = 3
    elif tunnel != 0:
        kind = 8
    return kind + 4 if flags & TX_UDP_SEG else kind


def fail(twins: Twins, length: int) -> None:
    twins.failed += 1
    twins.failed_bytes += length


def send(twins: Twins, waiting: int, packets: int) -> None:
    """Send what waits; what the port does not take is freed, and the packets fail that it was of."""
    sent = tries = 0
    while sent < waiting and tries < TRIES:
        at = twins.leaving + 8 * sent
        ready = call_with_four(twins.prepare, twins.leaves_by, twins.leaves_queue, at, waiting - sent)
        taken = call_with_four(twins.tx, twins.port, twins.queue, at, ready)
        sent += taken
        if taken < ready:
            tries += 1
        elif sent < waiting:  # the port will never take the next one: rte_eth_tx_prepare says where it stopped
            call_with_two(twins.free, at + 8 * taken, 1)
            k = 0
            while load64(twins.ends + 16 * k) <= sent:
                k += 1
            fail_once(twins, k)
            sent += 1
    if sent < waiting:
        call_with_two(twins.free, twins.leaving + 8 * sent, waiting - sent)
        for k in range(packets):
            if load64(twins.ends + 16 * k) > sent:
                fail_once(twins, k)


def fail_once(twins: Twins, k: int) -> None:
    """The k-th packet of those that wait has failed, wholly or in part."""
    length = load64(twins.ends + 16 * k + 8)
    if length != FAILED:
        fail(twins, length)
        store64(twins.ends + 16 * k + 8, FAILED)
