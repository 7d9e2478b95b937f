"""Receive rings and pool caches that fit the caches of a core."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstline.buffers.classes import OVERHEAD
from burstline.buffers.footprint import (
    LEAST_CACHE,
    LEAST_DESCRIPTORS,
    MOST_CACHE,
    MOST_DESCRIPTORS,
    CacheShare,
    buffer_bytes,
    fitting,
)
from burstline.buffers.receive import Capabilities
from burstline.engine.config import Config, Engine, Pools, Port
from burstline.engine.live_buffers import LiveBuffers
from burstline.engine.probes import Outcome, processor
from burstline.engine.probes.processor import cache_share

KIB, MIB = 1 << 10, 1 << 20
bytes_of_cache = st.one_of(st.just(0), st.integers(64 * KIB, 64 * MIB))


@given(l2=bytes_of_cache, l3=bytes_of_cache, queues=st.integers(1, 16), buffer=st.integers(384, 10000))
def test_rings_are_the_largest_that_fit_and_never_smaller_than_a_burst(
    l2: int, l3: int, queues: int, buffer: int
) -> None:
    found = fitting(CacheShare(l2, l3), queues, buffer)
    assert found.rings == queues * found.descriptors * buffer
    assert found.descriptors.bit_count() == 1 and LEAST_DESCRIPTORS <= found.descriptors <= MOST_DESCRIPTORS
    assert found.exceeds == (l3 > 0 and found.rings > l3)
    assert not found.exceeds or found.descriptors == LEAST_DESCRIPTORS
    assert found.descriptors == MOST_DESCRIPTORS or 2 * found.rings > l3
    assert found.cache.bit_count() == 1 and LEAST_CACHE <= found.cache <= MOST_CACHE
    assert not found.cache_exceeds or found.cache == LEAST_CACHE
    larger = fitting(CacheShare(l2, l3), queues, buffer, cache=2 * found.cache)
    assert found.cache == MOST_CACHE or larger.cache_exceeds


def test_the_arithmetic_is_shown() -> None:
    assert buffer_bytes([128, 2048]) == 128 + 2048 + 2 * OVERHEAD
    found = fitting(CacheShare(512 * KIB, 2 * MIB), 2, 2368)
    assert (found.descriptors, found.cache) == (256, 128)
    assert found.lines() == [
        "receive rings of a worker: 2 x 256 descriptors x 2,368 bytes = 1.2 MiB, of 2 MiB that a core has of L3",
        "free buffers of a core: (1.5 x 128 + 2 x 128) x 256 bytes = 112 KiB, of a fourth of 512 KiB L2",
    ]
    given = fitting(CacheShare(512 * KIB, 2 * MIB), 2, 2368, 4096, 512)
    assert given.exceeds and given.cache_exceeds
    assert "= 18.5 MiB, more than 2 MiB that a core has of L3" in given.lines()[0]


def test_dpdks_own_ops_have_no_magazines_behind_the_cache() -> None:
    found = fitting(CacheShare(512 * KIB, 2 * MIB), 2, 2368, magazines=False)
    assert (found.cache, found.held, found.freed) == (256, 384, 96 * KIB)


def cpu(core: int, caches: Mapping[int, tuple[int, str, str, str]]) -> dict[str, str]:
    """A CPU's caches by index: level, type, size, the CPUs that share it."""
    place = f"sys/devices/system/cpu/cpu{core}/cache"
    names = ("level", "type", "size", "shared_cpu_list")
    return {
        f"{place}/index{index}/{name}": str(value)
        for index, cache in caches.items()
        for name, value in zip(names, cache, strict=True)
    }


