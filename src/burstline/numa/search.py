"""A good placement of many threads: greedy, then moves and swaps while they pay, then the same from shaken placements.

Iterated local search (Lourenço, Martin and Stützle, 2003). Moves take a thread with the memory that is its own, so
that no move leaves a table behind.
"""

from __future__ import annotations

import random
import time

import numpy as np

from burstline.numa.placing import NOWHERE, Placing
from burstline.numa.problem import Problem, Spot

PAYS = 1e-9  # cores: less is rounding
LEAST_SHAKEN, MOST_SHAKEN = 2, 16  # threads
WORSE = 1.02  # times the cost of the best: from there a search may go on, to leave the valley it is in


def search(
    problem: Problem, *, rounds: int = 1000, seconds: float = 1.0, seed: int = 1, start: Spot | None = None
) -> Spot:
    """The best placement of `rounds` searches, fewer once `seconds` are over; the first is greedy, or from `start`."""
    ends = time.monotonic() + seconds
    chance = random.Random(seed)
    placing = Placing(problem)
    if start is None:
        greedy(placing)
    else:
        placing.restore(start)
    improve(placing, chance, ends)
    best, least = placing.spot, problem.cost(placing.spot).total
    for _ in range(rounds):
        if time.monotonic() >= ends:
            break
        shake(placing, chance)
        improve(placing, chance, ends)
        cost = problem.cost(placing.spot).total
        if cost < least - PAYS:
            best, least = placing.spot, cost
        elif cost > WORSE * least or chance.random() < 0.2:
            placing.restore(best)
    return best


def greedy(placing: Placing) -> None:
    """Place threads by what they ask of memory and cores, those that are fixed and the heaviest first."""
    problem = placing.problem
    for m in range(len(placing.memories)):
        if m in placing.shared or not problem.of_memory[m]:
            among = placing.allowed_nodes[m] or list(range(problem.nodes))
            placing.move_memory(
                m, min(among, key=lambda j: float((placing.held[j] + problem.sizes[m]) / problem.room[j]))
            )
    weight = problem.busy + np.array(
        [sum(float(problem.latencies[k].min()) for k in problem.of_thread[t]) for t in range(len(problem.busy))]
    )
    for thread in sorted(range(len(weight)), key=lambda t: (len(placing.allowed[t]), -weight[t])):
        _, domain, own = placing.best(thread)
        placing.put(thread, domain, own)


def improve(placing: Placing, chance: random.Random, ends: float) -> None:
    """Moves and swaps until none pays, or the time is over."""
    while time.monotonic() < ends:
        gained = _moves(placing, chance, ends)
        if gained < PAYS:
            gained = _swaps(placing, chance, ends)
        if gained < PAYS:
            return


def shake(placing: Placing, chance: random.Random) -> None:
    """Move some threads anywhere they may be, and memory that they share, which no move of one thread takes along."""
    for memory in placing.shared:
        prices = placing.memory_prices(memory)
        if chance.random() < 0.5 and prices:
            placing.move_memory(memory, chance.choice([*prices]))
    count = chance.randint(LEAST_SHAKEN, max(LEAST_SHAKEN, min(MOST_SHAKEN, len(placing.domains) * 2 // 3)))
    for thread in chance.sample(range(len(placing.domains)), min(count, len(placing.domains))):
        placing.take(thread)
        open_ = placing.open_domains(thread)
        domain = chance.choice(open_)
        _, chosen = placing.by_node(thread, [int(placing.problem.domain_nodes[domain])])
        placing.put(thread, domain, chosen[0])


def _moves(placing: Placing, chance: random.Random, ends: float) -> float:
    """Each thread, and each memory, to where it is best now. Returns what that saved."""
    saved = 0.0
    order = list(range(len(placing.domains)))
    chance.shuffle(order)
    for thread in order:
        if time.monotonic() >= ends:
            return saved
        domain, own = placing.take(thread)
        old = placing.price(thread, domain, own)
        _, better, where = placing.best(thread)
        new = placing.price(thread, better, where)
        if new < old - PAYS:
            saved += old - new
            placing.put(thread, better, where)
        else:
            placing.put(thread, domain, own)
    # Also memory of one thread alone: where several of it lie is not chosen together above.
    for memory in chance.sample(range(len(placing.memories)), len(placing.memories)):
        if time.monotonic() >= ends:
            return saved
        prices = placing.memory_prices(memory)
        now = int(placing.memories[memory])
        node = min(prices, key=prices.__getitem__, default=now)
        if now == NOWHERE or prices.get(node, 0.0) < prices.get(now, 0.0) - PAYS:
            saved += prices.get(now, 0.0) - prices[node]
            placing.move_memory(memory, node)
    return saved


def _swaps(placing: Placing, chance: random.Random, ends: float) -> float:
    """Pairs of threads in each other's domains. Returns what the first that pays saved."""
    count = len(placing.domains)
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count) if placing.domains[a] != placing.domains[b]]
    chance.shuffle(pairs)
    saved = 0.0
    for a, b in pairs:
        if time.monotonic() >= ends:
            return saved
        saved += swap(placing, a, b)
    return saved


def swap(placing: Placing, a: int, b: int) -> float:
    """Put two threads into each other's domains if that pays. Returns what it saves, else 0."""
    at, to = int(placing.domains[a]), int(placing.domains[b])
    if at == to or to not in placing.allowed[a] or at not in placing.allowed[b]:
        return 0.0
    nodes = placing.problem.domain_nodes
    where_b = placing.take(b)
    where_a = placing.take(a)
    old = placing.price(a, *where_a)
    placing.put(a, *where_a)
    old += placing.price(b, *where_b)
    placing.take(a)
    chosen_a = where_a[1] if nodes[at] == nodes[to] else placing.by_node(a, [int(nodes[to])])[1][0]
    new = placing.price(a, to, chosen_a)
    placing.put(a, to, chosen_a)
    chosen_b = where_b[1] if nodes[at] == nodes[to] else placing.by_node(b, [int(nodes[at])])[1][0]
    new += placing.price(b, at, chosen_b)
    if new < old - PAYS and (placing.held <= placing.problem.room).all():
        placing.put(b, at, chosen_b)
        return old - new
    placing.take(a)
    placing.put(a, *where_a)
    placing.put(b, *where_b)
    return 0.0
