"""The compiled data plane of the NIC in software decides over each packet as its model does in plain Python."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.native import cache
from burstline.state.toeplitz import DEFAULT_KEY, SYMMETRIC_KEY, toeplitz
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.hardware.driver import recorded
from burstline.steering.hardware.items import Item, Part, item
from burstline.steering.model.data_plane import DataPlane
from burstline.steering.model.lookup import byte_tables
from burstline.steering.model.nic import NicModel
from burstline.steering.model.row import rows_of
from burstline.steering.rule import SteeringRule
from mutations import mutants, seeds
from steering_nic import PACKETS, held, rules_at_random

OF_RULES = sorted(name for name, driver in recorded().items() if driver.rules)


def same(nic: NicModel, plane: DataPlane, packets: list[bytes]) -> None:
    for data in packets:
        expected, found = nic.classify(data), plane.classify(data)
        assert (found.queue, found.mark, found.hash) == (expected.queue, expected.mark, expected.hash), data.hex()


@pytest.mark.parametrize("driver", OF_RULES)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1 << 32), count=st.integers(0, 20))
def test_any_rules_of_any_driver_over_any_packets(driver: str, seed: int, count: int) -> None:
    """Also those beyond reach, cut short, or broken: what the model says is what the data plane does."""
    chance = random.Random(seed)
    nic, _ = held(driver, rules_at_random(chance, count))
    plane = DataPlane(nic)
    same(nic, plane, chance.sample(PACKETS, 120) + [data for data, _ in mutants(chance, 60, seeds())])


def test_it_follows_each_change() -> None:
    nic = NicModel("model", queues=4, reta_size=64)
    plane, back_end = DataPlane(nic), RteFlow(nic)
    some = PACKETS[::20]
    handle = back_end.add(SteeringRule(proto="udp", to="cores 1, 3", mark=3))
    same(nic, plane, some)
    back_end.set_reta([(5 * bucket + 1) % 4 for bucket in range(64)])
    same(nic, plane, some)
    nic.set_key(SYMMETRIC_KEY[:40])
    nic.hash_ports(["TCP"])
    same(nic, plane, some)
    nic.isolate(True)
    same(nic, plane, some)
    back_end.remove(handle)
    same(nic, plane, some)
    assert plane.classify(some[0]).queue is None
    assert not plane.follow(), "nothing has changed"


def test_both_count_by_the_same_counters() -> None:
    nic = NicModel("model")
    plane, back_end = DataPlane(nic), RteFlow(nic)
    one, two = (back_end.add(SteeringRule(count=True, **more)) for more in ({}, {"proto": "udp", "priority": 3}))
    for data in PACKETS[:10]:
        plane.classify(data)
        nic.classify(data)
    assert back_end.counts() == {one: (20, 2 * sum(map(len, PACKETS[:10]))), two: (0, 0)}


def test_thousands_of_flows_are_found_by_their_values() -> None:
    nic = NicModel("model", queues=4)
    plane, back_end = DataPlane(nic), RteFlow(nic)
    rules = [
        SteeringRule(src=f"10.0.{k >> 8}.{k & 255}", dst="10.9.0.1", proto="udp", sport=5000 + k, dport=9,
                     vlan=1 + k % 7, to=f"queue {k % 4}") for k in range(1500)
    ]  # fmt: skip
    back_end.apply(rules)
    for k in (0, 1, 700, 1499):
        ip = b"\x45\0\0\x1c" + bytes(5) + b"\x11\0\0" + bytes((10, 0, k >> 8, k & 255, 10, 9, 0, 1))
        udp = (5000 + k).to_bytes(2, "big") + (9).to_bytes(2, "big") + b"\0\x08\0\0"
        for tag in (1 + k % 7, 99):
            data = (
                bytes(12) + b"\x81\0" + tag.to_bytes(2, "big") + b"\x08\0" + ip[:4] + bytes(4) + b"\x40" + ip[9:] + udp
            )
            same(nic, plane, [data])
            assert (nic.classify(data).handle != 0) == (tag != 99)


@pytest.mark.parametrize("key", [DEFAULT_KEY, SYMMETRIC_KEY])
def test_hashes_add_up_byte_by_byte(key: bytes) -> None:
    tables = [[int.from_bytes(t[4 * k : 4 * k + 4], "little") for k in range(256)] for t in byte_tables(key)]
    data = random.Random(3).randbytes(36)
    found = 0
    for place, value in enumerate(data):
        found ^= tables[place][value]
    assert found == toeplitz(key, data)


def test_items_that_exclude_each_other_match_nothing() -> None:
    eth, udp, vxlan = Item("ETH"), Item("UDP"), item("VXLAN", {"vni": Part(4, 0xFFFFFF)})
    driver = recorded()["model"]
    for items in ([eth, udp], [eth, vxlan], [eth, Item("IPV4"), vxlan], [eth, Item("IPV4"), Item("IPV6")]):
        assert rows_of(items, driver) == []
    assert len(rows_of([eth, Item("IPV4"), udp, vxlan], driver)) == 1


def test_the_cache_of_kernels_knows_the_source_of_all_that_have_one() -> None:
    """A kernel is compiled from several files: one that is not in the key of the cache would be taken from it as it
    was."""
    root = Path(cache.__file__).parent.parent
    rooms = {
        file.relative_to(root).parts[0] for file in root.rglob("*.py") if ' = Kernel("burstline.' in file.read_text()
    }
    assert rooms <= {*cache.ROOMS}
