"""A worker keeps samples of what it drops (drop_samples), in compiled code."""

from __future__ import annotations

from burstline.engine.drop_samples import HEAD, KEPT, SLOT, SLOTS, DropRing
from burstline.engine.port_arrival_kernel import now
from burstline.engine.worker import NO_SUCH_PORT, PortWorker
from burstline.native.memory import copy, load16, store64, store_fence, store_release
from burstline.native.struct_type import reference
from burstline.offload.mbuf import DATA_LEN, PORT
from burstline.packet.burst import BurstColumns
from burstline.pipeline.verdict import DROPPED, KIND_BITS, KIND_MASK, SENT

ring_at = reference(DropRing)


def sample_drops(worker: PortWorker, burst: BurstColumns, n: int) -> None:
    """Of a burst with verdicts whose mbufs are all there still. Only where the worker has a ring."""
    ring, time, running, ports = ring_at(worker.samples), now(worker), worker.running, worker.ports
    for i in range(n):
        kind, which = burst.verdict[i] & KIND_MASK, burst.verdict[i] >> KIND_BITS
        if kind == SENT and which >= ports:
            kind, which = DROPPED, NO_SUCH_PORT
        if kind != DROPPED:
            continue
        ring.left -= 1
        if ring.left > 0:
            continue
        ring.left = ring.every
        slot = ring.slots + ring.written % SLOTS * SLOT
        kept = min(KEPT, load16(burst.mbuf[i] + DATA_LEN))
        store_release(slot, 0)
        store_fence()
        store64(slot + 8, time)
        store64(slot + 16, which)
        store64(slot + 24, running)
        store64(slot + 32, load16(burst.mbuf[i] + PORT))
        store64(slot + 40, burst.length[i])
        store64(slot + 48, kept)
        store64(slot + 56, ring.every)
        copy(slot + HEAD, burst.data[i], kept)
        ring.written += 1
        store_release(slot, ring.written)