def machine(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


def xeon(root: Path) -> Path:
    """A core of an Intel Xeon Gold 6140: 18 cores with two threads each."""
    both = "3,21"
    everybody = "0-17,18-35"
    caches = {
        0: (1, "Data", "32K", both),
        1: (1, "Instruction", "32K", both),
        2: (2, "Unified", "1024K", both),
        3: (3, "Unified", "25344K", everybody),
    }
    return machine(root, cpu(3, caches) | {"proc/self/status": "Cpus_allowed_list:\t3-5"})


def test_a_core_has_its_part_of_what_it_shares(tmp_path: Path) -> None:
    assert cache_share(3, xeon(tmp_path)) == CacheShare(l2=512 * KIB, l3=25344 * KIB // 36)
    assert cache_share(4, tmp_path) == CacheShare()


def test_the_probe_tells_what_fits_here(tmp_path: Path) -> None:
    finding = processor.rings(xeon(tmp_path))
    assert (finding.outcome, finding.facts["descriptors"]) == (Outcome.YES, 256)
    assert finding.detail.startswith(
        "256 descriptors a ring, 128 buffers cached by a core; receive rings of a worker: 1 x"
    )
    nothing = machine(tmp_path / "other", {"proc/self/status": "Cpus_allowed_list:\t0"})
    assert processor.rings(nothing).outcome is Outcome.UNKNOWN


# ---- in a run ----

NIC = Capabilities("net_ice", min_buffer=1024, scatter=True)


@pytest.fixture
def small_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    share = CacheShare(l2=448 * KIB, l3=1408 * KIB)
    monkeypatch.setattr("burstline.engine.live_buffers.cache_share", lambda core: share if core == 5 else CacheShare())


CORE_5 = Engine(cores=(5,))


def test_rings_of_a_run_fit_the_cache_of_its_core_where_nothing_is_set(small_cache: None) -> None:
    buffers = LiveBuffers(Config(engine=CORE_5), [NIC, NIC], ["0000:01:00.0", "0000:01:00.1"], reads=True)
    assert [port.rx_ring for port in buffers.ports] == [256, 256]
    assert buffers.cache == 128
    assert [port.note for port in buffers.ports] == ["", ""]
    assert not buffers.footprint.exceeds


def test_what_is_set_is_taken_and_told_where_it_is_more_than_fits(small_cache: None) -> None:
    set_up = Config(engine=CORE_5, ports=(Port("dpdk:0000:01:00.0", rx_descriptors=4096),), pools=Pools(cache=512))
    first, second = LiveBuffers(set_up, [NIC, NIC], ["0000:01:00.0", "0000:01:00.1"], reads=True).ports
    assert (first.rx_ring, second.rx_ring) == (4096, 256)
    assert "4,096 descriptors x 2,368 bytes = 18.5 MiB, more than 1.4 MiB" in first.note
    assert "256 would fit" in first.note and "a cache of 128 would fit" in first.note
    assert "descriptors x" not in second.note
    assert str(first).endswith(f"4,096 descriptors ({first.note})")


def test_a_tap_port_has_buffers_for_one_packet_not_a_ring(small_cache: None) -> None:
    (port,) = LiveBuffers(Config(), [Capabilities("net_tap", scatter=True)], ["net_tap0"], reads=True).ports
    assert port.rx_ring == 64
    assert 65550 <= 64 * 2048


def test_there_are_buffers_of_each_class_for_all_that_can_hold_one() -> None:
    pcap = Capabilities("net_pcap")
    two = Config(engine=Engine(workers=2))
    counts = LiveBuffers(two, [pcap], ["net_pcap0"], reads=True).counts(-1, [[]])
    assert sorted(counts) == [128, 640, 2048, 9216]
    assert counts[2048] >= 2 * (1024 + 1024) + 2 * 384
    assert counts[9216] >= 2 * 1024, "what waits to be sent"
    lent = LiveBuffers(two, [Capabilities("net_af_xdp", max_buffer=3776)], ["net_af_xdp0"], reads=True)
    assert lent.counts(-1, [[]])[2048] == counts[2048] + 2 * 4096
    rings = LiveBuffers(two, [Capabilities("net_vmxnet3")], ["0000:0b:00.0"], reads=True)
    assert rings.counts(-1, [[]])[2048] == counts[2048] + 2 * rings.ports[0].rx_ring
    held = LiveBuffers(two, [Capabilities("net_ring")], ["ring-loop"], reads=True).counts(-1, [[60] * 10 + [5000]])
    assert held[2048] == counts[2048] + 2 * (10 + 3)
    assert held[9216] == counts[9216] + 2
    few = Config(pools=Pools(buffers=500, cache=32))
    assert LiveBuffers(few, [pcap], ["net_pcap0"], reads=True).counts(-1, [[]])[2048] == 500
