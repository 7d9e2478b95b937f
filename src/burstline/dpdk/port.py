"""A DPDK port: any device that DPDK has a driver for, opened by the name that follows `dpdk:`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from socket import socket
from types import TracebackType

from burstline.dpdk import af_xdp, eal
from burstline.dpdk.binding import native
from burstline.dpdk.device import Device, check_interface, check_pci
from burstline.dpdk.lock import lock
from burstline.dpdk.log import Captured, captured
from burstline.dpdk.pool import Pool
from burstline.dpdk.refusal import DeviceRefused, refused
from burstline.errors import BurstlineError, UsageError


@dataclass(frozen=True)
class PortStats:
    """The device's own counters since it was opened, named as in rte_eth_stats."""

    ipackets: int
    opackets: int
    ibytes: int
    obytes: int
    imissed: int  # dropped by the device: the receive rings were full
    ierrors: int
    oerrors: int
    rx_nombuf: int  # dropped by the driver: the pool was empty


@dataclass(frozen=True)
class PortInfo:
    """What the device is and can do; offloads are named as DPDK names them."""

    driver: str
    device: str
    bus: str
    socket: int
    mac: bytes
    mtu: int
    max_rx_queues: int
    max_tx_queues: int
    reta_size: int
    rss: int
    rx_offloads: list[str]
    tx_offloads: list[str]
    link_up: bool
    link_mbps: int


