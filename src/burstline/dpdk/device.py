"""The text after `dpdk:`, taken apart: a PCI address, a virtual device with its arguments, or `bus:name`."""

from __future__ import annotations

import fcntl
import math
import mmap
import re
import socket
import struct
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from burstline.errors import BurstlineError, UsageError

PCI = re.compile(r"(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.IGNORECASE)
# Each queue of these drivers must be asked for when the device is made: the argument that does.
QUEUES_ARGUMENT = {"net_af_packet": "qpairs", "eth_af_packet": "qpairs", "net_af_xdp": "queue_count"}
# The arguments of these drivers that name an interface of the kernel.
INTERFACE_ARGUMENTS = {
    "net_af_packet": ("iface",),
    "eth_af_packet": ("iface",),
    "net_af_xdp": ("iface",),
    "net_pcap": ("iface", "rx_iface", "rx_iface_in", "tx_iface"),
    "xdp": ("iface",),  # burstline's own (steering/xdp/port.py)
}

SIOCGIFMTU = 0x8921
# net_af_packet: the kernel puts frames into slots of framesz bytes, behind this much at most (tpacket_rcv in the
# kernel's af_packet.c), and cuts what is longer. The driver wants mbufs with room for a slot but for its headers.
AF_PACKET = ("net_af_packet", "eth_af_packet")
AF_PACKET_SLOT, AF_PACKET_BEFORE, AF_PACKET_HEADERS = 2048, 80, 32


@dataclass(frozen=True)
class Device:
    """One device as DPDK's buses name it."""

    bus: str
    name: str
    arguments: str = ""

    @classmethod
    def parse(cls, text: str) -> Device:
        """Raises UsageError when the text names no device."""
        head, _, arguments = text.strip().partition(",")
        bus, colon, name = head.partition(":")
        if PCI.fullmatch(head):
            return cls("pci", _full(head), arguments)
        if colon and bus == "pci" and PCI.fullmatch(name):
            return cls("pci", _full(name), arguments)
        if colon and name and bus in ("auxiliary", "vmbus", "vdev", "dpaa", "fslmc"):
            return cls(bus, name, arguments)
        if re.fullmatch(r"[A-Za-z]\w*", head):
            return cls("vdev", head, arguments)
        raise UsageError(
            f"{text!r} names no DPDK device",
            "write a PCI address (dpdk:0000:3b:00.0) or a virtual device (dpdk:net_af_xdp,iface=eth1)",
        )

    @property
    def driver(self) -> str:
        """Of a virtual device: its name without the index."""
        return self.name.rstrip("0123456789") if self.bus == "vdev" else ""

    @property
    def software(self) -> bool:
        """Whether no hardware reads and writes packet memory, so that any memory will do."""
        return self.bus == "vdev"

    @property
    def interface(self) -> str | None:
        """The kernel's network interface that a virtual device sits on."""
        keys = INTERFACE_ARGUMENTS.get(self.driver, ())
        for argument in self.arguments.split(","):
            key, _, value = argument.partition("=")
            if key in keys:
                return value
        return None

    @property
    def allowed(self) -> str:
        """What EAL's --allow takes."""
        name = self.name if self.bus == "pci" else f"{self.bus}:{self.name}"
        return f"{name},{self.arguments}" if self.arguments else name

    def __str__(self) -> str:
        return f"{self.name},{self.arguments}" if self.arguments else self.name

    def indexed(self, taken: Container[str]) -> Device:
        """The same with a name that nobody has: net_null → net_null0."""
        if self.bus != "vdev" or self.name[-1].isdigit():
            return self
        return replace(self, name=next(n for n in (f"{self.name}{i}" for i in range(10_000)) if n not in taken))

    def with_queues(self, queues: int) -> Device:
        """The same, asking a driver that has to be told for `queues` queues."""
        argument = QUEUES_ARGUMENT.get(self.driver)
        if queues == 1 or argument is None or self.argument(argument):
            return self
        return self._with(f"{argument}={queues}")

    def with_frame(self, frame: int) -> Device:
        """The same, asking a driver that has to be told for room for frames of `frame` bytes."""
        needed = frame + AF_PACKET_BEFORE
        if self.driver not in AF_PACKET or needed <= AF_PACKET_SLOT or self.argument("framesz"):
            return self
        slot = -(-needed // 1024) * 1024
        # The driver takes slots to lie one behind the other: blocks, which are whole pages, hold a whole number.
        block = math.lcm(slot, mmap.PAGESIZE)
        return self._with(f"framesz={slot}" + ("" if self.argument("blocksz") else f",blocksz={block}"))

    @property
    def min_buffer(self) -> int:
        """Bytes of packet that an mbuf has to hold, where the driver does not tell by rte_eth_dev_info."""
        if self.driver not in AF_PACKET:
            return 0
        slot = self.argument("framesz")
        return (int(slot) if slot.isdecimal() else AF_PACKET_SLOT) - AF_PACKET_HEADERS

    def argument(self, name: str) -> str:
        """The value that a virtual device's argument is given, or nothing."""
        found = [a.partition("=")[2] for a in self.arguments.split(",") if a.partition("=")[0] == name]
        return found[0] if found else ""

    @property
    def argument_names(self) -> tuple[str, ...]:
        """The arguments that it is given."""
        return tuple(argument.partition("=")[0] for argument in self.arguments.split(",") if argument)

    def with_arguments(self, values: Mapping[str, str]) -> Device:
        """The same with these, too, but for those that it is given already."""
        device = self
        for name, value in values.items():
            device = device if name in self.argument_names else device._with(f"{name}={value}")
        return device

    def _with(self, argument: str) -> Device:
        return replace(self, arguments=f"{self.arguments},{argument}".lstrip(","))


def interface_mtu(name: str) -> int | None:
    """The MTU of a network interface of the kernel, if it is there (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, SIOCGIFMTU, struct.pack("16si20x", name.encode(), 0))
        except (OSError, struct.error):
            return None
    return int(struct.unpack("16si20x", answer)[1])


def check_interface(device: Device) -> None:
    """Raise BurstlineError when a virtual device names a network interface that is not there."""
    interface = device.interface
    names = [name for _, name in socket.if_nameindex()]
    if interface is not None and interface not in names:
        raise BurstlineError(
            f"there is no network interface {interface!r}", f"network interfaces here: {', '.join(names)}"
        )


# Kernel drivers that share the device with DPDK; any other has to let go of it first.
SHARING = frozenset({"vfio-pci", "igb_uio", "uio_pci_generic", "mlx4_core", "mlx5_core", "mana", "ionic_rdma"})


def check_pci(device: Device, root: Path = Path("/sys/bus/pci/devices")) -> None:
    """Raise BurstlineError when a PCI device is not there, or belongs to a kernel driver that does not share it."""
    place = root / device.name
    if not place.exists():
        raise BurstlineError(f"there is no PCI device {device.name}", f"network devices on PCI here: {_listed(root)}")
    driver = kernel_driver(place)
    if driver not in SHARING:
        raise BurstlineError(
            f"PCI device {device.name} is held by the kernel driver {driver}"
            if driver
            else f"PCI device {device.name} is bound to no driver",
            f"dpdk-devbind.py --bind=vfio-pci {device.name}   (its kernel network interface goes away until it is"
            " bound back)",
        )


def kernel_driver(place: Path) -> str | None:
    link = place / "driver"
    return link.resolve().name if link.exists() else None


def pci_network_devices(root: Path = Path("/sys/bus/pci/devices")) -> dict[str, str | None]:
    """The addresses of network controllers (PCI class 02) with the kernel drivers that hold them."""
    found = {}
    for place in sorted(root.glob("*")):
        try:
            if (place / "class").read_text().startswith("0x02"):
                found[place.name] = kernel_driver(place)
        except OSError:
            continue
    return found


def _listed(root: Path) -> str:
    return ", ".join(f"{a} ({d or 'no driver'})" for a, d in pci_network_devices(root).items()) or "none"


def _full(address: str) -> str:
    return (address if address.count(":") == 2 else f"0000:{address}").lower()
