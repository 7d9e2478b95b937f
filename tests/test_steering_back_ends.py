"""All back ends of the flow director pass one suite of cases, with real packets; any rules at all do the same at a NIC,
in compiled software, and by the plain loop."""

from __future__ import annotations

import functools
import random
import traceback
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burstline import dpdk
from burstline.errors import UsageError
from burstline.steering.back_end import CannotSteer, TableFull
from burstline.steering.hardware.driver import recorded
from burstline.steering.hardware.reach import reached
from burstline.steering.rule import SteeringRule
from burstline.steering.rule_match import first_match
from burstline.steering.target import Cores
from dpdk_live import alone, pool
from mutations import mutants, seeds
from steering_benches import bench
from steering_nic import PACKETS, rules_at_random
from steering_suite import (
    CASES,
    HARDWARE,
    LITTLE_ROOM,
    NO_RULES,
    OF_FLOWS,
    SCENES,
    WITHOUT_RULES,
    Case,
    Scene,
    a_full_table_leaves_all_as_before,
    plain,
    queues_of,
    run_case,
    view,
)
from xdp_machine import why_not

if TYPE_CHECKING:
    from burstline.dpdk.pool import Pool

DPDK = ("software", NO_RULES, *HARDWARE)
BACK_ENDS = (*DPDK, "xdp")
OF_RULES = sorted(name for name, driver in recorded().items() if driver.rules)


def suite(name: str) -> dict[str, str]:
    """What became of each case and scene: `does`, the field that it was refused for, or how it went wrong."""
    if name == "xdp":
        return _put_to(name, None)
    with pool() as made:
        return _put_to(name, made)


def _put_to(name: str, made: Pool | None) -> dict[str, str]:
    found: dict[str, str] = {}
    with bench(name, made) as one:
        for case in CASES:
            try:
                found[case.name] = run_case(one, case)
            except Exception:
                found[case.name] = traceback.format_exc(limit=-4)
                one.back_end.close()
    for scene in WITHOUT_RULES if name == NO_RULES else SCENES:
        with bench(name, made, LITTLE_ROOM if scene is a_full_table_leaves_all_as_before else None) as one:
            try:
                scene(one)
                found[scene.__name__] = "does"
            except Exception:
                found[scene.__name__] = traceback.format_exc(limit=-4)
    return found


@functools.cache
def results(name: str) -> dict[str, str]:
    if name == "xdp":
        if why := why_not():
            pytest.skip(why)
        return suite(name)
    if not dpdk.available():
        pytest.skip("burstline was built without DPDK")
    found: dict[str, str] = alone(suite, name)
    return found


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_packets_go_where_the_rules_say_or_the_rules_are_refused(name: str, case: Case) -> None:
    assert results(name)[case.name] == case.outcome(name)


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_back_ends_do(name: str, scene: Scene) -> None:
    if name == NO_RULES and scene not in WITHOUT_RULES:
        pytest.skip("it takes no rules")
    assert results(name)[scene.__name__] == "does"


def modest(chance: random.Random) -> tuple[SteeringRule, bytes]:
    """A rule that simple NICs take, too, and a packet that it matches."""
    data = chance.choice(OF_FLOWS)
    pkt = view(data)
    port = (pkt.tcp or pkt.udp).dport
    given_ = {"proto": pkt.proto, "dport": port, "to": f"queue {chance.randrange(4)}"}
    if chance.random() < 0.6:
        given_ |= {"src": str(pkt.ipv4.src), "dst": str(pkt.ipv4.dst), "sport": (pkt.tcp or pkt.udp).sport}
    return SteeringRule(**given_), data


def any_rules(driver: str, examples: int) -> dict[str, int]:
    """Random rules, of which those count that the NIC takes, over packets as they are and mutated."""
    told = {"rules": 0, "matched": 0, "by hash": 0}
    with pool() as made, bench(driver, made) as nic, bench("software", made) as software:
        assert nic.driver is not None
        personality = nic.driver

        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.integers(0, 1 << 32), st.integers(1, 14))
        def agree(seed: int, count: int) -> None:
            chance = random.Random(seed)
            nic.back_end.apply([])
            taken: list[SteeringRule] = []
            simple = [modest(chance) for _ in range(chance.randrange(8))]
            wanted = [*rules_at_random(chance, count), *(rule for rule, _ in simple)]
            chance.shuffle(wanted)
            for rule in wanted:
                try:
                    nic.back_end.add(rule)
                    taken.append(rule)
                except (CannotSteer, TableFull) as error:
                    assert isinstance(error, TableFull) or (isinstance(error, UsageError) and error.field)
            software.back_end.apply(taken)
            told["rules"] += len(taken)
            changed = [data for data, _ in mutants(chance, 20, seeds()) if len(data) >= 14]
            for data in [
                *chance.sample(PACKETS, 40),
                *chance.sample(OF_FLOWS, 10),
                *(data for _, data in simple),
                *changed,
            ]:
                pkt = view(data)
                rule = first_match(taken, pkt)
                allowed, mark = queues_of(rule, pkt, plain()), rule.mark or 0 if rule else 0
                one = software.steer(data)
                assert one[0] in allowed, f"software: {one} of {allowed}: {data.hex()}"
                assert one[1] == (mark if one[0] >= 0 else 0)
                if reached(personality, pkt):
                    other = nic.steer(data)
                    assert other[0] in allowed, f"{driver}: {other} of {allowed} by {rule}: {data.hex()}"
                    assert other[1] == one[1]
                    assert other == one or (rule and isinstance(rule.to, Cores))
                    told["matched" if rule else "by hash"] += 1

        agree()
    return told


@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
@pytest.mark.parametrize("driver", OF_RULES)
def test_any_rules_do_the_same_at_a_nic_in_compiled_software_and_by_the_plain_loop(driver: str) -> None:
    told = alone(any_rules, driver, 25)
    assert told["by hash"] > 100
    assert min(told["rules"], told["matched"]) > 5
