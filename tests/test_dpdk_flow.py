"""rte_flow, RSS and RETA of ports, live: on drivers that have them or refuse them."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from burstline import dpdk

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

from burstline.dpdk import flow, rss
from burstline.dpdk.binding import native
from burstline.dpdk.flow_refused import FlowRefused
from burstline.dpdk.port import SYMMETRIC, Port
from burstline.dpdk.ring_port import RingPort
from burstline.errors import BurstlineError, UsageError
from burstline.steering.back_end import CannotSteer, DeviceFault
from burstline.steering.hardware.actions import Action
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.hardware.driver import find
from burstline.steering.hardware.flow_device import FlowDevice, FlowRule
from burstline.steering.hardware.items import LAYOUTS, MORE, Item, Part, item
from burstline.steering.hardware.port_device import PortDevice
from burstline.steering.reta import moves
from burstline.steering.rule import SteeringRule
from dpdk_live import alone, needs_root, pool, raised, veth

PATTERN = [("ETH", b"", b"", b""), ("IPV4", bytes(20), bytes(20), b"")]


def test_items_lie_as_in_this_dpdk() -> None:
    assert {kind: layout.size for kind, layout in LAYOUTS.items()} == native.FLOW_SIZES
    places = {
        f"{kind}.{name}": place.offset
        for kind, layout in LAYOUTS.items()
        for name, place in layout.fields.items()
        if name != MORE and kind != "GRE_KEY"
    }
    assert places == native.FLOW_PLACES
    assert item("VLAN", {MORE: Part(1, 1)}).spec == native.flow_layout_more_vlan()
    assert LAYOUTS.keys() == native.FLOW_ITEMS.keys()


def _refusals() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with pool() as one:
        for name, opened in (("null", Port.open("net_null", one, queues=2)), ("ring", RingPort.pair(one))):
            with opened as port:
                port.start()
                calls = {
                    "create": lambda port=port: flow.create(port, PATTERN, [("QUEUE", 0, ())]),
                    "rss": lambda port=port: flow.create(port, PATTERN, [("COUNT", 0, ()), ("RSS", 0, (0, 0))]),
                    "validate": lambda port=port: flow.validate(port, PATTERN, [("DROP", 0, ())], 3),
                    "destroy": lambda port=port: flow.destroy(port, 0),
                    "flush": lambda port=port: flow.flush(port),
                    "query": lambda port=port: flow.query(port, 0),
                    "isolate": lambda port=port: flow.isolate(port, True),
                }
                for call, action in calls.items():
                    error = raised(action)
                    assert isinstance(error, FlowRefused)
                    found[f"{name} {call}"] = (error.errno, error.kind, error.message, str(error.hint))
                with pytest.raises(UsageError, match="'ETHER' is nothing that a rule"):
                    flow.create(port, [("ETHER", b"", b"", b"")], [])
                with pytest.raises(ValueError, match="40 items"):
                    flow.create(port, [("ETH", b"", b"", b"")] * 40, [])
    return found


def test_ports_without_rules_say_so_clearly() -> None:
    for name, (number, kind, message, hint) in alone(_refusals).items():
        call = name.split()[1]
        assert number == errno.ENOSYS, name
        assert kind == "unspecified"
        assert message.startswith(f"rte_flow_{'create' if call == 'rss' else call}: ")
        assert "not implemented" in message.lower()
        assert "software director" in hint


def _reta() -> None:
    with pool() as one, Port.open("net_null", one, queues=4) as port:
        port.start()
        size = port.info().reta_size
        assert size == 128
        before = rss.reta(port)
        rss.update_reta(port, {0: 3, 64: 2, 127: 1})
        after = rss.reta(port)
        assert (after[0], after[64], after[127]) == (3, 2, 1)
        assert [q for b, q in enumerate(after) if b not in (0, 64, 127)] == [
            q for b, q in enumerate(before) if b not in (0, 64, 127)
        ]
        changes = moves(after, [1, 1, 0, 2])
        for bucket, queue in changes:
            rss.update_reta(port, {bucket: queue})
        assert [rss.reta(port).count(queue) for queue in range(4)] == [32, 32, 0, 64]
        for entries in ({128: 0}, {0: 4}):
            error = raised(lambda entries=entries: rss.update_reta(port, entries))
            assert "there are buckets 0 to 127, and queues 0 to 3" in str(error.hint)


def test_a_reta_is_moved_bucket_by_bucket() -> None:
    alone(_reta)


def _hash() -> None:
    with pool() as one, Port.open("net_null", one, queues=2) as port:
        port.start()
        can = rss.set_rss(port)
        assert can
        assert rss.rss(port).functions == can
        assert rss.set_rss(port, key="symmetric", functions=["IPV4", "NONFRAG_IPV4_TCP", "L2_PAYLOAD"]) <= {
            "IPV4", "NONFRAG_IPV4_TCP", "L2_PAYLOAD",
        }  # fmt: skip
        size = port.info().key_size
        assert rss.rss(port).key == SYMMETRIC * (size // 2)
        if size:
            assert "has an RSS key of" in raised(lambda: rss.set_rss(port, key=b"short")).message
        assert "there is no hash function SMELL" in raised(lambda: rss.set_rss(port, functions=["SMELL"])).message
    with pool() as one, RingPort.pair(one) as port:
        error = raised(lambda: rss.set_rss(port))
        assert isinstance(error, UsageError)
        assert "hashes none of" in error.message
        assert "use one queue" in str(error.hint)
        assert isinstance(raised(lambda: rss.reta(port)), BurstlineError)
        with pytest.raises(BurstlineError, match="cannot go to queue"):
            rss.update_reta(port, {0: 0})


def test_the_key_and_what_is_hashed_are_changed_within_what_the_device_can() -> None:
    alone(_hash)


def _back_end() -> None:
    with pool() as one, Port.open("net_null", one, queues=4) as port:
        port.start()
        device: FlowDevice = PortDevice(port)
        back_end = RteFlow(device)
        with pytest.raises(CannotSteer, match="net_null has no rte_flow rules"):
            back_end.add(SteeringRule(proto="tcp", to="queue 1"))
        back_end.set_reta([bucket % 3 for bucket in range(128)])
        back_end.move_bucket(5, 3)
        assert device.reta()[:7] == [0, 1, 2, 0, 1, 3, 0]
        with pytest.raises(CannotSteer, match="bucket 5 cannot go to queue 4"):
            back_end.move_bucket(5, 4)
        assert (back_end.limits.exact, back_end.limits.reta_size) == (0, 128)
        # What the data would promise, the device refuses: nobody is told that a rule is in force.
        believes = RteFlow(device, driver=find("model"))
        with pytest.raises(CannotSteer, match="refused the rule") as refused:
            believes.add(SteeringRule(proto="tcp", to="queue 1"))
        assert refused.value.field == "proto"
        assert believes.rules() == {}
        with pytest.raises(FlowRefused):
            device.create(FlowRule((Item("ETH"),), (Action("DROP"),)))
        with pytest.raises(FlowRefused):
            device.isolate(True)
    with pool() as one, RingPort.pair(one) as ring, pytest.raises((CannotSteer, DeviceFault)):
        RteFlow(PortDevice(ring)).move_bucket(0, 0)


def test_a_port_is_a_device_of_the_back_end() -> None:
    alone(_back_end)


def _tap() -> tuple[bool, str]:
    """Whether a rule is in force, and what was said where it is not."""
    veth()
    with pool() as one, Port.open("net_tap,iface=steered", one, queues=2) as port:
        port.start()
        device = PortDevice(port)
        back_end = RteFlow(device)
        rule = SteeringRule(src="10.0.0.1", proto="udp", dport=9, to="queue 1")
        plan = back_end._plan(rule)
        for slot in plan.slots(back_end.driver, 0):
            device.validate(slot.rule)
        try:
            handle = back_end.add(rule)
        except DeviceFault as fault:
            assert back_end.rules() == {}
            assert back_end.used == 0
            return False, str(fault)
        assert back_end.used == 2
        back_end.remove(handle)
        back_end.close()
        return True, ""


@needs_root
def test_a_tap_validates_a_rule_and_then_does_it_or_says_that_it_cannot() -> None:
    """Without the kernel's flower classifier net_tap validates rules all the same."""
    done, said = alone(_tap)
    assert done or ("rte_flow_create" in said and "the rules are as they were" in said and "hint" in said)
