"""Devices that are no driver's of DPDK but made here, of rings: `ring-loop,...`, and `xdp,iface=eth0`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from burstline.errors import UsageError
from burstline.steering.xdp.link import FLAGS, Mode

RING_LOOP, XDP = "ring-loop", "xdp"
WRITE = "write dpdk:xdp,iface=eth0, and mode=native or mode=generic where that is to be demanded"


def is_own(device: str) -> bool:
    return device.startswith(RING_LOOP) or is_xdp(device)


def is_xdp(device: str) -> bool:
    """Whether packets come from an interface of the kernel by XDP."""
    return device.partition(",")[0] == XDP


@dataclass(frozen=True)
class XdpDevice:
    """`mode` is where the program runs; None: in the driver where that can."""

    interface: str
    mode: Mode | None = None

    @classmethod
    def parse(cls, device: str) -> XdpDevice:
        """Raises UsageError."""
        given = dict[str, str]()
        for part in device.split(",")[1:]:
            name, _, value = part.partition("=")
            if name not in ("iface", "mode") or name in given or not value:
                raise UsageError(f"dpdk:{device}: {part!r} means nothing", WRITE)
            given[name] = value
        if "iface" not in given:
            raise UsageError(f"dpdk:{device} names no interface", WRITE)
        if given.get("mode", "native") not in FLAGS:
            raise UsageError(f"dpdk:{device}: there is no mode {given['mode']!r}", WRITE)
        return cls(given["iface"], cast("Mode | None", given.get("mode")))
