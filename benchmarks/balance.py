"""The balancer beside static RSS and the greedy policy of RSS++, simulated: waits, moves, and rest.

Four machines of the corpus, 8 workers over all nodes, two ports of 128 buckets each (one where a machine has one),
packets of 300 ns, load 0.9 of what the workers could do at best; 4 seconds, a look each 10 ms; packets of buckets that
move wait for 5 ms, and no other move begins within 8 ms. Traffic is *skewed* (4,096 flows by Zipf's law, 0.9),
*shifting* (the same, other flows are heavy each second), and *flash* (even flows, and 48 of them that get 30 % on top
for a second and a half). All policies get the same packets and the same looks, from RSS as drivers set it up.

"p99" is how long packets wait until a worker takes them, those included that a move held. The peer is the better of
static RSS and of the greedy policy; below is the greedy one that looks each 100 ms, as the paper has it. Moves are
buckets. "At rest": 30 seconds of skewed and of even traffic that stays as it is, 1,500 ns a packet; moves of the last
ten seconds. Figures are geometric means over machines, and sums of moves.

Goals: p99 at most 0.7 times that of the better; a third of the greedy policy's moves; none at rest.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from burstline.cli.bench import Options, Row

MACHINES = ("xeon-6248-2s", "epyc-7763-2s-nps4", "xeon-8180-4s-mesh", "superdome-flex-8s")
TRAFFIC = ("skewed", "shifting", "flash")
POLICIES = ("static", "greedy", "greedy-100ms", "balancer")


def run(options: Options) -> Iterator[Row]:
    machines = MACHINES[:1] if options.quick else MACHINES
    for traffic in TRAFFIC:
        yield from _compared(options, traffic, machines)
    for traffic in ("steady", "skewed"):
        yield from _at_rest(options, traffic, machines[:1] if options.quick else machines[::3])


def _compared(options: Options, traffic: str, machines: tuple[str, ...]) -> Iterator[Row]:
    from burstline.numa.find import find_topology
    from burstline.numa.simulate.outcome import Outcome
    from burstline.numa.simulate.scenario import Scenario

    found: list[dict[str, Outcome]] = []
    for seed, name in enumerate(machines):
        scenario = Scenario(find_topology(name), load=0.9, seconds=1.5 if options.quick else 4.0, seed=seed)
        outcomes = scenario.compare(scenario.traffic(traffic), POLICIES)
        found.append(dict(zip(POLICIES, outcomes, strict=True)))
        said = ", ".join(f"{one.policy} {one.wait() / 1e3:.1f} us, {one.moves()} moves" for one in outcomes)
        options.say(f"balance: {traffic} on {name}: {said}")

    def p99(policy: str) -> list[float]:
        return [one[policy].wait() / 1e3 for one in found]

    def moves(policy: str) -> int:
        return sum(one[policy].moves() for one in found)

    ours, count = statistics.geometric_mean(p99("balancer")), len(found)
    better = statistics.geometric_mean(map(min, p99("static"), p99("greedy")))
    yield Row("balance", f"{traffic}: p99", "better of RSS, RSS++", ours, better, "us", count)
    yield Row(
        "balance",
        f"{traffic}: p99",
        "RSS++, each 100 ms",
        ours,
        statistics.geometric_mean(p99("greedy-100ms")),
        "us",
        count,
    )
    tail, slow = ([one[policy].wait(0.999) / 1e3 for one in found] for policy in ("balancer", "greedy-100ms"))
    yield Row(
        "balance", f"{traffic}: p99.9", "RSS++, each 100 ms", *map(statistics.geometric_mean, (tail, slow)), "us", count
    )
    for policy, peer in (("greedy", "RSS++"), ("greedy-100ms", "RSS++, each 100 ms")):
        yield Row("balance", f"{traffic}: moves", peer, moves("balancer"), moves(policy), "moves", count)
    lost = [100 * sum(one[p].drops for one in found) / sum(one[p].packets for one in found) for p in POLICIES]
    yield Row("balance", f"{traffic}: dropped", "better of RSS, RSS++", lost[3], min(lost[:2]), "%", count)


def _at_rest(options: Options, traffic: str, machines: tuple[str, ...]) -> Iterator[Row]:
    from burstline.numa.find import find_topology
    from burstline.numa.simulate.machine import Work
    from burstline.numa.simulate.scenario import Scenario

    seconds = 18.0 if options.quick else 30.0
    since = seconds - (4.0 if options.quick else 10.0)
    moved = {"balancer": 0, "greedy": 0, "greedy-100ms": 0}
    for seed, name in enumerate(machines):
        scenario = Scenario(find_topology(name), load=0.8, seconds=seconds, seed=seed, work=Work(ns=1500.0))
        for policy, one in zip(moved, scenario.compare(scenario.traffic(traffic), [*moved]), strict=True):
            moved[policy] += one.moves(since)
            options.say(f"balance: {traffic} on {name}: {one.policy}: {one.moves()} moves, {one.moves(since)} at rest")
    case = f"{traffic}, at rest: moves"
    yield Row("balance", case, "RSS++", moved["balancer"], moved["greedy"], "moves", len(machines))
    yield Row("balance", case, "RSS++, each 100 ms", moved["balancer"], moved["greedy-100ms"], "moves", len(machines))
