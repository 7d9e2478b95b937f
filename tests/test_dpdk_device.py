"""The text after `dpdk:`, and what is known about devices before DPDK is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstline.dpdk import hugepages
from burstline.dpdk.device import Device, check_interface, check_pci, pci_network_devices
from burstline.dpdk.lock import lock
from burstline.errors import BurstlineError, UsageError


@pytest.mark.parametrize(
    ("text", "bus", "name", "arguments"),
    [
        ("0000:3b:00.0", "pci", "0000:3b:00.0", ""),
        ("3B:00.1", "pci", "0000:3b:00.1", ""),
        ("0000:3b:00.0,dv_flow_en=1", "pci", "0000:3b:00.0", "dv_flow_en=1"),
        ("pci:3b:00.0", "pci", "0000:3b:00.0", ""),
        ("net_null", "vdev", "net_null", ""),
        ("net_null0,size=64,copy=0", "vdev", "net_null0", "size=64,copy=0"),
        ("net_pcap,rx_pcap=/tmp/a:b.pcap", "vdev", "net_pcap", "rx_pcap=/tmp/a:b.pcap"),
        ("auxiliary:mlx5_core.sf.4", "auxiliary", "mlx5_core.sf.4", ""),
    ],
)
def test_every_spelling_of_a_device_is_taken_apart(text: str, bus: str, name: str, arguments: str) -> None:
    assert Device.parse(text) == Device(bus, name, arguments)


@pytest.mark.parametrize("text", ["", "!!", "0000:3b:00.8", "what is this", ",size=64", "3b:00"])
def test_what_names_no_device_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no DPDK device"):
        Device.parse(text)


@given(st.from_regex(r"net_[a-z_]{1,20}", fullmatch=True), st.sets(st.integers(0, 50)))
def test_an_indexed_name_is_new_and_keeps_its_driver(driver: str, taken: set[int]) -> None:
    names = {f"{driver}{i}" for i in taken}
    device = Device.parse(f"{driver},size=64").indexed(names)
    assert device.name not in names
    assert (device.driver, device.arguments) == (driver, "size=64")
    assert device.indexed({device.name}) == device  # an index that was given is kept


def test_drivers_that_must_be_told_are_told_the_number_of_queues() -> None:
    packet = Device.parse("net_af_packet,iface=eth1")
    assert packet.with_queues(4).arguments == "iface=eth1,qpairs=4"
    assert packet.with_queues(1) == packet
    assert Device.parse("net_af_xdp,iface=eth1,queue_count=2").with_queues(4).arguments == "iface=eth1,queue_count=2"
    assert Device.parse("net_null").with_queues(4).arguments == ""


def test_a_missing_interface_is_named_with_those_that_are_there() -> None:
    with pytest.raises(BurstlineError, match="no network interface 'nope0'") as caught:
        check_interface(Device.parse("net_af_packet,iface=nope0"))
    assert "lo" in str(caught.value.hint)
    check_interface(Device.parse("net_tap,iface=nope0"))  # makes it


def make_pci(root: Path, address: str, kind: str, driver: str | None) -> None:
    place = root / "devices" / address
    place.mkdir(parents=True)
    (place / "class").write_text(kind + "\n")
    if driver:
        (root / "drivers" / driver).mkdir(parents=True, exist_ok=True)
        (place / "driver").symlink_to(root / "drivers" / driver)


def test_pci_devices_are_checked_before_dpdk_touches_them(tmp_path: Path) -> None:
    make_pci(tmp_path, "0000:3b:00.0", "0x020000", "ixgbe")
    make_pci(tmp_path, "0000:3b:00.1", "0x020000", "vfio-pci")
    make_pci(tmp_path, "0000:3b:00.2", "0x020000", None)
    make_pci(tmp_path, "0000:00:01.0", "0x010000", "nvme")
    root = tmp_path / "devices"
    assert pci_network_devices(root) == {"0000:3b:00.0": "ixgbe", "0000:3b:00.1": "vfio-pci", "0000:3b:00.2": None}
    check_pci(Device.parse("3b:00.1"), root)
    with pytest.raises(BurstlineError, match=r"held by the kernel driver ixgbe\n.*--bind=vfio-pci 0000:3b:00\.0"):
        check_pci(Device.parse("3b:00.0"), root)
    with pytest.raises(BurstlineError, match="bound to no driver"):
        check_pci(Device.parse("3b:00.2"), root)
    with pytest.raises(BurstlineError, match=r"no PCI device 0000:77:00\.0\n.*3b:00\.0 \(ixgbe\).*00\.2 \(no driver\)"):
        check_pci(Device.parse("77:00.0"), root)


def test_a_device_is_held_once_and_given_back() -> None:
    device = Device.parse("net_af_packet,iface=lo")
    held = lock(device)
    assert held is not None
    with held, pytest.raises(BurstlineError, match="lo is open already"):
        lock(device)
    again = lock(device)
    assert again is not None
    again.close()
    assert lock(Device.parse("net_null0")) is None


def test_another_process_that_holds_a_device_is_named() -> None:
    device = Device.parse("0000:3b:00.0")
    script = (
        "from burstline.dpdk.device import Device; from burstline.dpdk.lock import lock;"
        "held = lock(Device.parse('0000:3b:00.0')); print('held', flush=True); input()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as other:
        assert other.stdin and other.stdout
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(BurstlineError, match=rf"in use by another burstline process \(pid {other.pid}\)"):
            lock(device)
        other.communicate(b"\n", timeout=60)
    held = lock(device)
    assert held is not None
    held.close()


def test_huge_pages_that_are_promised_to_others_are_not_free(tmp_path: Path) -> None:
    directory = tmp_path / "hugepages-2048kB"
    directory.mkdir()
    for name, pages in (("nr", 100), ("free", 60), ("resv", 50)):
        (directory / f"{name}_hugepages").write_text(f"{pages}\n")
    assert hugepages.pools(tmp_path) == [hugepages.HugePages(2 << 20, 100, 10)]
    assert hugepages.pools(tmp_path / "none") == []
    assert not hugepages.usable(1 << 30)
