"""A DPDK port: any device that DPDK has a driver for, opened by the name that follows `dpdk:`."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator, Mapping, Sequence
from socket import socket
from types import TracebackType
from typing import Literal

from burstline.dpdk import af_xdp, eal, stale
from burstline.dpdk.binding import native
from burstline.dpdk.device import Device, check_interface, check_pci
from burstline.dpdk.lock import lock
from burstline.dpdk.log import Captured, captured
from burstline.dpdk.pool import Pool
from burstline.dpdk.port_info import BurstMode, PortInfo, PortStats, configured_mtu
from burstline.dpdk.refusal import DeviceRefused, refused
from burstline.errors import BurstlineError, UsageError

RX_MODES = {"pools": 1, "split": 2}  # bl_rx_mode of those that are not 0: a queue of one pool
Rss = Literal["auto", "symmetric"] | bool  # "auto": to spread flows over several queues
# Woo and Park, "Scalable TCP Session Monitoring with Symmetric Receive-side Scaling" (2012): with these two bytes again
# and again as its key, the Toeplitz hash of both directions of a flow is the same.
SYMMETRIC = b"\x6d\x5a"
_NO_POOLS = ctypes.c_int64(0)


class Port:
    """An open port. `id` and a queue's number are what compiled code calls `bl_dpdk_rx` and `bl_dpdk_tx` with."""

    id: int
    name: str
    queues: int
    rss: bool  # whether the device was told to spread flows over the queues by their hash
    rx_ring: int
    tx_ring: int
    deepest: int | None = None  # packets that wait at a queue at most, where that is known

    def __init__(self, port: int, device: Device, held: socket | None = None) -> None:
        """Not to be called: `Port.open`."""
        self.id = port
        self.device = device
        self.leaves_by = port  # the port that packets leave by in the end
        self.pools: Sequence[Pool] = ()  # that it receives into
        self._by_queue: list[list[Pool]] = []
        self.table = 0  # Pools.table that packets in several mbufs are gathered by, or 0
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
        """`attach`, then `set_up` with one pool."""
        port = cls.attach(device, queues=queues)
        port.set_up([pool], rx_ring=rx_ring, tx_ring=tx_ring, promiscuous=promiscuous, mtu=mtu)
        return port

    @classmethod
    def attach(cls, device: str, *, queues: int = 1, frame: int = 0) -> Port:
        """Open `device` (`0000:3b:00.0`, `net_af_xdp,iface=eth1`, ...) so that `info` tells what it can do; `set_up`
        makes it a port with `queues` receive and transmit queues. `frame`: bytes of the largest frame to expect, for
        drivers that must be told. Raises UsageError for a text that names no device, and BurstlineError (DeviceRefused
        with `instead` where another driver would do) when it cannot be had."""
        wanted = Device.parse(device)
        _check_running(wanted)
        check_interface(wanted)
        if wanted.bus == "pci":
            check_pci(wanted)
        wanted = wanted.with_queues(queues).with_frame(frame).indexed(native.ports().values())
        held = lock(wanted)
        try:
            stale.clear(wanted)
            port = cls(_attach(wanted), wanted, held)
        except BaseException:
            if held is not None:
                held.close()
            raise
        _open.add(port.id)
        port.queues = queues
        with port._closed_on_failure():
            port._check_spelling()
        return port

    def set_up(
        self,
        pools: Sequence[Pool],
        *,
        mode: str = "one pool",
        rx_offloads: Sequence[str] = (),
        tx_offloads: Sequence[str] = (),
        table: int = 0,
        rx_ring: int = 1024,
        tx_ring: int = 1024,
        promiscuous: bool = True,
        mtu: int | None = None,
        max_lro: int = 0,
        rss: Rss = "auto",
        thresholds: Mapping[str, int] | None = None,
        by_queue: Sequence[Sequence[Pool]] = (),
    ) -> None:
        """Make the queues; the port is not started yet. Packets go into mbufs of `pools`, or those of `by_queue` where
        queues have pools of their own, of the same sizes, by a `mode` of buffers.receive.ReceivePlan; offloads are
        named as DPDK names them. `table` is that of the Pools by which `receive` gathers packets in several mbufs;
        `max_lro` is bytes of a merged packet, 0 as DPDK has it; `thresholds` are those of the queues that are not to be
        as the driver has them (PortInfo.thresholds). Raises BurstlineError, and closes the port then."""
        with self._closed_on_failure():
            self.pools, self.table = pools, table
            self._by_queue = [list(each) for each in by_queue] or [list(pools)] * self.queues
            self._configure(mode, rx_offloads, tx_offloads, rx_ring, tx_ring, mtu, max_lro, rss, thresholds or {})
            if promiscuous:
                with contextlib.suppress(OSError), captured():  # a device without the switch receives everything
                    native.port_promiscuous(self.id)
            if mtu is not None:
                self._set_mtu(mtu)

    @contextlib.contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with contextlib.suppress(BurstlineError):
                self.close()
            raise

    def _configure(
        self,
        mode: str,
        rx_offloads: Sequence[str],
        tx_offloads: Sequence[str],
        rx_ring: int,
        tx_ring: int,
        mtu: int | None,
        max_lro: int,
        rss: Rss,
        thresholds: Mapping[str, int],
    ) -> None:
        info, queues = self.info(), self.queues
        most = min(info.max_rx_queues, info.max_tx_queues)
        if not 1 <= queues <= most:
            raise BurstlineError(
                f"{self.name} has {most} queue{'s' * (most != 1)}, {queues} were asked for",
                f"use --workers {most}" if most else None,
            )
        wanted = rss is not False and (queues > 1 or rss != "auto")
        functions = info.rss & native.RSS if wanted else 0
        self.rss = functions != 0
        if self.device.driver == af_xdp.DRIVER:
            self._lent = af_xdp.Lent(self.device, self.pools[0], queues)
        # Of "split", each mbuf but the last is filled to its room.
        lengths = [pool.data_room for pool in self.pools[:-1]] + [0]
        into = [[(p.address, length) for p, length in zip(each, lengths, strict=True)] for each in self._by_queue]
        said = Captured()
        try:
            with captured() as said:
                native.port_configure(
                    self.id,
                    queues,
                    rss=functions,
                    rss_key=SYMMETRIC * (info.key_size // 2) if rss == "symmetric" else b"",
                    rx_offloads=sum(native.RX_OFFLOADS[name] for name in rx_offloads),
                    tx_offloads=sum(native.TX_OFFLOADS[name] for name in tx_offloads),
                    mtu=configured_mtu(info, mtu),
                    max_lro=max_lro,
                )
                self.rx_ring, self.tx_ring = native.port_queues(
                    self.id, rx_ring, tx_ring, into, RX_MODES.get(mode, 0), dict(thresholds)
                )
        except OSError as error:
            raise refused(self.device, error, said) from None
        finally:
            if self._lent is not None:
                self._lent.taken()

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

    def burst_modes(self) -> tuple[BurstMode, BurstMode]:
        """How the driver of a started port receives, and how it sends."""
        return BurstMode.of(native.port_burst_mode(self.id, 0, True)), BurstMode.of(
            native.port_burst_mode(self.id, 0, False)
        )

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
            with _plugging, captured():
                native.port_remove(self.id)
        except OSError as error:
            raise BurstlineError(f"{self.name} did not close: {error.strerror}") from None
        finally:
            _open.discard(self.id)
            if self._lock is not None:
                self._lock.close()
        if self._lent is not None:
            self._lent.closed()
        else:
            for pool in dict.fromkeys([*self.pools, *(pool for each in self._by_queue for pool in each)]):
                pool.settle()

    def receive(self, queue: int = 0, n: int = 32) -> list[tuple[int, memoryview]]:
        """Up to `n` (256) packets: mbuf address and writable bytes, valid until the mbuf is sent or freed.

        A packet in several segments is made one: in its first mbuf where that has the room, else in another one of the
        pools in `table`; where none has the room, or none is left, the view ends with the first segment.
        """
        return self.views(native.receive(self.id, queue, n))

    def views(self, mbufs: Sequence[int]) -> list[tuple[int, memoryview]]:
        """Packets as `receive` gives them."""
        table = self.table or ctypes.addressof(_NO_POOLS)
        gathered = [native.gather(mbuf, table) for mbuf in mbufs]
        return [(mbuf, native.mbuf_view(mbuf)) for mbuf in gathered]

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
_plugging = threading.Lock()  # EAL scans the bus for each device that comes, and changes its list for each that goes


def _attach(device: Device) -> int:
    """The port id of the device, which DPDK probes if it has not yet."""
    said = Captured()
    if device.name not in native.ports().values():
        try:
            with _plugging, captured() as said:
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
