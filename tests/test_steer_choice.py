"""Which back end a port gets, of those that its device and its settings leave, and why not a better one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from burstline.engine.config import Config, Engine, Port
from burstline.engine.live_steering import LiveSteering, RssFacts
from burstline.engine.steer_choice import Choice, Refused, steered_with
from burstline.errors import UsageError
from burstline.state.steering_table import SteeringTable
from burstline.steering.back_end import CannotSteer
from burstline.steering.director import SoftwareDirector
from burstline.steering.edit import AddRules, MoveBucket, RemoveRules
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.model.nic import NicModel
from burstline.steering.rule import SteeringRule
from steering_nic import flow

NOT_XDP = Refused("xdp", "it is no interface of the kernel's")
RULES = [flow(1), SteeringRule(proto="tcp", dport=443, to="queue 2")]


def choice(device: str, steer: Any = "auto", **more: Any) -> Choice:
    return Choice.of(device, Port(f"dpdk:{device}", steer=steer, **more), 4)


def tried(driver: str, rules: Sequence[SteeringRule], reta: int = 128) -> Choice:
    made = choice("0000:3b:00.0")
    made.try_on_paper(driver, reta, 4, rules, lambda core: core, covers=True)
    return made


def test_a_nic_is_steered_by_rte_flow_as_far_as_its_driver_can() -> None:
    assert tried("net_mlx5", RULES).left == ["rte_flow", "software"]
    made = tried("net_ice", [SteeringRule(src="10.0.0.0/8", to="queue 1")])
    assert made.left == ["software"]
    assert made.refused[0].why.startswith("src: net_ice matches whole addresses")
    assert tried("net_virtio", RULES).refused[0].why == "to: net_virtio has no rte_flow rules, as far as is known"


def test_a_nic_without_rules_steers_by_its_reta_what_only_spreads() -> None:
    spread = SteeringRule(to="cores 1, 2")
    assert tried("net_virtio", [spread]).name == "rte_flow"
    assert tried("net_virtio", [spread], reta=0).name == "software"
    assert tried("net_virtio", []).name == "rte_flow"
    assert tried("net_virtio", [], reta=0).refused[0].why == "net_virtio takes no rules and has no RETA"


def test_interfaces_of_the_kernel_are_steered_by_xdp_only_where_that_is_their_device() -> None:
    assert choice("xdp,iface=eth0").left == ["xdp", "software"]
    for device in ("net_af_packet,iface=eth0", "net_af_xdp,iface=eth0", "net_pcap,iface=eth0", "ring-loop,packets=1"):
        made = choice(device)
        assert (made.left, made.refused) == (
            ["software"], [Refused("rte_flow", f"{device.partition(',')[0]} takes no rules"), NOT_XDP],
        )  # fmt: skip


def test_a_back_end_of_a_name_is_taken_or_else_an_error() -> None:
    assert choice("0000:3b:00.0", "software").left == ["software"]
    assert choice("xdp,iface=eth0", "software").left == ["software"]
    for device, steer in (("xdp,iface=eth0", "rte_flow"), ("0000:3b:00.0", "xdp"), ("net_pcap,iface=a", "rte_flow")):
        with pytest.raises(UsageError, match=f'cannot be steered as steer = "{steer}" says'):
            choice(device, steer)
    made = choice("0000:3b:00.0", "rte_flow")
    with pytest.raises(UsageError, match='steer = "rte_flow" says: mark: net_tap marks no packets'):
        made.try_on_paper("net_tap", 0, 4, [flow(1, mark=3)], lambda core: core, covers=True)


def test_fewer_queues_than_workers_leave_only_software() -> None:
    made = choice("0000:3b:00.0", queues=1)
    assert made.left == ["software"]
    assert made.refused[0].why == "its [[ports]] has queues = 1, for 4 workers"


def test_the_log_and_the_outlook_say_what_is_taken_and_what_not() -> None:
    made = tried("net_tap", [flow(1, count=True)], reta=0)
    made.why = "it takes the rule"
    assert made.line() == (
        "dpdk:0000:3b:00.0: steered by the software director: it takes the rule; not by rte_flow: count: net_tap "
        "counts no packets of a rule; not by XDP: it is no interface of the kernel's"
    )
    assert made.outlook(1) == ("the rule of this run would be carried out by the software director; not by rte_flow: "
                               "count: net_tap counts no packets of a rule")  # fmt: skip
    assert steered_with("xdp,iface=a", "net_ring", 0)[0].startswith("XDP: all rules")
    assert steered_with("0000:3b:00.0", "net_tap", 0)[0].endswith("to a queue, drop; no RETA")


# ---- changing it while packets flow ----


def steering(rules: Sequence[SteeringRule] = (), **more: Any) -> LiveSteering:
    config = Config(engine=Engine(workers=4), enable_flow_director="auto")
    return LiveSteering(["ring-loop", "ring-loop,packets=2"], 2, config, [0, 1, 2, 3], rules, **more)


def directed(rules: Sequence[SteeringRule] = ()) -> LiveSteering:
    made, table = steering(rules), SteeringTable(4)
    made.direct_by(SoftwareDirector(table), RssFacts(table.key, tuple(table.reta())))
    return made


def by_nic(rules: Sequence[SteeringRule] = ()) -> tuple[LiveSteering, NicModel]:
    """As with a port whose driver is that of the NIC in software."""
    made, nic = steering(rules), NicModel()
    made.choices[0].left = ["rte_flow", "software"]
    assert made._begin(0, RteFlow(nic), RssFacts(None, tuple(nic.reta())), "it")
    return made, nic


def test_rules_that_nobody_can_do_are_refused_before_any_port_is_opened() -> None:
    with pytest.raises(CannotSteer, match="rule 1: to: no worker runs on core 9"):
        steering([flow(1), flow(2, to="core 9")])
    assert steering([flow(2, to="core 3")]).may_direct
    off = LiveSteering(["net_null0"], 1, Config(), [0, 1], None)
    assert (off.enabled, off.may_direct, off.queues(0), off.directed([])) == (False, False, 2, [])


def test_edits_are_carried_out_each_or_not_and_shown() -> None:
    made = directed(RULES)
    added, moved, wrong, gone = made.change(
        1, [AddRules((flow(7, count=True),)), MoveBucket(3, 1), AddRules((flow(8, to="queue 9"),)), RemoveRules((1,))]
    )
    assert isinstance(wrong.error, CannotSteer)
    assert (moved.error, gone.error) == (None, None)
    assert made.name(1) == "software"
    first, second = made.as_json([0, 0, 0, 0])["ports"]
    assert first["together"] == second["together"] == [0, 1]
    assert [(each["rule"], each["level"], each["why"]) for each in first["rules"]] == [
        (str(RULES[1]), "software", ""), (str(flow(7, count=True)), "software", "while it ran"),
    ]  # fmt: skip
    assert list(made.back_ends[0].rules()) == [2, *added.handles]
    (twice,) = made.change(0, [RemoveRules((1,))])
    assert "there is no steering rule 1" in str(twice.error)
    with pytest.raises(KeyError):
        LiveSteering(["net_null0"], 1, Config(), [0], None).change(0, [])


def test_rules_of_another_pipeline_come_to_all_ports_or_none() -> None:
    made, nic = by_nic(RULES)
    assert made.rss[0].reta_size == 128
    before, reta = made.back_ends[0].rules(), nic.reta()
    with pytest.raises(ZeroDivisionError), made.steer_as([SteeringRule(to="queue 3")]):
        assert [str(each) for each in made.back_ends[0].rules().values()] == ["everything -> queue 3"]
        raise ZeroDivisionError
    assert list(made.back_ends[0].rules().values()) == list(before.values())
    assert nic.reta() == reta
    assert [each["level"] for each in made.as_json([])["ports"][0]["rules"]] == ["exact", "wildcard"]
    with pytest.raises(CannotSteer, match="rule 0: to: there is no queue 9"), made.steer_as([flow(1, to="queue 9")]):
        pytest.fail("it is not entered")
    with made.steer_as([flow(3)]):
        pass
    assert list(made.back_ends[0].rules().values()) == made.rules == [flow(3)]
    with made.steer_as([flow(3)]):  # the same: what was added meanwhile stays
        pass
    off = LiveSteering(["net_null0"], 1, Config(), [0], None)
    with pytest.raises(UsageError, match="began without a flow director"), off.steer_as([flow(1, to="queue 0")]):
        pytest.fail("it is not entered")


def test_a_device_that_refuses_is_left_as_it_was_and_software_takes_over() -> None:
    made, nic = steering([flow(1), flow(2, mark=3)]), NicModel("net_tap")
    made.choices[0].left = ["rte_flow", "software"]
    assert not made._begin(0, RteFlow(nic), RssFacts(None, ()), "it")
    assert made.choices[0].left == ["software"]
    assert made.choices[0].refused[0] == Refused("rte_flow", "ring-loop takes no rules")
    assert made.back_ends == {}
