"""Receiving from a port with the software for what it does not do itself: `rx_burst`'s place in the compiled loop."""

from __future__ import annotations

from burstline.native.memory import call_with_four, call_with_two, cycles, load32, load64, prefetch, scale, store64
from burstline.native.struct_type import reference
from burstline.offload.checksums.checksums import Checksums
from burstline.offload.checksums.verify_kernel import is_bad, verify
from burstline.offload.gro.gro import Gro
from burstline.offload.gro.gro_kernel import flush, gro
from burstline.offload.mbuf import OL_FLAGS, PKT_LEN
from burstline.offload.twins import Twins
from burstline.offload.unmarked_kernel import mark_merged
from burstline.offload.vlan_kernel import untag

checksums_at, gro_at = reference(Checksums), reference(Gro)


def receive(twins: Twins, mbufs: int, room: int) -> int:
    """How many packets are at `mbufs`, of which there is room for that many."""
    twins.bad = twins.bad_bytes = 0
    n, to = 0, twins.received if twins.gro else mbufs
    if twins.ending == 0:
        n = call_with_four(twins.rx, twins.port, twins.queue, to, twins.burst)
    twins.came = n
    if n == 0:
        return flush(gro_at(twins.gro), mbufs, room, now(twins), twins.ending) if twins.gro else 0
    for i in range(n):
        prefetch(load64(to + 8 * i))
    if twins.verifies:
        verify(checksums_at(twins.checksums), to, n)
    if twins.drops_bad:
        n = without_bad(twins, to, n)
    if twins.vlan:
        for i in range(n):
            untag(twins, load64(to + 8 * i))
    if twins.unmarked:
        for i in range(n):
            mark_merged(twins, load64(to + 8 * i))
    return gro(gro_at(twins.gro), to, n, mbufs, room, now(twins)) if twins.gro else n


def now(twins: Twins) -> int:
    return scale(cycles(), twins.clock_scale, 32)


def without_bad(twins: Twins, mbufs: int, n: int) -> int:
    """Free the packets that have a wrong checksum, and close the gaps; returns how many are left."""
    kept = 0
    for i in range(n):
        mbuf = load64(mbufs + 8 * i)
        if is_bad(load64(mbuf + OL_FLAGS)):
            twins.bad += 1
            twins.bad_bytes += load32(mbuf + PKT_LEN)
            call_with_two(twins.free, mbufs + 8 * i, 1)
        else:
            store64(mbufs + 8 * kept, mbuf)
            kept += 1
    return kept
