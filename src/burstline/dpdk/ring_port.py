"""Ports made of rings in memory: real DPDK ports without a device, for benchmarks and tests.

A loop gives back whatever is sent on it: what it costs to receive and send is then little more than moving pointers.
A pair has its two ends: `inject` what the port receives, `drain` what was sent on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from burstline.dpdk.binding import native
from burstline.dpdk.device import Device
from burstline.dpdk.log import captured
from burstline.dpdk.pool import Pool
from burstline.dpdk.port import Port, free
from burstline.errors import BurstlineError

_serial = itertools.count()


class RingPort(Port):
    """A port whose queues are rings of `ring_size` (a power of two) mbufs. Rings have one producer and one consumer:
    one thread may poll a queue, and one other (or the same) inject and drain."""

    _rx: list[int]
    _tx: list[int]
    _pool: Pool
    _shared = False  # the rings are another port's

    @classmethod
    def loop(
        cls,
        pool: Pool,
        packets: Sequence[bytes],
        count: int = 512,
        *,
        queues: int = 1,
        ring_size: int = 1024,
        tx_offloads: Sequence[str] = (),
        flags: int | None = None,
    ) -> RingPort:
        """Each queue receives what is sent on it, beginning with `count` mbufs that hold `packets` in turn. With
        `flags` it is a wire: packets are received with these (ol_flags), whatever was said of them when they were sent.
        """
        if not 0 <= count < ring_size or (count and not packets):
            raise BurstlineError(f"a ring of {ring_size} cannot be loaded with {count} of {len(packets)} packets")
        rings = _rings(queues, ring_size)
        port = cls._made(pool, rings, rings, tx_offloads)
        for queue, ring in enumerate(rings):
            if flags is not None:
                native.port_wire(port.id, queue, flags)
            for packet in itertools.islice(itertools.cycle(packets), count):
                mbuf = pool.new(packet)
                native.mbuf_mark(mbuf, flags or 0, 0)
                native.ring_put(ring, mbuf)
        return port

    @classmethod
    def pair(cls, pool: Pool, *, queues: int = 1, ring_size: int = 1024) -> RingPort:
        """Nothing arrives but what is injected; nothing leaves but what is drained."""
        return cls._made(pool, _rings(queues, ring_size), _rings(queues, ring_size))

    @classmethod
    def _made(cls, pool: Pool, rx: list[int], tx: list[int], tx_offloads: Sequence[str] = ()) -> RingPort:
        name = f"burstline{next(_serial)}"
        try:
            with captured():
                number = native.port_from_rings(name, rx, tx)
        except OSError as error:
            raise BurstlineError(f"DPDK made no port of rings: {error.strerror}") from None
        port = cls(number, Device("vdev", f"net_ring_{name}"))
        port._rx, port._tx, port._pool = rx, tx, pool
        port.queues = len(rx)
        port.set_up([pool], tx_offloads=tx_offloads)
        return port

    def other_side(self) -> RingPort:
        """A port that receives what is sent on this one, and the other way round; it is to be closed first."""
        other = RingPort._made(self._pool, self._tx, self._rx)
        other._shared = True
        return other

    @property
    def receives_from(self) -> int:
        """The address of the ring of queue 0."""
        return self._rx[0]

    @property
    def waiting(self) -> int:
        """Packets in the rings that the port receives from."""
        return sum(native.ring_count(ring) for ring in self._rx)

    def inject(self, packets: Sequence[bytes], queue: int = 0, segment: int = 65535) -> int:
        """Let the port receive `packets`, each in segments of at most `segment` bytes; returns how many the ring took,
        from the front."""
        for done, packet in enumerate(packets):
            mbuf = self._pool.new(packet, segment)
            if not native.ring_put(self._rx[queue], mbuf):
                free([mbuf])
                return done
        return len(packets)

    def drain(self, queue: int = 0) -> list[bytes]:
        """What was sent on the port since the last call."""
        packets = []
        while mbuf := native.ring_take(self._tx[queue]):
            packets.append(native.mbuf_bytes(mbuf))
            free([mbuf])
        return packets

    def close(self) -> None:
        """Also frees what is in the rings."""
        if self._closed:
            return
        super().close()
        for ring in () if self._shared else {*self._rx, *self._tx}:
            while mbuf := native.ring_take(ring):
                free([mbuf])
            native.ring_free(ring)


def _rings(count: int, size: int) -> list[int]:
    try:
        return [native.ring_create(f"burstline_ring_{next(_serial)}", size) for _ in range(count)]
    except OSError as error:
        raise BurstlineError(f"no ring of {size} could be made: {error.strerror}", "use a power of two") from None
