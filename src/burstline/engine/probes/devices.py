"""Probes of what hands a NIC to DPDK: an IOMMU and the driver vfio-pci (doc/guides/linux_gsg/linux_drivers.rst)."""

from __future__ import annotations

import platform
from pathlib import Path

from burstline.engine.probes.finding import Finding, count, labelled, no, unknown, yes
from burstline.engine.probes.processor import kernel_arguments

_UNSAFE = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode"


def iommu(root: Path) -> Finding:
    if not (root / "sys/kernel").is_dir():
        return unknown("there is no /sys/kernel here")
    place = root / "sys/kernel/iommu_groups"
    groups = len(list(place.iterdir())) if place.is_dir() else 0
    if groups:
        return yes(count(groups, "group"), groups=groups)
    cpu = labelled(root / "proc/cpuinfo")
    if "hypervisor" in cpu.get("flags", "").split():
        return no(
            "no groups: this virtual machine has none; VFIO can do without, unprotected",
            f"modprobe vfio && echo 1 > /{_UNSAFE}",
        )
    if cpu.get("vendor_id") == "GenuineIntel":
        return no("no groups: switched off", kernel_arguments("intel_iommu=on iommu=pt"))
    if cpu.get("vendor_id") == "AuthenticAMD":
        return no("no groups: switched off in the firmware, or by amd_iommu=off", kernel_arguments("iommu=pt"))
    return no("no groups: the firmware describes none to the kernel")


def vfio(root: Path) -> Finding:
    bus = root / "sys/bus/pci"
    if not bus.is_dir():
        return unknown("there is no PCI bus to be seen here")
    driver = bus / "drivers/vfio-pci"
    if driver.is_dir():
        bound = sorted(device.name for device in driver.iterdir() if ":" in device.name)
        unsafe = root / _UNSAFE
        without = ", without an IOMMU" if unsafe.is_file() and unsafe.read_text().strip() == "Y" else ""
        return yes(f"vfio-pci is loaded{without}; bound to it: {', '.join(bound) or 'nothing yet'}", bound=bound)
    release = platform.release()
    if not (root / "lib/modules" / release).is_dir():
        detail = f"vfio-pci is not loaded, and /lib/modules/{release} is not here: load it on the host"
        return no(detail, "modprobe vfio-pci")
    return no("vfio-pci is not loaded", "modprobe vfio-pci")
