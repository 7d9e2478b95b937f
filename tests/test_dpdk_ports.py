"""Ports, pools and rings, live: each test in a process and a network namespace of its own, since EAL starts only once
in a process; both vanish with the process, however it ends."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from burstline import dpdk
from burstline.errors import BurstlineError, UsageError

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

from burstline.dpdk import eal, thread
from burstline.dpdk.library import native
from burstline.dpdk.pool import Pool, mbufs_needed
from burstline.dpdk.port import Port, free
from burstline.dpdk.refusal import DeviceRefused
from burstline.dpdk.ring_port import RingPort

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
CLONE_NEWNET = 0x40000000


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `function` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(function, *arguments).result(60)


@contextmanager
def pool(count: int = 8191, **options: Any) -> Iterator[Pool]:
    """A pool from which nothing leaks; EAL started without huge pages, so that tests run anywhere."""
    eal.start(huge=False)
    with Pool(count, **options) as made:
        yield made
        assert made.in_use == 0, f"{made.in_use} mbufs leaked"


def veth() -> None:
    """Into a network namespace with one pair of interfaces, left and right, on which nobody speaks unasked."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    for which in ("all", "default"):
        Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6").write_text("1")
    for command in ("link add left type veth peer name right", "link set left up", "link set right up"):
        subprocess.run(["ip", *command.split()], check=True)


def raised(action: Callable[[], object]) -> BurstlineError:
    try:
        action()
    except BurstlineError as error:
        return error
    raise AssertionError("nothing was raised")


def packet(number: int, size: int = 60) -> bytes:
    return (b"\xff" * 6 + b"\x02" * 6 + b"\x88\xb5" + struct.pack("!I", number)).ljust(size, bytes([number % 256]))


# ---- pools and threads ----


def _pools() -> None:
    with pool(2047) as one:
        assert (one.available, one.in_use) == (2047, 0)
        mbufs = [one.new(packet(i)) for i in range(2047)]
        assert (one.available, one.in_use) == (0, 2047)
        assert "all 2047 packet buffers" in raised(lambda: one.new(b"x")).message
        assert "2047 of 2047 packet buffers are still in use" in raised(one.close).message
        assert [native.mbuf_bytes(m) for m in mbufs] == [packet(i) for i in range(2047)]
        free(mbufs)
    one.close()  # once more does nothing
    error = raised(lambda: Pool(50_000_000))
    assert "no memory for a pool of 50000000" in error.message
    assert "-m MiB" in str(error.hint)


def test_a_pool_counts_what_is_in_use() -> None:
    alone(_pools)


def test_a_pool_holds_what_rings_and_caches_can() -> None:
    assert mbufs_needed(1) == 8191
    assert mbufs_needed(16, threads=4) >= 16 * 2048 + 4 * 256
    assert (mbufs_needed(40) + 1).bit_count() == 1


def _caches() -> None:
    seen = []

    def worker() -> None:
        assert thread.lcore() is None
        with thread.registered() as lcore, Port.open("net_null", one) as port:
            port.start()
            mbufs = [m for m, _ in port.receive(0, 32)]
            seen.append((lcore, one.cached(lcore), one.in_use))
            free(mbufs)
        assert thread.lcore() is None

    with pool() as one:
        for _ in range(2):
            runner = threading.Thread(target=worker)
            runner.start()
            runner.join()
    (first, cached, in_use), (again, *_) = seen
    assert first == again != 0, "lcore ids are given back"
    assert (cached, in_use) == (256, 32), "mbufs come through the thread's cache"


def test_a_registered_thread_has_a_cache_in_the_pool() -> None:
    alone(_caches)


# ---- ports ----


def _null() -> None:
    with pool() as one:
        ports = [Port.open("net_null,size=100", one, queues=4) for _ in range(3)]
        assert [p.name for p in ports] == ["net_null0", "net_null1", "net_null2"]
        port = ports[1]
        assert (port.driver, port.queues, port.mac > 0) == ("net_null", 4, True)
        assert not port.started
        port.start()
        got = port.receive(3, 32)
        assert [len(view) for _, view in got] == [100] * 32
        got[0][1][:4] = b"abcd"
        assert native.mbuf_bytes(got[0][0])[:5] == b"abcd\0"
        assert one.in_use == 32
        assert port.transmit(3, [mbuf for mbuf, _ in got]) == 32
        assert (port.stats().ipackets, port.stats().opackets) == (32, 32)
        assert port.info().bus == "vdev"
        for each in ports:
            each.close()
            each.close()
        assert native.ports() == {}
        with Port.open("net_null", one) as reopened:
            assert reopened.name == "net_null0"


def test_null_devices_have_names_queues_and_counters_of_their_own() -> None:
    alone(_null)