class Port:
    """An open port. `id` and a queue's number are what compiled code calls `bl_dpdk_rx` and `bl_dpdk_tx` with."""

    id: int
    name: str
    queues: int
    rss: bool  # whether the device was told to spread flows over the queues by their hash
    rx_ring: int
    tx_ring: int

    def __init__(self, port: int, device: Device, held: socket | None = None) -> None:
        """Not to be called: `Port.open`."""
        self.id = port
        self.device = device
        self.pool: Pool | None = None
        self._lent: af_xdp.Lent | None = None
        self.name = device.name
        self._lock = held
        self._started = False
        self._closed = False

    @classmethod
    def open(
        cls,
        device: str,
        pool: Pool,
        *,
        queues: int = 1,
        rx_ring: int = 1024,
        tx_ring: int = 1024,
        promiscuous: bool = True,
        mtu: int | None = None,
    ) -> Port:
        """Open `device` (`0000:3b:00.0`, `net_af_xdp,iface=eth1`, ...) with `queues` receive and transmit queues, whose
        packets go into mbufs of `pool`. Not started yet. Raises UsageError for a text that names no device, and
        BurstlineError (DeviceRefused with `instead` where another driver would do) when it cannot be had."""
        wanted = Device.parse(device)
        _check_running(wanted)
        check_interface(wanted)
        if wanted.bus == "pci":
            check_pci(wanted)
        wanted = wanted.with_queues(queues).indexed(native.ports().values())
        held = lock(wanted)
        try:
            port = cls(_attach(wanted), wanted, held)
        except BaseException:
            if held is not None:
                held.close()
            raise
        _open.add(port.id)
        try:
            port._check_spelling()
            port._configure(queues, rx_ring, tx_ring, pool, promiscuous)
            if mtu is not None:
                port._set_mtu(mtu)
        except BaseException:
            with contextlib.suppress(BurstlineError):
                port.close()
            raise
        return port

    def _configure(self, queues: int, rx_ring: int, tx_ring: int, pool: Pool, promiscuous: bool) -> None:
        info = self.info()
        most = min(info.max_rx_queues, info.max_tx_queues)
        if not 1 <= queues <= most:
            raise BurstlineError(
                f"{self.name} has {most} queue{'s' * (most != 1)}, {queues} were asked for",
                f"use --workers {most}" if most else None,
            )
        rss = info.rss & native.RSS if queues > 1 else 0
        self.queues, self.rss, self.pool = queues, rss != 0, pool
        if self.device.driver == af_xdp.DRIVER:
            self._lent = af_xdp.Lent(self.device, pool, queues)
        said = Captured()
        try:
            with captured() as said:
                native.port_configure(self.id, queues, rss)
                self.rx_ring, self.tx_ring = native.port_queues(self.id, queues, rx_ring, tx_ring, pool.address)
        except OSError as error:
            raise refused(self.device, error, said) from None
        finally:
            if self._lent is not None:
                self._lent.taken()
        if promiscuous:
            with contextlib.suppress(OSError), captured():  # a device without the switch receives everything
                native.port_promiscuous(self.id)

    def _check_spelling(self) -> None:
        """DPDK finds a virtual device's driver by the start of its name: `net_nulll` would be net_null."""
        meant, got = self.device.driver, self.info().driver
        if meant.startswith(got) and meant[len(got) :].lstrip("0123456789")[:1] not in ("", "_"):
            raise UsageError(f"there is no DPDK driver {meant!r}", f"did you mean {got!r}?")

    def _set_mtu(self, mtu: int) -> None:
        try:
            with captured():
                native.port_mtu(self.id, mtu)
        except OSError as error:
            raise BurstlineError(
                f"{self.name} does not take an MTU of {mtu}: {error.strerror}",
                f"it has {self.info().mtu}; leave mtu out of its [[ports]], or set it where the device is managed",
            ) from None

    def __repr__(self) -> str:
        return f"Port({self.name}, id={self.id})"

    def __enter__(self) -> Port:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def driver(self) -> str:
        return self.info().driver

    @property
    def mac(self) -> int:
        """The device's MAC address, as the number that `pkt.eth.dst` reads as."""
        return int.from_bytes(self.info().mac, "big")

    @property
    def numa_node(self) -> int:
        """That the device is attached to; -1 when it is attached to none."""
        return self.info().socket

    @property
    def started(self) -> bool:
        return self._started

    def info(self) -> PortInfo:
        """Ask the device what it is, and whether its link is up."""
        return PortInfo(**native.port_info(self.id))

    def stats(self) -> PortStats:
        """Read the device's counters."""
        return PortStats(*native.port_stats(self.id))

    def start(self) -> None:
        """From now on packets are received and can be sent. Raises BurstlineError."""
        said = Captured()
        try:
            with captured() as said:
                native.port_start(self.id)
        except OSError as error:
            raise refused(self.device, error, said) from None
        self._started = True

    def stop(self) -> None:
        """No packet comes or goes from now on; no thread may poll the port any more."""
        if self._started:
            self._started = False
            if self._lent is not None:
                self._lent.complete(self.id)
            with captured():
                native.port_stop(self.id)

    def close(self) -> None:
        """Stop, give the device and the mbufs in its rings back. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self.stop()
            with captured():
                native.port_remove(self.id)
        except OSError as error:
            raise BurstlineError(f"{self.name} did not close: {error.strerror}") from None
        finally:
            _open.discard(self.id)
            if self._lock is not None:
                self._lock.close()
        if self._lent is not None:
            self._lent.closed()
        elif self.pool is not None:
            self.pool.settle()

    def receive(self, queue: int = 0, n: int = 32) -> list[tuple[int, memoryview]]:
        """Up to `n` (256) packets: mbuf address and writable bytes, valid until the mbuf is sent or freed.

        A packet in several segments is made one where its first mbuf has the room; else the view ends with the first.
        """
        mbufs = native.receive(self.id, queue, n)
        for mbuf in mbufs:
            native.linear(mbuf)
        return [(mbuf, native.mbuf_view(mbuf)) for mbuf in mbufs]

    def transmit(self, queue: int, mbufs: Sequence[int]) -> int:
        """Hand mbufs to the device; returns how many it took, from the front. The rest stay the caller's."""
        return native.transmit(self.id, queue, list(mbufs))


def free(mbufs: Sequence[int]) -> None:
    """Give mbufs back to their pools."""
    native.free(list(mbufs))


def _check_running(device: Device) -> None:
    running = eal.running()
    if running is None:
        raise BurstlineError("DPDK is not running", "call burstline.dpdk.eal.start() first")
    if device.bus == "pci" and not running.pci:
        raise UsageError(
            f"{device.name} cannot be opened: DPDK was started without PCI",
            "name the device among the `devices` of burstline.dpdk.eal.start()",
        )


_open: set[int] = set()


def _attach(device: Device) -> int:
    """The port id of the device, which DPDK probes if it has not yet."""
    said = Captured()
    if device.name not in native.ports().values():
        try:
            with captured() as said:
                native.hotplug(device.bus, device.name, device.arguments)
        except OSError as error:
            raise refused(device, error, said) from None
    found = [port for port, name in native.ports().items() if name == device.name]
    if not found:
        raise DeviceRefused(
            f"DPDK has no driver for {device}{said.indented()}", "burstline doctor lists what DPDK can use here"
        )
    if found[0] in _open:
        raise BurstlineError(f"{device.name} is open already", "name each device once")
    return found[0]
