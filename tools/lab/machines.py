"""The machines of the lab, as data: processors, memory, NUMA nodes, network cards, kernel modules.

A wire joins all cards that name it; each card on it hears what the others send.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_SLOT = 0x10  # on the root bus; the lower ones are left to what virtme-ng adds


@dataclass(frozen=True)
class Nic:
    """A network card that QEMU emulates. `model` is QEMU's name of the device and `options` its properties. Cards with
    several `queues` get as many from their wire. `dpdk` cards are bound to uio_pci_generic; the others stay with the
    guest's kernel. `node` is the NUMA node that the card's bus belongs to; the root bus belongs to none."""

    model: str
    wire: str
    queues: int = 1
    options: str = ""
    dpdk: bool = True
    node: int | None = None


def bus_of(node: int) -> int:
    """The number of the PCI bus of a NUMA node."""
    return 0x40 + 0x10 * node


@dataclass(frozen=True)
class Node:
    """A NUMA node; `distances` to all nodes in their order, 10 to itself."""

    cpus: int
    mebibytes: int
    distances: tuple[int, ...]


@dataclass(frozen=True)
class Machine:
    """One machine. `modules` are loaded in the guest; `hugepages` of 2 MiB are set aside there; `mtu` is that of all
    wires. `minutes` is the time that its tests may take."""

    name: str
    nics: tuple[Nic, ...] = ()
    cpus: int = 4
    mebibytes: int = 4096
    nodes: tuple[Node, ...] = ()
    modules: tuple[str, ...] = ()
    hugepages: int = 640
    mtu: int = 9000
    tests: str = "tests/lab"
    minutes: float = 90

    @property
    def wires(self) -> list[str]:
        """In the order in which cards name them."""
        return list(dict.fromkeys(nic.wire for nic in self.nics))

    def address(self, number: int) -> str:
        """The PCI address of card `number`."""
        node = self.nics[number].node
        if node is None:
            return f"0000:00:{FIRST_SLOT + number:02x}.0"
        # Each lies behind a port of its own, which the firmware gives the next number of a bus.
        before = sum(nic.node == node for nic in self.nics[:number])
        return f"0000:{bus_of(node) + 1 + before:02x}:00.0"

    def mac(self, number: int) -> str:
        """The MAC address of card `number`: locally administered, and no other machine's but the lab's."""
        return f"52:54:00:1a:b0:{number:02x}"

    def cards(self, model: str, *, dpdk: bool = True) -> list[int]:
        """The numbers of the cards of a model that DPDK, or the guest's kernel, has."""
        return [k for k, nic in enumerate(self.nics) if nic.model == model and nic.dpdk == dpdk]


# Of a driver with several queues, virtio's needs room for a control queue and an interrupt each.
_VIRTIO = Nic("virtio-net-pci", "virtio", queues=4, options="mq=on,rss=on,hash=on,vectors=10,host_mtu=9000")


def _peer(wire: str) -> Nic:
    """A card of the guest's kernel, whose own TCP/IP speaks to what is on the wire."""
    return Nic("virtio-net-pci", wire, options="host_mtu=9000", dpdk=False)


NICS = Machine(
    "nics",
    (
        Nic("e1000e", "e1000e"),
        Nic("e1000e", "e1000e"),
        _peer("e1000e"),
        Nic("vmxnet3", "vmxnet3"),
        Nic("vmxnet3", "vmxnet3"),
        _peer("vmxnet3"),
        _VIRTIO,
        _VIRTIO,
        _peer("virtio"),
    ),
)

# Four nodes in a ring: each has two neighbours, and one that is farther away. The last card is the kernel's, so that
# there are interrupts of a network card.
NUMA4 = Machine(
    "numa4",
    (
        *(Nic("e1000e", "wire", node=node) for node in (1, 2)),
        Nic("virtio-net-pci", "kernel", node=3, options="vectors=4", dpdk=False),
    ),
    nodes=(
        Node(2, 1024, (10, 16, 22, 16)),
        Node(2, 1024, (16, 10, 16, 22)),
        Node(2, 1024, (22, 16, 10, 16)),
        Node(2, 1024, (16, 22, 16, 10)),
    ),
    tests="tests/lab/numa",
)

# Eight nodes at the corners of a cube: the farthest is three links away.
NUMA8 = Machine(
    "numa8",
    nodes=tuple(Node(1, 640, tuple(10 + 6 * (a ^ b).bit_count() for b in range(8))) for a in range(8)),
    tests="tests/lab/numa",
)

MACHINES = {machine.name: machine for machine in (NICS, NUMA4, NUMA8)}