def _compiled() -> None:
    """As compiled code does it: through addresses, on a registered thread, reading mbufs by offset."""
    c = ctypes
    burst_function = c.CFUNCTYPE(c.c_int64, c.c_int64, c.c_int64, c.c_void_p, c.c_int64)
    rx, tx = (burst_function(native.SYMBOLS[f"bl_dpdk_{name}"]) for name in ("rx", "tx"))
    give_back = c.CFUNCTYPE(c.c_int64, c.c_void_p, c.c_int64)(native.SYMBOLS["bl_dpdk_free"])
    linear = c.CFUNCTYPE(c.c_int64, c.c_void_p)(native.SYMBOLS["bl_dpdk_linear"])

    def field(mbuf: int, name: str, kind: Any) -> int:
        return int(kind.from_address(mbuf + native.MBUF[name]).value)

    with pool() as one, RingPort.pair(one, ring_size=64) as port:
        port.start()
        sent = [packet(i, 60 + i) for i in range(40)]
        assert port.inject(sent) == 40
        assert port.inject([packet(99, 1000)], segment=400) == 1
        burst = (c.c_uint64 * 64)()
        with thread.registered():
            assert rx(port.id, 0, burst, 64) == 41
            for data, mbuf in zip(sent, burst[:40], strict=False):
                assert field(mbuf, "data_len", c.c_uint16) == field(mbuf, "pkt_len", c.c_uint32) == len(data)
                assert field(mbuf, "nb_segs", c.c_uint16) == 1
                start = field(mbuf, "buf_addr", c.c_uint64) + field(mbuf, "data_off", c.c_uint16)
                assert c.string_at(start, len(data)) == data
            chain = burst[40]
            assert (field(chain, "nb_segs", c.c_uint16), field(chain, "data_len", c.c_uint16)) == (3, 400)
            assert linear(chain) == 0
            assert (field(chain, "nb_segs", c.c_uint16), field(chain, "data_len", c.c_uint16)) == (1, 1000)
            assert tx(port.id, 0, c.byref(burst, 8 * 31), 10) == 10
            assert give_back(burst, 31) == 0
            assert rx(port.id, 0, burst, 64) == 0
        assert port.drain() == [*sent[31:], packet(99, 1000)]


def test_compiled_code_receives_reads_joins_sends_and_frees() -> None:
    alone(_compiled)


def _rings() -> None:
    with pool() as one:
        with RingPort.loop(one, [packet(1), packet(2)], 100, queues=2) as port:
            port.start()
            assert (port.driver, one.in_use) == ("net_ring", 200)
            for _ in range(3):
                got = port.receive(1, 256)
                assert len(got) == 100
                for _, view in got:
                    view[0] = (view[0] + 1) % 256
                assert port.transmit(1, [mbuf for mbuf, _ in got]) == 100
            for queue, marked in ((1, b"\x02"), (0, b"\xff")):
                got = port.receive(queue, 2)
                assert [bytes(view) for _, view in got] == [marked + packet(i)[1:] for i in (1, 2)]
                free([mbuf for mbuf, _ in got])
            assert one.in_use == 196
        assert "ring of 1024 cannot be loaded with 5 of 0 packets" in raised(lambda: RingPort.loop(one, [], 5)).message
        assert "power of two" in str(raised(lambda: RingPort.pair(one, ring_size=1000)).hint)


def test_a_loop_gives_back_what_is_sent() -> None:
    alone(_rings)


def _full_ring() -> None:
    with pool() as one, RingPort.pair(one, ring_size=16) as port:
        port.start()
        assert port.inject([packet(i) for i in range(20)]) == 15
        got = port.receive(0, 256)
        assert [bytes(view) for _, view in got] == [packet(i) for i in range(15)]
        mbufs = [mbuf for mbuf, _ in got]
        assert port.inject([packet(99)]) == 1
        extra = [mbuf for mbuf, _ in port.receive(0, 1)]
        assert port.transmit(0, mbufs + extra) == 15, "the rest stays the caller's"
        free(extra)
        assert len(port.drain()) == 15
        assert port.drain() == []
        assert port.inject([packet(1), packet(2)]) == 2  # left in the ring: close frees them


def test_a_full_ring_takes_no_more_and_closing_frees_what_is_in_it() -> None:
    alone(_full_ring)


def _too_long() -> None:
    with pool(data_room=512) as one, RingPort.pair(one) as port:
        port.start()
        data = bytes(range(250)) * 8
        port.inject([data])
        ((mbuf, view),) = port.receive()
        assert bytes(view) == data[: len(view)]
        assert len(view) == 512
        assert port.transmit(0, [mbuf]) == 1
        assert port.drain() == [data], "forwarded whole"


def test_a_packet_longer_than_an_mbuf_shows_its_beginning_and_is_forwarded_whole() -> None:
    alone(_too_long)


