"""Which CPU of its L3 domain each thread runs on."""

from __future__ import annotations

from burstline.numa.problem import Problem, Spot
from burstline.numa.topology import Core


def cpus_of(problem: Problem, spot: Spot) -> list[int]:
    """The CPU of each thread: its pin, else a core of its own, in the order of names; what must share goes in pairs."""
    found: dict[int, int] = {}
    for d, domain in enumerate(problem.domains):
        threads = [t for t in range(len(spot.domains)) if spot.domains[t] == d]
        if threads:
            found |= _of_domain(problem, d, problem.machine.cores_in(cache=domain.cache), threads)
    return [found[t] for t in range(len(spot.domains))]


def _of_domain(problem: Problem, domain: int, cores: list[Core], threads: list[int]) -> dict[int, int]:
    found = {t: problem.pins.cpus[t] for t in threads if t in problem.pins.cpus}
    shares = {*problem.sharers(domain, threads)}
    taken = {problem.machine.core_of[cpu].number: t for t, cpu in found.items()}
    loose = [t for t in threads if t not in found]
    free = [core for core in cores if core.number not in taken]
    pairs = [t for t in loose if t in shares]
    for t in loose:
        if t not in shares:
            found[t] = free.pop(0).cpus[0]
    # The second thread of cores whose first one is fixed, then both of the cores that are left.
    beside = [core for core in cores if taken.get(core.number) in shares and _open(core, found)]
    beside += [core for core in free for _ in range(2)]
    for t, core in zip(pairs, beside, strict=False):
        found[t] = _open(core, found)[0]
    used = {*found.values()}
    others = iter(cpu for core in cores for cpu in core.cpus if cpu not in used)
    for t in pairs[len(beside) :]:
        found[t] = next(others)
    return found


def _open(core: Core, found: dict[int, int]) -> list[int]:
    """CPUs of a core that nobody has, two of it at most."""
    used = {*found.values()}
    return [cpu for cpu in core.cpus if cpu not in used] if len(used & {*core.cpus}) < 2 else []
