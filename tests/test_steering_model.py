"""The NIC in software: its hash, and what it does wrong or late when it is told to."""

from __future__ import annotations

import pytest

from burstline.dpdk.flow_refused import FlowRefused
from burstline.state.toeplitz import DEFAULT_KEY, SYMMETRIC_KEY, Toeplitz
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.hardware.flow_device import FlowRule
from burstline.steering.hardware.items import item
from burstline.steering.hardware.reach import reached
from burstline.steering.model.faults import Faults
from burstline.steering.model.nic import NicModel
from burstline.steering.rule import SteeringRule
from steering_nic import DROPS, PACKETS, VIEWS


@pytest.mark.parametrize("key", [DEFAULT_KEY, SYMMETRIC_KEY[:40], SYMMETRIC_KEY])
def test_the_nic_hashes_as_burstline_does(key: bytes) -> None:
    nic, ours = NicModel("model", key=key), Toeplitz(key)
    within = [(data, pkt) for data, pkt in zip(PACKETS, VIEWS, strict=True) if reached(nic.personality, pkt)]
    assert len({nic.classify(data).hash for data, _ in within}) > 50
    for data, pkt in within:
        assert nic.classify(data).hash == ours.hash(pkt)


def test_another_key_hashes_otherwise_and_must_have_the_length_of_the_nics() -> None:
    nic = NicModel("model", key=DEFAULT_KEY)
    pairs = zip(PACKETS, VIEWS, strict=True)
    data, pkt = next((data, pkt) for data, pkt in pairs if reached(nic.personality, pkt) and pkt.tcp)
    with pytest.raises(FlowRefused, match="the key has 40 bytes"):
        nic.set_key(SYMMETRIC_KEY)
    before = nic.classify(data).hash
    nic.set_key(SYMMETRIC_KEY[:40])
    assert before != nic.classify(data).hash == Toeplitz(SYMMETRIC_KEY[:40]).hash(pkt)


def test_updates_come_into_force_late_and_rules_are_away_while_the_table_is_written() -> None:
    now = [0.0]
    nic = NicModel("model", faults=Faults(latency=2.0, duration=1.0, window=0.5), clock=lambda: now[0],
                   wait=lambda seconds: now.__setitem__(0, now[0] + seconds))  # fmt: skip
    back_end = RteFlow(nic)
    back_end.add(SteeringRule(to="queue 3"))
    assert now[0] == 1.0, "the call takes its time"
    version = nic.table().version
    assert nic.classify(PACKETS[0]).handle == 0
    now[0] = 3.1
    assert nic.classify(PACKETS[0]).handle == 0, "the table is being written"
    now[0] = 3.6
    assert nic.classify(PACKETS[0]).queue == 3
    assert nic.table().version > version
    assert nic.table() is nic.table()


def test_a_nic_that_validates_all_still_refuses_at_creation() -> None:
    nic = NicModel("net_tap", faults=Faults(validates_all=True))
    bad = FlowRule((item("ETH", {}), item("VXLAN", {})), DROPS)
    nic.validate(bad)
    with pytest.raises(FlowRefused, match="item is not supported"):
        nic.create(bad)
    with pytest.raises(FlowRefused):
        NicModel("net_tap").validate(bad)
