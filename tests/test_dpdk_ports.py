"""Pools, threads, software ports and rings, live."""

from __future__ import annotations

import ctypes
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

from burstline import dpdk

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

from burstline.dpdk import thread
from burstline.dpdk.binding import native
from burstline.dpdk.pool import Pool, mbufs_needed
from burstline.dpdk.port import Port, free
from burstline.dpdk.ring_port import RingPort
from dpdk_live import alone, packet, pool, raised

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
    gather = c.CFUNCTYPE(c.c_uint64, c.c_void_p, c.c_void_p)(native.SYMBOLS["bl_dpdk_gather"])
    nowhere = c.c_int64(0)

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
            assert gather(chain, c.byref(nowhere)) == chain, "there is room behind its beginning"
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
