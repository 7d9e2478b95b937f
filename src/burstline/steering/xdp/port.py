"""A DPDK port with a queue for each queue of the XDP director, from whose AF_XDP sockets workers receive.

DPDK's own net_af_xdp binds one socket to each receive queue of the interface, and so has no more queues than that. This
one is a port of empty rings (rte_eth_from_rings) with a callback behind each queue's driver, which fills the burst
from the sockets. What is sent on it leaves by the interface (sender.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from burstline.dpdk.binding import native
from burstline.dpdk.device import Device
from burstline.dpdk.pool import Pool
from burstline.dpdk.port_info import PortStats
from burstline.dpdk.ring_port import RingPort
from burstline.state.region import Block, Region
from burstline.steering.xdp.receiver import QueueReceiver, receive
from burstline.steering.xdp.sender import PacketSender
from burstline.steering.xdp.sockets import XdpSockets

RING = 512  # of packets that were sent and are not freed yet: more than a burst


class XdpPort(RingPort):
    """To be closed before the sockets are. One thread may poll a queue, several threads several queues."""

    _receivers: list[tuple[int, Block]]
    _locks: Region
    _addresses: list[Region]
    _sockets: XdpSockets | None
    _sender: PacketSender | None

    @classmethod
    def over(cls, sockets: XdpSockets, pool: Pool) -> Self:
        """Packets are copied into mbufs of `pool`; those that none has room for are lost. Raises BurstlineError."""
        port = cls.to_send(sockets.director.interface.name, pool, sockets.queues)
        port._sockets = sockets
        rings = sockets.rings()
        port._locks = Region(8 * len(rings[0]))
        port._addresses = [Region(8 * len(each)) for each in rings]
        for queue, (each, region) in enumerate(zip(rings, port._addresses, strict=True)):
            for k, address in enumerate(each):
                region.set_i64(8 * k, address)
            block = Block(QueueReceiver.layout)
            block.set(
                sockets=region.address, locks=port._locks.address, count=len(each), pool=pool.address,
                alloc=native.SYMBOLS["bl_dpdk_alloc"], free=native.SYMBOLS["bl_dpdk_free"], room=pool.data_room, lost=0,
            )  # fmt: skip
            handle = native.port_receiver(port.id, queue, receive.address, block.address)
            port._receivers.append((handle, block))
        return port

    @classmethod
    def to_send(cls, interface: str, pool: Pool, queues: int) -> Self:
        """A port that receives nothing: the interface's packets go where they went before. Raises BurstlineError."""
        port = cls.pair(pool, queues=queues, ring_size=RING)
        assert isinstance(port, cls)
        port.device = Device("vdev", "xdp", f"iface={interface}")
        port._receivers, port._sockets, port._sender = [], None, None
        try:
            port._sender = PacketSender(port, interface)
        except Exception:
            port.close()
            raise
        return port

    def lost(self, queue: int) -> int:
        """Packets of a queue that no mbuf had room for."""
        return self._receivers[queue][1].get("lost")

    def stats(self) -> PortStats:
        """`imissed` are packets that waited in sockets until these were full, `ierrors` those that no mbuf had room
        for."""
        found = super().stats()
        if self._sockets is None:
            return found
        missed = sum(self._sockets.lost(queue) for queue in range(self.queues))
        return replace(found, imissed=missed, ierrors=sum(self.lost(queue) for queue in range(self.queues)))

    def close(self) -> None:
        for queue, (handle, _) in enumerate(self._receivers if not self._closed else ()):
            native.port_receiver_gone(self.id, queue, handle)
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        super().close()
