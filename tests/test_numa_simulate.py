"""The simulator: queues as queueing theory has them, each packet accounted for, capacities of links kept; and the
command over every machine of the corpus."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from burstline.cli.main import main
from burstline.errors import UsageError
from burstline.numa.balance.actions import MoveGroup
from burstline.numa.balance.seen import Seen, Worker
from burstline.numa.find import find_topology, names
from burstline.numa.simulate.cache_curve import CURVES, CacheCurve, read_curve
from burstline.numa.simulate.machine import SimulatedMachine, Work
from burstline.numa.simulate.outcome import edges, quantile
from burstline.numa.simulate.placed import placed, ports_of
from burstline.numa.simulate.policies import Greedy, StaticRss
from burstline.numa.simulate.scenario import POLICIES, Scenario
from burstline.numa.simulate.simulation import Simulation
from burstline.numa.simulate.traffic import FAMILIES, Traffic, Wanted, replayed

ONE = "ryzen-5950x"


def constant(rate: float, seconds: float, train: float = 1.0) -> Traffic:
    hashes = np.arange(64, dtype=np.int64)
    return Traffic(
        "constant", hashes, np.zeros(64, dtype=np.int64), seconds, ((0.0, np.full(64, rate / 64)),), train=train
    )


@pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
def test_one_queue_waits_as_pollaczek_and_khinchine_say(load: float) -> None:
    """M/G/1 with service times that are even between half and one and a half of their mean."""
    machine = SimulatedMachine(find_topology(ONE), (0,), (0,), Work(ns=1000.0, poll_ns=0.0))
    ns = float(machine.service(np.zeros((1, 1)), np.full(1, 1024.0))[0][0, 0])
    run = Simulation(machine, constant(load * 1e9 / ns, 2.0), StaticRss(), depth=1 << 16, seed=3)
    run.run()
    (worker,) = run._workers
    accepted, waited = int(run._column("accepted")[0]), float(run._column("waited")[0])
    assert len(worker) and accepted > 200_000
    expected = load * ns / (2 * (1 - load)) * (1 + 1 / 12)  # c_s² of a uniform distribution of that width
    assert waited / accepted == pytest.approx(expected, rel=0.08)
    assert float(np.mean(run.outcome.busy)) == pytest.approx(load, rel=0.02)


def test_each_packet_is_accounted_for() -> None:
    scenario = Scenario(find_topology("xeon-6248-2s"), load=1.1, seconds=0.3, seed=5)
    run = Simulation(scenario.machine(), scenario.traffic("skewed"), scenario.policy("greedy"), depth=256, seed=5)
    run.run()
    out = run.outcome
    queued = int(run._totals(0.3)["depth"].sum())
    held, lost = run._events.get("held"), run._events.get("held_lost")
    accepted = sum(out.handled)
    assert out.packets == accepted + out.drops + held and lost == 0
    assert out.drops > 0 and sum(out.held) > 0 and queued > 0
    assert int(run._waits.sum()) == accepted == int(run._counts.sum())


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    def of(seed: int) -> object:
        scenario = Scenario(find_topology(ONE), workers=4, seconds=0.05, seed=seed)
        return scenario.compare(scenario.traffic("flash"), ["balancer"])[0].as_json()

    assert of(1) == of(1) != of(2)


def test_packets_from_another_node_take_longer_and_full_links_longer_still() -> None:
    topology = find_topology("xeon-e5-4650-4s-ring")
    ports = (0,)
    machine = SimulatedMachine(topology, placed(topology, 4, ports), ports)
    quiet, _ = machine.service(np.zeros((4, 1)), np.full(4, 100.0))
    nodes = [topology.core_of[cpu].node for cpu in machine.cpus]
    by_distance = sorted(range(4), key=lambda w: topology.distance(nodes[w], 0))
    assert [*quiet[by_distance, 0]] == sorted(quiet[:, 0]) and quiet[by_distance[0], 0] < quiet[by_distance[1], 0]
    rates = np.full((4, 1), 4e7)
    use = None
    for _ in range(20):
        full, use = machine.service(rates, np.full(4, 100.0), use)
    assert use is not None and use.max() > 1 and full[by_distance[3], 0] > 3 * quiet[by_distance[3], 0]


def test_no_more_gets_through_a_link_than_there_is_room_for() -> None:
    topology = find_topology("pack:2 numa:1(memory=16GB) l3:1(size=16MB) core:16 pu:1")
    far = tuple(core.cpus[0] for core in topology.cores if core.node == 1)
    work = Work(ns=20.0, poll_ns=10.0, lines=20.0, size=1500.0)
    machine = SimulatedMachine(topology, far, (0,), work)
    run = Simulation(machine, constant(1.2e8, 0.2), StaticRss(), seed=1)
    run.run()
    carried = sum(run.outcome.handled[5:]) / (0.01 * len(run.outcome.handled[5:])) * 20 * 64
    assert run.outcome.drops > 0 and carried < 1.1 * float(machine.capacity.max())


def test_records_that_do_not_fit_into_l3_come_from_memory() -> None:
    machine = SimulatedMachine(find_topology(ONE), (0, 2), (0,))
    few, many = (
        machine.service(np.zeros((2, 1)), np.full(2, 1e3))[0],
        machine.service(np.zeros((2, 1)), np.full(2, 4e6))[0],
    )
    assert (many > few + 10).all()


def test_cache_curves_rise_and_what_is_none_is_refused(tmp_path: Path) -> None:
    for path in CURVES.glob("*.toml"):
        curve = read_curve(path)
        found = curve.missed(np.geomspace(0.01, 100, 50))
        assert (np.diff(found) >= 0).all() and 0 <= found[0] < 0.05 and found[-1] == 1.0 and curve.source
    assert CacheCurve.measured().missed(np.array([0.0]))[0] == 0
    (tmp_path / "bad.toml").write_text("shares = [1.0, 0.5]\nmissed = [0.1, 0.2]")
    with pytest.raises(UsageError, match="is no cache curve"):
        read_curve(tmp_path / "bad.toml")


def test_quantiles_of_a_histogram_are_those_of_the_values() -> None:
    values = np.random.default_rng(1).exponential(5000.0, 200_000)
    counts = np.histogram(values, edges())[0]
    for share in (0.5, 0.9, 0.99):
        assert quantile(counts, share) == pytest.approx(float(np.quantile(values, share)), rel=0.02)


def test_the_greedy_policy_evens_loads_out_and_static_rss_does_nothing() -> None:
    at = np.repeat(np.arange(4), 8)
    rates = np.where(at == 0, 30e3, 10e3)
    workers = tuple(Worker(float(rates[at == w].sum() * 2500e-9), float(rates[at == w].sum())) for w in range(4))
    seen = Seen(1.0, workers, at, rates, np.ones(32), np.zeros(32, dtype=bool))
    _, actions = Greedy().decide(float("-inf"), seen)
    for action in actions:
        assert isinstance(action, MoveGroup)
        at[action.group] = action.worker
    loads = np.bincount(at, rates)
    assert actions and loads.max() / loads.mean() < 1.5 and loads.max() < 240e3
    assert StaticRss().decide(None, seen)[1] == []
    assert Greedy(every=0.5).decide(0.8, seen) == (0.8, [])


def test_the_balancer_lets_packets_wait_less_than_static_rss_with_fewer_moves_than_greedy() -> None:
    scenario = Scenario(find_topology("xeon-6248-2s"), load=0.9, seconds=1.0, seed=1)
    static, greedy, ours = scenario.compare(scenario.traffic("skewed"), ["static", "greedy", "balancer"])
    assert ours.wait(since=0.3) < 0.7 * min(static.wait(since=0.3), greedy.wait(since=0.3))
    assert 0 < ours.moves() < greedy.moves() / 3


@pytest.mark.parametrize("name", FAMILIES)
def test_traffic_is_as_much_as_wanted_at_all_times(name: str) -> None:
    made = FAMILIES[name](Wanted(1e6, (1.0, 3.0), 6.0, 512, 4))
    time = 0.0
    while time < made.seconds:
        rates, until = made.rates(time)
        assert 0.999e6 < rates.sum() < 1.31e6 and until > time and (rates >= 0).all()
        time = until
    assert 0.6 < float((made.ports == 1).mean()) < 0.9 and len(made.hashes) == 512


def test_a_capture_is_sent_again_and_again_as_fast_as_asked() -> None:
    times, flows = np.array([1000.0, 1100.0, 1300.0]), np.array([0, 1, 0])
    made = replayed("x", np.array([5, 9]), times, flows, faster=2.0, seconds=1e-6)
    assert made.replay is not None
    np.testing.assert_allclose(made.replay.times[:5], [0, 50, 150, 200, 250])
    assert [*made.replay.flows[:5]] == [0, 1, 0, 0, 1] and made.replay.times[-1] < 1000


@pytest.mark.parametrize("machine", names())
def test_every_machine_of_the_corpus_is_simulated(machine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--topology", machine, "--seconds", "0.05", "--policy", "balancer", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (one,) = found["policies"]
    assert found["topology"] == machine and one["packets"] > 10_000
    assert one["packets"] >= one["handled"] > 0.9 * one["packets"] and len(one["busy"]) == len(found["cpus"])
    topology = find_topology(machine)
    assert set(found["ports"]) <= {node.number for node in topology.nodes}
    assert len({topology.core_of[cpu].number for cpu in found["cpus"]}) == len(found["cpus"])
    assert tuple(found["ports"]) == ports_of(topology, 2)


def test_the_command_tells_all_policies_and_draws_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "loads.svg"
    words = ["simulate", "--topology", ONE, "--workers", "4", "--seconds", "0.3", "--load", "0.95", "--explain"]
    assert main([*words, "--svg", str(file)]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("static RSS", "RSS++, greedy", "balancer")) and "packets fewer wait" in said
    root = ElementTree.parse(file).getroot()
    assert len(root.findall("{*}g")) == 3 * len(POLICIES)
    assert len(root.findall(".//{*}polyline")) == (4 + 1) * len(POLICIES)


def test_the_command_replays_a_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture = tmp_path / "in.pcap"
    assert main(["gen", str(capture), "--packets", "2000", "--flows", "100", "--seed", "1"]) == 0
    capsys.readouterr()
    words = ["simulate", "--topology", ONE, "--traffic", str(capture), "--policy", "static", "--seconds", "0.05"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["traffic"] == "in.pcap" and found["policies"][0]["packets"] > 10_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--traffic", "odd"], "no traffic 'odd'"), (["--policy", "odd"], "no policy 'odd'"),
        (["--workers", "4000"], "has 32 threads"), (["--buckets", "100"], "no power of two"),
        (["--load", "0"], "--load 0 is not from"),
        (["--seed", "-1"], "--seed -1 is not from"), (["--topology", "odd"], "is no machine"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = words if "--topology" in words else ["--topology", ONE, *words]
    assert main(["simulate", *given]) == 2
    assert said in capsys.readouterr().err
