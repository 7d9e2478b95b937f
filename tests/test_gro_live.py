"""GRO over DPDK's own mbufs: all go back into their pool, merged or not, in chains or not."""

from __future__ import annotations

import random

import pytest

from burstline import dpdk
from dpdk_live import alone, pool

pytestmark = pytest.mark.skipif(not dpdk.available(), reason="built without DPDK")


def through_a_pool(seed: int) -> tuple[int, int, list[bytes]]:
    """How many packets came out, how many mbufs were in use meanwhile, and the frames."""
    from burstline.dpdk.binding import native
    from burstline.offload.gro.gro import Merging, flush_kernel, gro_kernel
    from burstline.state.region import Region
    from gro_senders import traffic

    chance, merging, pointers = random.Random(seed), Merging(timeout=100), Region(8 * 1024)
    packets, out, frames = traffic(chance, 200), [], []
    with pool(2047) as mbufs:
        for now, at in enumerate(range(0, len(packets), 40)):
            burst = packets[at : at + 40]
            for k, packet in enumerate(burst):
                mbuf = mbufs.new(packet.segment.frame(), chance.choice([65535, 65535, 200]))
                native.mbuf_mark(mbuf, packet.flags, 0, 0, packet.vlan_tci)
                pointers.set_i64(8 * k, mbuf)
            n, room = len(burst), 8 * 256
            got = gro_kernel(merging.address, pointers.address, n, pointers.address + room, 2 * n, now)
            out += [pointers.i64(room + 8 * k) for k in range(got)]
        got = flush_kernel(merging.address, pointers.address, 1024, 0, 1)
        out += [pointers.i64(8 * k) for k in range(got)]
        in_use, segments = mbufs.in_use, sum(native.mbuf_segments(mbuf) for mbuf in out)
        assert in_use == segments
        frames = [native.mbuf_bytes(mbuf) for mbuf in out]
        chance.shuffle(out)
        native.free(out)
    return len(packets), len(out), frames


def test_every_mbuf_goes_back_to_its_pool() -> None:
    for seed in (1, 2):
        came, went, frames = alone(through_a_pool, seed)
        assert went < came
        assert sum(map(len, frames)) > 1000
