"""Actions of the controller become edits, all of them or with failures that it is told; and what is in force is known
afterwards, whatever the device refused."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstline.engine.live_steering import RssFacts
from burstline.engine.steered import PortsAlike, SteeredPort, steered_by
from burstline.errors import BurstlineError, UsageError
from burstline.packet.flow_key import tuple_of
from burstline.state.steering_table import SteeringTable
from burstline.state.toeplitz import DEFAULT_KEY
from burstline.steering.back_end import CannotSteer, DeviceFault, Limits, TableFull
from burstline.steering.control.actions import Action, Dedicate, MoveBucket, NewFlows, Path, Place, Release, RollBack
from burstline.steering.control.carry_out import CarryOut
from burstline.steering.control.flow_rule import backward, coarse_key
from burstline.steering.control.in_force import InForce, Wanted
from burstline.steering.degradation import Placed
from burstline.steering.director import SoftwareDirector
from burstline.steering.edit import AddRules, Done, Edit, RemoveRules
from burstline.steering.edit import MoveBucket as MoveBucketEdit
from burstline.steering.edit import carry_out as by_back_end
from burstline.steering.rule import FAST_PATH, SteeringRule
from test_steering_sight import key

RSS = [0, 1] * 4
A, B, C = key(1), key(2), key(3)


class Device:
    """A changer with room for so many rules; `refuses` says what it does not take."""

    def __init__(self, room: int = 100, refuses: Any = lambda edit: None) -> None:
        self.room, self.refuses = room, refuses
        self.rules: dict[int, SteeringRule] = {}
        self.reta = list(RSS)
        self.edits: list[Edit] = []
        self._next = 1

    def change(self, edits: Sequence[Edit]) -> list[Done]:
        self.edits += edits
        return [self._change(edit) for edit in edits]

    def _change(self, edit: Edit) -> Done:
        error: BurstlineError | None = self.refuses(edit)
        if error is not None:
            return Done(error=error)
        if isinstance(edit, AddRules):
            if len(self.rules) + len(edit.rules) > self.room:
                return Done(error=TableFull("no room", "remove some"))
            handles = tuple(range(self._next, self._next + len(edit.rules)))
            self._next += len(handles)
            self.rules |= dict(zip(handles, edit.rules, strict=True))
            return Done(handles)
        if isinstance(edit, RemoveRules):
            for handle in edit.handles:
                del self.rules[handle]
        elif isinstance(edit, MoveBucketEdit):
            self.reta[edit.bucket] = edit.queue
        return Done()

    def said(self) -> list[str]:
        return sorted(str(rule) for rule in self.rules.values())


def text(flow: bytes, does: str) -> str:
    _, src, dst, sport, dport = tuple_of(flow)
    return f"src {src}/32 dst {dst}/32 proto 17 sport {sport} dport {dport} -> {does}, count"


def place(flow: bytes, core: int) -> Place:
    return Place(flow, core, "exact", "")


def started(device: Device, **options: bool) -> tuple[InForce, CarryOut]:
    there = InForce(RSS)
    return there, CarryOut(there, device, **options)


def agrees(there: InForce, device: Device) -> bool:
    """What is believed to be in force is, and nothing else."""
    handles = [handle for held in there.held.values() for handle in held.handles]
    return sorted(handles) == sorted(device.rules) and there.reta == device.reta


def test_flows_are_placed_and_moved_and_released_and_buckets_move_in_the_order_told() -> None:
    device = Device()
    there, carry_out = started(device)
    assert carry_out([place(A, 1), MoveBucket(3, 0, ""), place(B, 0)]) == []
    assert [type(edit) for edit in device.edits] == [AddRules, MoveBucketEdit, AddRules]
    assert device.said() == [text(A, "queue 1"), text(B, "queue 0")] and device.reta[3] == 0
    device.edits.clear()
    assert carry_out([place(A, 0), Release(B, "")]) == []
    assert [type(edit) for edit in device.edits] == [AddRules, RemoveRules, RemoveRules]  # the new one before the old
    assert device.said() == [text(A, "queue 0")] and agrees(there, device)
    assert carry_out([place(A, 0), NewFlows(1, ""), Dedicate(1, (A,), "")]) == [] and len(device.edits) == 3
    assert there.wanted(A) == Wanted(A, 0) and there.wanted(B) == Wanted(B)


def test_both_directions_have_a_rule_or_none_has() -> None:
    device = Device(room=3)
    there, carry_out = started(device, both_ways=True)
    failures = carry_out([place(A, 1), place(B, 1)])
    assert device.said() == sorted([text(A, "queue 1"), text(backward(A), "queue 1")])
    assert [(f.target, f.level, f.full) for f in failures] == [(B, "exact", True)] and agrees(there, device)
    assert carry_out([Release(A, "")]) == [] and not device.rules and not there.held


def test_in_a_full_table_the_old_rule_goes_before_the_new_one_comes() -> None:
    device = Device(room=1)
    there, carry_out = started(device)
    assert carry_out([place(A, 1)]) == [] and carry_out([place(A, 0)]) == []
    assert device.said() == [text(A, "queue 0")] and agrees(there, device)


def test_a_coarse_rule_takes_all_between_two_addresses() -> None:
    device = Device()
    there, carry_out = started(device)
    assert carry_out([Place(A, 1, "wildcard", "", coarse_key(A))]) == []
    assert device.said() == ["src 10.0.0.1/32 dst 10.9.0.1/32 proto 17 -> queue 1, count"]
    assert there.wanted(A).level == "wildcard"
    assert carry_out([Release(A, "")]) == [] and not device.rules


def test_the_fast_path_is_a_mark_and_a_bypass_a_drop_and_both_outlast_the_place() -> None:
    device = Device()
    there, carry_out = started(device)
    assert carry_out([Path(A, "fast", ""), place(B, 1), Path(B, "bypass", "")]) == []
    assert device.said() == [text(A, f"mark {FAST_PATH}"), text(B, "drop")]
    assert carry_out([place(A, 1), Path(B, "normal", "")]) == []
    assert device.said() == [text(A, f"queue 1, mark {FAST_PATH}"), text(B, "queue 1")]
    assert carry_out([Release(A, ""), Release(B, "")]) == []
    assert device.said() == [text(A, f"mark {FAST_PATH}")]
    assert carry_out([Path(A, "normal", "")]) == [] and not device.rules and not there.held


def test_a_roll_back_at_once_takes_all_places_back_and_one_by_steps_nothing() -> None:
    device = Device()
    there, carry_out = started(device)
    carry_out([place(A, 1), place(B, 0), Path(C, "fast", ""), MoveBucket(3, 0, ""), MoveBucket(2, 1, "")])
    before = device.said()
    assert carry_out([RollBack(False, "")]) == [] and device.said() == before
    assert carry_out([RollBack(True, "")]) == []
    assert device.said() == [text(C, f"mark {FAST_PATH}")] and device.reta == RSS and agrees(there, device)


def test_rules_do_without_counts_where_the_device_has_none() -> None:
    def refuses(edit: Edit) -> BurstlineError | None:
        counts = isinstance(edit, AddRules) and any(rule.count for rule in edit.rules)
        return CannotSteer("count", "it does not count", "leave it out") if counts else None

    device = Device(refuses=refuses)
    there, carry_out = started(device)
    assert carry_out([place(A, 1), MoveBucket(3, 0, ""), place(B, 0)]) == []
    assert (
        len(device.rules) == 2
        and not any(rule.count for rule in device.rules.values())
        and device.reta[3] == 0
        and agrees(there, device)
    )
    before = len(device.edits)
    assert carry_out([place(C, 0)]) == [] and len(device.edits) == before + 1  # it is not tried again


def test_an_old_rule_that_stays_goes_with_the_next_change() -> None:
    stays = [True]
    device = Device(refuses=lambda edit: DeviceFault("stuck") if isinstance(edit, RemoveRules) and stays[0] else None)
    there, carry_out = started(device)
    carry_out([place(A, 1)])
    assert [f.message for f in carry_out([place(A, 0)])] == ["stuck"] and len(device.rules) == 2
    assert [f.target for f in carry_out([Release(A, "")])] == [A] and agrees(there, device)
    stays[0] = False
    assert carry_out([Release(A, "")]) == [] and not device.rules and not there.held


ACTIONS = st.one_of(
    st.builds(place, st.sampled_from([A, B, C]), st.integers(0, 1)),
    st.builds(Release, st.sampled_from([A, B, C]), st.just("")),
    st.builds(MoveBucket, st.integers(0, 7), st.integers(0, 1), st.just("")),
    st.builds(Path, st.sampled_from([A, B, C]), st.sampled_from(["fast", "bypass", "normal"]), st.just("")),
    st.builds(RollBack, st.booleans(), st.just("")),
)


@given(st.lists(st.lists(ACTIONS, max_size=5), max_size=6), st.integers(0, 6), st.randoms(), st.booleans())
def test_whatever_is_refused_what_is_in_force_is_known_and_failures_say_what_is_not(
    looks: list[list[Action]], room: int, chance: Any, both: bool
) -> None:
    device = Device(room, lambda edit: DeviceFault("no") if chance.random() < 0.2 else None)
    there, carry_out = started(device, both_ways=both)
    for actions in looks:
        flows, reta = ideal(actions, {key: held.wanted for key, held in there.held.items()}, list(there.reta))
        failed = {failure.target for failure in carry_out(actions)}
        assert agrees(there, device)
        for flow in {A, B, C} - failed:
            assert (there.wanted(flow).core, there.wanted(flow).path) == flows.get(flow, (None, "normal"))
        assert [k for k in range(8) if there.reta[k] != reta[k] and k not in failed] == []


def ideal(
    actions: Sequence[Action], held: dict[bytes, Wanted], reta: list[int]
) -> tuple[dict[bytes, tuple[int | None, str]], list[int]]:
    """What would be in force if nothing were refused: core and path by flow, and the RETA."""
    flows: dict[bytes, tuple[int | None, str]] = {key: (one.core, one.path) for key, one in held.items()}
    for action in actions:
        if isinstance(action, Place):
            flows[action.key] = action.core, flows.get(action.key, (None, "normal"))[1]
        elif isinstance(action, Release):
            flows[action.key] = None, flows.get(action.key, (None, "normal"))[1]
        elif isinstance(action, Path):
            flows[action.key] = flows.get(action.key, (None, ""))[0], action.path
        elif isinstance(action, MoveBucket):
            reta[action.bucket] = action.core
        elif isinstance(action, RollBack) and action.at_once:
            flows = {key: (None, path) for key, (_, path) in flows.items()}
            reta = list(RSS)
    return flows, reta


def test_ports_alike_have_the_same_rules_or_none() -> None:
    tables = [SteeringTable(2), SteeringTable(2, flows=2)]
    directors = [SoftwareDirector(table) for table in tables]
    ports = [
        SteeredPort(d, lambda edits, d=d: [by_back_end(d, e) for e in edits], b"k" * 40, tuple(t.reta()))  # type: ignore[misc]
        for d, t in zip(directors, tables, strict=True)
    ]
    alike = PortsAlike(ports)
    there = InForce(alike.reta)
    carry_out = CarryOut(there, alike, both_ways=True)
    failures = carry_out([place(A, 1), place(B, 1), MoveBucket(3, 0, "")])
    assert [(f.target, f.full) for f in failures] == [(B, True)]
    assert [sorted(map(str, d.rules().values())) for d in directors] == [
        sorted([text(A, "queue 1"), text(backward(A), "queue 1")])
    ] * 2
    assert [table.reta()[3] for table in tables] == [0, 0]
    assert alike.limits == Limits(0, None, directors[0].limits.updates, 128)
    assert alike.counts() == {handle: (0, 0) for handle in there.held[A].handles}
    assert alike.name == "software" and not alike.hashed
    assert carry_out([RollBack(True, "")]) == [] and not any(d.rules() for d in directors)


def live_steering(facts: list[RssFacts], back_ends: list[Any], spread: bool = False) -> Any:
    """What the controller asks of a LiveSteering."""
    to = SteeringRule(to="queue 1")
    placed = [Placed(to, "reta", "")] if spread else []
    return SimpleNamespace(
        devices=["a", "b"], workers=2, core_queue=int, back_ends=dict(enumerate(back_ends)),
        rss=dict(enumerate(facts)), choices={k: SimpleNamespace(placed=placed) for k in range(2)}, change=None,
    )  # fmt: skip


def test_ports_of_a_run_are_steered_as_one_where_they_hash_alike() -> None:
    one, other = (SimpleNamespace(name="rte_flow", limits=Limits(10, None, 1.0, 4)) for _ in range(2))
    facts = RssFacts(DEFAULT_KEY, (0, 1, 0, 1))
    shared = steered_by(live_steering([facts, facts], [one, one]))
    assert isinstance(shared, SteeredPort) and (shared.reta, shared.hashed) == ((0, 1, 0, 1), True)
    assert shared.limits.reta_size == 4
    assert isinstance(steered_by(live_steering([facts, facts], [one, other])), PortsAlike)
    with pytest.raises(UsageError, match="hash packets by different keys"):
        steered_by(live_steering([facts, RssFacts(DEFAULT_KEY, (1, 0, 1, 0))], [one, other]))
    with pytest.raises(UsageError, match="dpdk:b does not tell the key of its hash"):
        steered_by(live_steering([facts, RssFacts(None, ())], [one, other]))
    told = steered_by(live_steering([facts, facts], [one, one], spread=True))
    assert (told.reta, told.limits.reta_size) == ((1, 1, 1, 1), 0)  # a rule of the user says where all buckets go
    bare = steered_by(live_steering([RssFacts(DEFAULT_KEY, ())] * 2, [one, one]))
    assert (len(bare.reta), bare.limits.reta_size) == (128, 0)
