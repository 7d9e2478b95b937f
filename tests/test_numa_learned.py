"""The learned cost model: it finds what packets cost, stays within bounds, and is switched off where the prior is
better; its advice has bounds and reasons; what it knows is kept whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import model as bench
from burstline.cli.bench import Options
from burstline.engine.flow_prefetch import NEAR
from burstline.engine.live_learning import EVERY, LiveLearning
from burstline.engine.worker import PortWorker
from burstline.numa.balance.places import Places
from burstline.numa.balance.seen import Seen, Worker
from burstline.numa.cost_model import CostModel
from burstline.numa.find import find_topology
from burstline.numa.learned.advice import BURSTS, PREFETCH, WEIGHT, Tuning, advise, tuned
from burstline.numa.learned.features import TERMS, Features, Prior, terms
from burstline.numa.learned.model import BOUNDS, CostOfPackets, Switched
from burstline.numa.learned.regression import FORGET, MOST, Regression
from burstline.numa.learned.store import hop_weight, load, path_of, save
from burstline.state.region import Block

PRIOR = Prior(ns=100.0)


def any_features(chance: np.random.Generator) -> Features:
    return Features(
        float(chance.uniform(1e4, 5e6)), float(chance.integers(1, 1 << 20)), float(chance.choice([0.0, 0.5, 1.0, 2.0])),
        float(chance.uniform(1, 64)), float(chance.integers(1 << 16, 1 << 28)), 64.0,
    )  # fmt: skip


def true_ns(seen: Features) -> float:
    """Other work than the prior says, and dearer hops."""
    return PRIOR.predict(seen) + 40 + 90 * seen.hops + 30 / seen.fill


def taught(count: int, seed: int = 1, shift: float = 0.0) -> CostOfPackets:
    chance, model = np.random.default_rng(seed), CostOfPackets(PRIOR)
    for _ in range(count):
        seen = any_features(chance)
        model = model.learn(seen, true_ns(seen) + shift + float(chance.normal(0, 2)))
    return model


def test_it_is_weighted_least_squares() -> None:
    """Against the normal equations, with weights that fall and the same first covariance."""
    chance, one = np.random.default_rng(2), Regression.start(3)
    rows, values = chance.normal(0, 1, (200, 3)), chance.normal(0, 1, 200)
    first = np.linalg.inv(one.covariance)
    for row, value in zip(rows[:10], values[:10], strict=True):  # before anything is clipped
        one = one.learn(row, float(value))
    weights = FORGET ** np.arange(9, -1, -1)
    wanted = np.linalg.solve(
        first * FORGET**10 + (rows[:10].T * weights) @ rows[:10], (rows[:10].T * weights) @ values[:10]
    )
    np.testing.assert_allclose(one.weights, wanted, atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), same=st.booleans())
def test_the_covariance_is_bounded_whatever_comes(seed: int, same: bool) -> None:
    chance, one = np.random.default_rng(seed), Regression.start(len(TERMS))
    row = chance.normal(0, 1, len(TERMS))
    for _ in range(1500):
        row = row if same else chance.normal(0, 1, len(TERMS)) * chance.choice([0.0, 1e-3, 1.0, 50.0])
        one = one.learn(row, float(chance.normal(0, 1e3)))
    assert float(np.trace(one.covariance)) <= MOST * (1 + 1e-9) and np.isfinite(one.weights).all()
    assert float(np.linalg.eigvalsh(one.covariance)[0]) > -1e-6
    assert one.learn(row, float("nan")) is one


def test_it_learns_what_the_prior_does_not_know() -> None:
    model, chance = taught(600), np.random.default_rng(9)
    off = []
    for _ in range(100):
        seen = any_features(chance)
        off.append((abs(model.predict(seen) - true_ns(seen)), abs(PRIOR.predict(seen) - true_ns(seen))))
    ours, prior = np.mean(off, axis=0)
    assert model.is_on and ours < 0.1 * prior


def test_it_is_switched_off_when_it_predicts_worse_than_the_prior_and_on_again_when_better() -> None:
    model, chance = taught(300), np.random.default_rng(5)
    assert model.is_on and len(model.log) == 1
    for _ in range(2000):  # the world is now as the prior says, but for noise that nothing explains
        seen = any_features(chance)
        model = model.learn(seen, PRIOR.predict(seen) * float(chance.uniform(0.97, 1.03)))
    assert not model.is_on and not model.log[-1].on and "the prior by" in model.log[-1].reason
    seen = any_features(chance)
    assert model.predict(seen) == PRIOR.predict(seen)
    for _ in range(1500):
        seen = any_features(chance)
        model = model.learn(seen, true_ns(seen))
    assert model.is_on and model.log[-1].on


def test_a_few_measurements_change_nothing_and_wild_ones_little() -> None:
    assert not taught(20).is_on and taught(20).predict(Features(1e6)) == PRIOR.predict(Features(1e6))
    model, seen = taught(500), Features(1e6, 1000, 1.0, 8.0)
    wild = model
    for ns in (1e6, 5e6, float("inf"), -3.0, float("nan")):
        wild = wild.learn(seen, ns)
    assert abs(wild.predict(seen) - model.predict(seen)) < 0.3 * model.predict(seen)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), useful=st.floats(0, 1), shift=st.sampled_from([0.0, 500.0, 20_000.0]))
def test_advice_and_predictions_keep_to_their_bounds(seed: int, useful: float, shift: float) -> None:
    model = _TAUGHT.setdefault(shift, taught(120, 3, shift))
    chance = np.random.default_rng(seed)
    seen = replace(any_features(chance), burst=64.0)
    prior = PRIOR.predict(seen)
    assert BOUNDS[0] * prior <= model.predict(seen) <= BOUNDS[1] * prior
    tuning = Tuning(int(chance.choice(BURSTS)), int(chance.integers(4, 65)))
    for _ in range(30):
        advice = advise(model, seen, tuning, useful)
        assert all(one.reason for one in advice)
        after = tuned(tuning, advice)
        assert after.burst in BURSTS and PREFETCH[0] <= after.prefetch <= PREFETCH[1]
        assert WEIGHT[0] - 1e-9 <= after.hop_weight <= WEIGHT[1] + 1e-9 and after.idle in ("poll", "adaptive")
        assert abs(BURSTS.index(after.burst) - BURSTS.index(tuning.burst)) <= 1
        assert abs(after.prefetch - tuning.prefetch) <= 8 and abs(after.hop_weight - tuning.hop_weight) <= 0.25 + 1e-9
        tuning = after
    assert advise(model, seen, tuning, useful) == [], "advice does not come to rest"


_TAUGHT: dict[float, CostOfPackets] = {}


def test_dear_hops_weigh_more_busy_workers_poll_and_idle_ones_sleep() -> None:
    model = taught(600)
    busy, idle = Features(2e6, 1000, 1.0, 16.0, 1e6), Features(100.0, 10, 0.0, 1.0, 1e4)
    found = {one.name: one.value for one in advise(model, busy, Tuning(), 0.9)}
    assert found["idle"] == "poll" and float(found["hop_weight"]) > 1
    assert {one.name: one.value for one in advise(model, idle, Tuning(idle="poll"), 0.001)}["idle"] == "adaptive"
    assert advise(CostOfPackets(PRIOR), busy, Tuning(), 0.9) == []


def test_the_prior_is_the_analytic_model() -> None:
    near, far = Prior(poll_ns=0.0).predict(Features(1e6)), Prior(poll_ns=0.0).predict(Features(1e6, hops=1.0))
    assert near == pytest.approx(60 + 3.5 * 25 / 4)
    assert far - near == pytest.approx(1.5 * (1.5 * 90 - 25) / 4)
    assert Prior().predict(Features(1e6, flows=1e7)) > Prior().predict(Features(1e6, flows=1e3)) + 20
    assert len(terms(Features(1e6), near)) == len(TERMS)


def test_what_was_learned_is_there_at_the_next_start(tmp_path: Path) -> None:
    model, path = taught(300), path_of(["count", "drop"], tmp_path)
    save(model, path)
    again, seen = load(path, PRIOR), Features(1e6, 100, 1.0, 4.0)
    assert again.is_on and again.predict(seen) == pytest.approx(model.predict(seen)) and again.count == model.count
    assert path_of(["count"], tmp_path) != path and [each.name for each in tmp_path.iterdir()] == [path.name]


def test_what_it_says_of_distances_is_kept_and_weighs_in_plans_and_moves(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    assert hop_weight(path) == 1
    for kept, found in ((1.5, 1.5), (9.0, WEIGHT[1]), (float("nan"), 1.0)):
        save(taught(300), path, kept)
        assert hop_weight(path) == found
    save(CostOfPackets(PRIOR), path, 1.5)
    assert hop_weight(path) == 1, "it is not trusted"
    machine = find_topology("pack:2 [numa] core:4 pu:1")
    plain, dear = CostModel(), CostModel(hop_weight=2.0)
    near_far = np.array([[90.0, 189.0], [189.0, 90.0]])
    assert plain.weighed(near_far) is near_far
    assert dear.weighed(near_far).tolist() == [[90.0, 288.0], [288.0, 90.0]]
    one, two = (Places.of(machine, [0, 4], [0], model=model) for model in (plain, dear))
    assert one.stalls[0, 0] == two.stalls[0, 0] and two.stalls[1, 0] > 1.3 * one.stalls[1, 0]
    assert two.handover[0, 1] > one.handover[0, 1]


def test_workers_and_the_balancer_follow_its_advice_where_they_may(tmp_path: Path) -> None:
    for acts in (True, False):
        learning = LiveLearning(taught(600), [1.0], 1e6, tmp_path / "model.json", Tuning(), acts=acts)
        context = Block(PortWorker.layout, 128)
        context.set(batch=256, most=256, prefetch=NEAR)
        worker = Worker(busy=0.9, packets=2e6, useful=0.9, fill=16.0)
        seen = Seen(0.0, (worker,), np.zeros(1, "i8"), np.ones(1), np.ones(1), np.zeros(1, bool))
        said = [one for _ in range(20 * EVERY) for one in learning.look(seen, [context])]
        told = {one["what"]: one["value"] for one in said if one["action"] == "Advice"}
        assert {"burst", "idle", "prefetch"} <= told.keys()
        follows = {"batch": told["burst"], "poll": int(told["idle"] == "poll"), "prefetch": told["prefetch"]}
        before = {"batch": 256, "poll": 0, "prefetch": NEAR}
        assert {name: context.get(name) for name in follows} == (follows if acts else before)
        context.set(batch=96)  # as a worker that adapts its bursts has it
        learning.tuning = replace(learning.tuning, prefetch=64)
        later = [one["what"] for _ in range(EVERY) for one in learning.look(seen, [context])]
        assert later == ["prefetch"] and context.get("batch") == 96
        learning.park(context, True)
        assert context.get("poll") == 0
        learning.park(context, False)
        assert context.get("poll") == (follows["poll"] if acts else 0)
        assert learning.close() == []
        assert hop_weight(tmp_path / "model.json") == learning.tuning.hop_weight


def test_each_switch_of_the_model_is_told_however_many_there_were(tmp_path: Path) -> None:
    many = tuple(Switched(k, True, "") for k in range(1, 65))  # as many as it keeps
    model = replace(taught(300), is_on=False, log=many, errors=(0.5, 0.01))
    learning = LiveLearning(model, [0.0], 1e6, tmp_path / "model.json", Tuning(), acts=False)
    worker = Worker(busy=0.9, packets=2e6, useful=0.9, fill=16.0)
    context, seen = Block(PortWorker.layout, 128), Seen(
        0.0, (worker,), np.zeros(1, "i8"), np.ones(1), np.ones(1), np.zeros(1, bool)
    )  # fmt: skip
    assert [one["on"] for one in learning.look(seen, [context])] == [True]
    assert learning.look(seen, [context]) == []


@pytest.mark.parametrize("change", [
    {"version": 2}, {"weights": [1.0]}, {"covariance": [[0.0]]}, {"weights": [float("nan")] * len(TERMS)},
    {"terms": ["other"]}, {"covariance": (-np.eye(len(TERMS))).tolist()}, {"errors": [1.0]},
    {"error": float("nan")}, {"count": float("inf")}, {"errors": [0.1, float("nan")]},
])  # fmt: skip
def test_a_file_that_is_no_model_is_as_good_as_none(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    assert load(path, PRIOR).count == 0
    save(taught(100), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert load(path, PRIOR).count == 0
    path.write_text("{")
    assert load(path, PRIOR).count == 0


def test_a_model_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.json"
    save(taught(60), path)
    before = path.read_text()

    def fail(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no room"):
        save(taught(90), path)
    assert path.read_text() == before and [each.name for each in tmp_path.iterdir()] == ["model.json"]


def test_after_a_simulated_while_it_is_off_by_half_of_the_prior_or_less() -> None:
    rows = list(bench.run(Options("model", quick=True, say=lambda text: None)))
    assert [row.peer for row in rows] == ["analytic prior"] * 2
    assert all(row.theirs and row.ours <= 0.5 * row.theirs for row in rows)
