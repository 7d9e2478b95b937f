"""Why a device could not be opened, said so that the user knows what to do."""

from __future__ import annotations

import difflib
import errno
import re
from pathlib import Path

from burstline.dpdk.binding import native
from burstline.dpdk.device import Device
from burstline.dpdk.drivers import driver_of, virtual_drivers
from burstline.dpdk.log import Captured
from burstline.errors import BurstlineError


class DeviceRefused(BurstlineError):
    """DPDK could not open a device; `instead` is the device that would do the same, slower, where there is one."""

    def __init__(self, message: str, hint: str | None = None, instead: str | None = None) -> None:
        super().__init__(message, hint)
        self.instead = instead


def refused(device: Device, error: OSError, said: Captured) -> DeviceRefused:
    """What to tell the user when opening `device` failed with `error` and DPDK said `said`."""
    if device.bus == "vdev" and (unknown := unknown_driver(device)):
        return unknown
    text = said.text.lower()
    on_kernel = bool(device.interface) or device.driver in ("net_tap", "net_tun")
    unable = on_kernel and not may_use_interfaces()
    if unable or error.errno == errno.EACCES or "not permitted" in text or "permission denied" in text:
        hint = "run as root" + (" (CAP_NET_ADMIN and CAP_NET_RAW are needed)" if on_kernel else "")
        return DeviceRefused(f"no permission to open {device}", hint)
    if error.errno == errno.EBUSY or "resource busy" in text:
        return DeviceRefused(f"{device} is in use by another process", "stop that process, or choose another device")
    # Many drivers return -1 for any failure, which is EPERM: it says nothing.
    why = "" if error.errno == errno.EPERM and said.lines() else f" {native.strerror(error.errno or 0)}"
    reason = f"DPDK could not open {device}:{why}{said.indented()}"
    if device.driver == "net_af_xdp" and device.interface:
        instead = f"net_af_packet,iface={device.interface}"
        if found := re.search(r"larger than combined queue count (\d+)", said.text):
            most = int(found[1])
            return DeviceRefused(
                f"{device.interface} has {most} combined queue{'s' * (most != 1)}, and net_af_xdp can use no more",
                f"use --workers {most}, or net_af_packet, which makes its own queues: dpdk:{instead}",
                instead,
            )
        return DeviceRefused(reason, f"use net_af_packet, which any interface can do: dpdk:{instead}", instead)
    driver = driver_of(device.driver)
    if driver is not None and driver.arguments:
        return DeviceRefused(reason, f"{driver.name} takes {driver.arguments}")
    return DeviceRefused(reason)


def unknown_driver(device: Device) -> DeviceRefused | None:
    """The refusal of a virtual device whose name begins with no driver's name."""
    known = virtual_drivers()
    if not known or any(device.name.startswith((name, name.replace("net_", "eth_", 1))) for name in known):
        return None
    close = difflib.get_close_matches(device.driver, known, 1, 0.75)
    guess = f"did you mean {close[0]}? " if close else ""
    return DeviceRefused(
        f"DPDK has no driver for {device.name}",
        f"{guess}virtual devices of this DPDK: {', '.join(known)}; a NIC is named by its PCI address",
    )


def may_use_interfaces() -> bool:
    """Whether this process has CAP_NET_ADMIN and CAP_NET_RAW (capabilities(7))."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16) >> 12 & 3 == 3
    return True
