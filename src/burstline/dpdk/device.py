"""The text after `dpdk:`, taken apart: a PCI address, a virtual device with its arguments, or `bus:name`."""

from __future__ import annotations

import re
import socket
from collections.abc import Container
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
}


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
        if queues == 1 or argument is None or f"{argument}=" in self.arguments:
            return self
        return replace(self, arguments=f"{self.arguments},{argument}={queues}".lstrip(","))


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