def _pcap(directory: str) -> None:
    source, sink = f"{directory}/in.pcap", f"{directory}/out.pcap"
    packets = [packet(i, 60 + 7 * i) for i in range(100)]
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    records = b"".join(struct.pack("<IIII", 1, i, len(p), len(p)) + p for i, p in enumerate(packets))
    Path(source).write_bytes(header + records)
    with pool() as one:
        with Port.open(f"net_pcap,rx_pcap={source},tx_pcap={sink}", one) as port:
            port.start()
            while got := port.receive(0, 32):
                port.transmit(0, [mbuf for mbuf, _ in got])
            assert port.stats().opackets == 100
        written = Path(sink).read_bytes()
    at, read = 24, []
    while at < len(written):
        (length,) = struct.unpack_from("<I", written, at + 8)
        read.append(written[at + 16 : at + 16 + length])
        at += 16 + length
    assert read == packets, "flushed when the port is closed"


def test_a_capture_goes_through_net_pcap_unchanged(tmp_path: Path) -> None:
    alone(_pcap, str(tmp_path))


# ---- interfaces of the kernel ----


def _reflect(device: str, queues: int) -> str:
    veth()
    with pool(16383) as one:
        try:
            port = Port.open(device, one, queues=queues)
        except DeviceRefused as refusal:
            assert one.in_use == 0
            return f"{refusal.instead}: {refusal}"
        with port, socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as other:
            port.start()
            other.bind(("right", 3))
            other.settimeout(5)
            for first in range(0, 3000, 50):
                for i in range(first, first + 50):
                    other.send(packet(i, 60 + i % 1400))
                got: list[tuple[int, memoryview]] = []
                deadline = time.monotonic() + 5
                while len(got) < 50 and time.monotonic() < deadline:
                    for queue in range(queues):
                        fresh = port.receive(queue, 32)
                        for _, view in fresh:
                            view[0:6] = b"\x04" * 6
                        assert port.transmit(queue, [mbuf for mbuf, _ in fresh]) == len(fresh)
                        got += fresh
                assert len(got) == 50
                back = {other.recv(2048) for _ in range(50)}
                assert back == {b"\x04" * 6 + packet(i, 60 + i % 1400)[6:] for i in range(first, first + 50)}
            assert (port.stats().ipackets, port.stats().opackets) == (3000, 3000)
    return ""


@needs_root
@pytest.mark.parametrize("queues", [1, 2])
def test_af_packet_carries_packets_unchanged(queues: int) -> None:
    assert alone(_reflect, "net_af_packet,iface=left", queues) == ""


@needs_root
def test_af_xdp_carries_packets_unchanged_and_leaks_nothing_or_names_af_packet() -> None:
    outcome = alone(_reflect, "net_af_xdp,iface=left", 1)
    assert outcome == "" or outcome.startswith("net_af_packet,iface=left: ")
    if outcome:
        pytest.skip(outcome)


def _two_af_xdp() -> str:
    veth()
    with pool(16383) as one:
        try:
            ports = [Port.open(f"net_af_xdp,iface={name}", one) for name in ("left", "right")]
        except DeviceRefused as refusal:
            return str(refusal)
        for port in ports:
            port.start()
        mbufs = [one.new(packet(i)) for i in range(100)]
        assert ports[0].transmit(0, mbufs) == 100
        time.sleep(0.1)
        got = [mbuf for mbuf, _ in ports[1].receive(0, 256)]
        assert got
        free(got)
        ports[0].close()
        assert one.in_use >= 4096
        ports[1].close()
        assert one.in_use == 0
        with Port.open("net_af_xdp,iface=left", one) as again:
            again.start()
    return ""


@needs_root
def test_mbufs_that_af_xdp_forgets_are_back_when_the_last_port_is_closed() -> None:
    if outcome := alone(_two_af_xdp):
        pytest.skip(outcome)


def _too_many_af_xdp_queues() -> tuple[str, str | None]:
    veth()
    with pool() as one:
        error = raised(lambda: Port.open("net_af_xdp,iface=left", one, queues=2))
        assert isinstance(error, DeviceRefused)
        return error.message, error.instead


@needs_root
def test_af_xdp_without_the_queues_asked_for_says_so_and_names_af_packet() -> None:
    message, instead = alone(_too_many_af_xdp_queues)
    assert "left has 1 combined queue, and net_af_xdp can use no more" in message
    assert instead == "net_af_packet,iface=left"


def _no_permission() -> str:
    veth()
    with pool() as one:
        os.setresuid(65534, 65534, 65534)
        with Port.open("net_null", one) as port:
            port.start()
        error = raised(lambda: Port.open("net_af_packet,iface=left", one))
        return str(error)


@needs_root
def test_without_permission_software_ports_work_and_interfaces_say_what_is_missing() -> None:
    text = alone(_no_permission)
    assert text.startswith("no permission to open net_af_packet0,iface=left\n  hint: run as root (CAP_NET_ADMIN")


# ---- refusals ----


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
