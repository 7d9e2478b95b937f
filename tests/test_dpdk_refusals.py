"""Devices that cannot be opened: why, and what to do."""

from __future__ import annotations

import errno

import pytest

from burstline import dpdk

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

from burstline.dpdk.binding import native
from burstline.dpdk.pool import Pool
from burstline.dpdk.port import Port
from burstline.dpdk.refusal import DeviceRefused
from burstline.errors import BurstlineError, UsageError
from dpdk_live import alone, pool, raised


def _refusals(cases: list[tuple[str, int]]) -> list[tuple[str, str, str]]:
    with pool(2047) as one:
        found = []
        for device, queues in cases:
            error = raised(lambda device=device, queues=queues: Port.open(device, one, queues=queues))
            found.append((type(error).__name__, error.message, str(error.hint)))
        assert native.ports() == {}, "what could not be opened is gone"
    return found


REFUSALS = {
    "no driver": (("net_nul", 1), DeviceRefused, "no driver for net_nul0", "did you mean net_null"),
    "wrong argument": (("net_null,bad=1", 1), DeviceRefused, "could not open net_null0,bad=1", "net_null takes size="),
    "no file": (("net_pcap,rx_pcap=/nope", 1), DeviceRefused, "/nope: No such file", "net_pcap takes"),
    "no interface": (("net_af_packet,iface=nope0", 1), BurstlineError, "no network interface 'nope0'", "lo"),
    "no PCI": (("0000:3b:00.0", 1), UsageError, "DPDK was started without PCI", "devices"),
    "too many queues": (("net_null", 2000), BurstlineError, "net_null0 has 1024 queues, 2000", "--workers 1024"),
    "one queue": (("net_pcap,tx_pcap=/dev/null", 2), BurstlineError, "has 1 queue, 2 were", "--workers 1"),
    "small pool": (("net_af_xdp,iface=lo", 1), BurstlineError, "takes 2048 packet buffers", "larger"),
    "no queues": (("net_null", 0), BurstlineError, "0 were asked for", "--workers"),
}


def test_devices_that_cannot_be_opened_say_why_and_leave_nothing_behind() -> None:
    results = alone(_refusals, [case[0] for case in REFUSALS.values()])
    for (name, (_, kind, message, hint)), result in zip(REFUSALS.items(), results, strict=True):
        assert result[0] == kind.__name__, name
        assert message in result[1], name
        assert hint in result[2], name


def _open_twice() -> None:
    with pool() as one, Port.open("net_null7", one):
        assert "net_null7 is open already" in raised(lambda: Port.open("net_null7", one)).message
        with Port.open("net_null", one) as other:
            assert other.name == "net_null0"


def test_a_device_is_opened_once() -> None:
    alone(_open_twice)


def _not_running() -> None:
    assert "not running" in raised(lambda: Pool(100)).message


def test_a_pool_needs_a_running_eal() -> None:
    alone(_not_running)


def test_errors_of_dpdk_are_named() -> None:
    assert native.strerror(errno.ENODEV) == "No such device"
