"""Why each thread and memory is where it is: what it would cost on the next best node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from burstline.numa.draw_text import ranges
from burstline.numa.placing import Placing
from burstline.numa.plan import Plan
from burstline.numa.problem import Problem

SHOWN = 16  # threads, and memories, that are printed one by one
BUSY = 0.05  # utilisation of a link or controller that is worth a line


@dataclass(frozen=True)
class Otherwise:
    """The next best node (by number) of a thread or memory, and the cores that it costs more there."""

    node: int
    more: float


@dataclass(frozen=True)
class Reason:
    """Why something is where it is."""

    name: str
    kind: str
    node: int
    cpu: int | None
    why: str
    otherwise: Otherwise | None

    def as_json(self) -> dict[str, Any]:
        other = self.otherwise
        return {
            "name": self.name,
            "kind": self.kind,
            "node": self.node,
            "cpu": self.cpu,
            "why": self.why,
            "otherwise": {"node": other.node, "more": other.more} if other else None,
        }


def explain(plan: Plan) -> tuple[list[Reason], list[Reason]]:
    """Of threads and of memories."""
    placing = Placing(plan.problem)
    placing.restore(plan.spot)
    threads = [_thread(plan, placing, t) for t in range(len(plan.cpus))]
    return threads, [_memory(plan, placing, m) for m in range(len(plan.nodes))]


def _thread(plan: Plan, placing: Placing, t: int) -> Reason:
    problem = plan.problem
    numbers = [node.number for node in problem.machine.nodes]
    thread, node = problem.demand.threads[t], plan.thread_nodes[t]
    here, own = placing.take(t)
    now = placing.price(t, here, own)
    others: dict[int, float] = {}
    for d in placing.open_domains(t):
        i = int(problem.domain_nodes[d])
        if numbers[i] != node:
            chosen = placing.by_node(t, [i])[1][0]
            others[numbers[i]] = min(others.get(numbers[i], np.inf), placing.price(t, d, chosen))
    placing.put(t, here, own)
    port = _port(problem, t)
    if t in problem.pins.cpus or t in problem.pins.thread_nodes:
        return Reason(thread.name, thread.kind, node, plan.cpus[t], "pinned", None)
    if port is None:
        why = "handles no packets" if thread.kind == "worker" else "seldom runs"
    elif port[1] == node:
        why = f"beside {port[0]}"
    elif port[1] in others:
        more = others[port[1]] - now
        why = f"node {port[1]}, of {port[0]}, would cost {more:+.3f}"
    else:
        why = f"node {port[1]}, of {port[0]}, is full" if _has_cores(problem, port[1]) else f"{port[0]}'s has no cores"
    return Reason(thread.name, thread.kind, node, plan.cpus[t], why, _next(others, now))


def _has_cores(problem: Problem, node: int) -> bool:
    return bool(problem.machine.cores_in(node=node))


def _next(others: dict[int, float], now: float) -> Otherwise | None:
    if not others:
        return None
    node = min(others, key=lambda n: (others[n], n))
    return Otherwise(node, max(0.0, others[node] - now))


def _memory(plan: Plan, placing: Placing, m: int) -> Reason:
    problem = plan.problem
    numbers = [node.number for node in problem.machine.nodes]
    memory, node = problem.demand.memories[m], plan.nodes[m]
    users = {problem.demand.accesses[k].thread for k in problem.of_memory[m]}
    others: dict[int, float] = {}
    now = 0.0
    if len(users) == 1:
        (t,) = users
        here, own = placing.take(t)
        now = placing.price(t, here, own)
        for j in placing.allowed_nodes[m]:
            if numbers[j] != node and placing.held[j] + problem.sizes[m] <= problem.room[j]:
                at = [j if each == m else old for each, old in zip(placing.own[t], own, strict=True)]
                others[numbers[j]] = placing.price(t, here, at)
        placing.put(t, here, own)
    elif users:
        prices = placing.memory_prices(m)
        now = prices.pop(problem.machine.index[node])
        others = {numbers[j]: price for j, price in prices.items()}
    if m in problem.pins.memory_nodes:
        return Reason(memory.name, memory.kind, node, None, "pinned", None)
    beside = sorted({plan.thread_nodes[t] for t in users})
    if not users:
        why = "nobody uses it"
    elif node in beside:
        near = sum(plan.thread_nodes[t] == node for t in users)
        why = "beside its worker" if len(users) == 1 else f"beside {near} of its {len(users)} users"
    elif memory.port_node == node:
        why = f"beside {memory.port}"
    else:
        why = f"spreads load; its users are on {ranges(beside)}"
    return Reason(memory.name, memory.kind, node, None, why, _next(others, now))


def _port(problem: Problem, t: int) -> tuple[str, int] | None:
    """The port that a thread gets most from, and its node (by number)."""
    by_port: dict[tuple[str, int], float] = {}
    for k in problem.of_thread[t]:
        access = problem.demand.accesses[k]
        memory = problem.demand.memories[access.memory]
        if memory.port_node is not None:
            at = (memory.port, memory.port_node)
            by_port[at] = by_port.get(at, 0.0) + access.lines
    return max(by_port, key=lambda at: by_port[at], default=None)


def resources(plan: Plan) -> list[tuple[str, float]]:
    """Links and memory controllers by their utilisation, the busiest first."""
    graph = plan.problem.graph
    names = [graph.arc_name(arc) for arc in range(len(graph.bandwidths))]
    names += [f"memory of node {node.number}" for node in plan.problem.machine.nodes]
    used = plan.problem.loads(plan.spot) / plan.problem.capacity
    return sorted(zip(names, used.tolist(), strict=True), key=lambda each: -each[1])


def lines(plan: Plan) -> Iterator[str]:
    """For a terminal."""
    problem, cost = plan.problem, plan.cost
    threads, memories = explain(plan)
    yield f"plan for {problem.machine.name}: {len(threads)} threads, {len(memories)} tables and pools"
    if plan.carried < 1:
        yield f"  {100 * plan.carried:.0f} % of the packets get through; costs are those of nine tenths of them"
    yield (
        f"  cost {cost.total:.4f} cores that wait: {cost.latency:.4f} for memory, {cost.waiting:.4f} for links and "
        f"controllers, {cost.sharing:.4f} on shared cores, {cost.cache:.4f} for L3, {cost.overload:.4f} overloaded"
    )
    if problem.model.hop_weight != 1:
        yield f"  memory of other nodes counts {problem.model.hop_weight:.2f} times its distance, as was learned here"
    how = "solved exactly" if plan.method == "exact" else "by search"
    yield f"  nothing costs less than {plan.bound:.4f}: at most {100 * plan.gap:.2f} % above the best, {how}"
    yield ""
    yield from _table(threads)
    yield ""
    yield from _table(memories)
    busy = [(name, used) for name, used in resources(plan) if used >= BUSY][:8]
    if busy:
        yield ""
        yield "busiest: " + ", ".join(f"{name} {100 * used:.0f} %" for name, used in busy)
    assumed = [link for link in problem.graph.links if link.assumed]
    if assumed and len(problem.machine.nodes) > 1:
        yield "bandwidths of links are assumed, at least in part: tell what is known with --overlay"


def _table(reasons: list[Reason]) -> Iterator[str]:
    shown = reasons[:SHOWN]
    rows = [[str(r.node), "" if r.cpu is None else str(r.cpu), *_other(r.otherwise), r.why] for r in shown]
    heads = ("node", "CPU", "else", "costs")
    width = max([len(r.name) for r in shown] + [4])
    yield f"{'':{width}}  {heads[0]:>4}  {heads[1]:>4}  {heads[2]:>7}  {heads[3]:>8}  why"
    for reason, row in zip(shown, rows, strict=True):
        yield f"{reason.name:{width}}  {row[0]:>4}  {row[1]:>4}  {row[2]:>7}  {row[3]:>8}  {row[4]}".rstrip()
    if len(reasons) > SHOWN:
        by_node: dict[int, int] = {}
        for reason in reasons[SHOWN:]:
            by_node[reason.node] = by_node.get(reason.node, 0) + 1
        said = ", ".join(f"{count} on node {node}" for node, count in sorted(by_node.items()))
        yield f"and {len(reasons) - SHOWN} more: {said}"


def _other(other: Otherwise | None) -> tuple[str, str]:
    return ("", "") if other is None else (f"node {other.node}", f"{other.more:+.4f}")


def as_json(plan: Plan) -> dict[str, Any]:
    """What `--json` prints: cores for costs, GB/s for loads."""
    threads, memories = explain(plan)
    cost = plan.cost
    return {
        "machine": plan.problem.machine.name,
        "method": plan.method,
        "seconds": plan.seconds,
        "carried": plan.carried,
        "cost": {"total": cost.total, **{name: float(value) for name, value in vars(cost).items()}},
        "bound": plan.bound,
        "gap": plan.gap,
        "threads": [reason.as_json() for reason in threads],
        "memories": [reason.as_json() for reason in memories],
        "utilisation": dict(resources(plan)),
    }
