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


def sample_drops(worker: PortWorker, burst: BurstColumns, n: int, dropped: int) -> None:
    """Of a burst with verdicts, by which so many packets are dropped; they are not freed yet. Only where the worker has
    a ring. Most bursts are only counted; where one is due, the first that was dropped behind some place or other is
    kept."""
    ring = ring_at(worker.samples)
    ring.left -= dropped
    if ring.left > 0:
        return
    ports, i = worker.ports, ring.written % n
    for _ in range(n):
        kind, which = burst.verdict[i] & KIND_MASK, burst.verdict[i] >> KIND_BITS
        if kind == SENT and which >= ports:
            kind, which = DROPPED, NO_SUCH_PORT
        if kind == DROPPED:
            keep(worker, ring, burst, i, which)
            return
        i = i + 1 if i + 1 < n else 0


def keep(worker: PortWorker, ring: DropRing, burst: BurstColumns, i: int, reason: int) -> None:
    """Into the next slot."""
    slot, mbuf = ring.slots + ring.written % SLOTS * SLOT, burst.mbuf[i]
    kept = min(KEPT, load16(mbuf + DATA_LEN))
    store_release(slot, 0)
    store_fence()
    store64(slot + 8, now(worker))
    store64(slot + 16, reason)
    store64(slot + 24, worker.running)
    store64(slot + 32, load16(mbuf + PORT))
    store64(slot + 40, burst.length[i])
    store64(slot + 48, kept)
    store64(slot + 56, ring.every)
    copy(slot + HEAD, burst.data[i], kept)
    ring.written += 1
    ring.left = ring.every
    store_release(slot, ring.written)
