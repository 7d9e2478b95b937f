"""RETA: which queue each bucket of the hash goes to, by weights, with as few moves as can be."""

from __future__ import annotations

from collections.abc import Sequence

from burstline.errors import UsageError


def shares(weights: Sequence[float], size: int) -> list[int]:
    """How many of `size` buckets each queue gets: in proportion to its weight, by the largest remainders (Hamilton's
    method). Raises UsageError for weights of which none is positive."""
    if not weights or min(weights) < 0 or sum(weights) <= 0:
        raise UsageError(f"no buckets can be shared by weights {list(weights)}", "give one of 0 or more to each queue")
    total = sum(weights)
    exact = [size * weight / total for weight in weights]
    made = [int(part) for part in exact]
    by_rest = sorted(range(len(weights)), key=lambda queue: (made[queue] - exact[queue], queue))
    for queue in by_rest[: size - sum(made)]:
        made[queue] += 1
    return made


def moves(present: Sequence[int], weights: Sequence[float]) -> list[tuple[int, int]]:
    """Buckets, each with the queue to move it to, after which queues have their `shares`. There are no fewer moves
    that do it; taken in their order, each brings a queue with too many one closer to one with too few."""
    wanted = shares(weights, len(present))
    spare = [-count for count in wanted]
    for queue in present:
        if queue < len(spare):
            spare[queue] += 1
    takers = [queue for queue in range(len(spare)) for _ in range(-spare[queue])]
    made: list[tuple[int, int]] = []
    for bucket, queue in enumerate(present):
        if queue < len(spare) and spare[queue] <= 0:
            continue
        if queue < len(spare):
            spare[queue] -= 1
        made.append((bucket, takers[len(made)]))
    return made


def differences(present: Sequence[int], wanted: Sequence[int]) -> list[tuple[int, int]]:
    """The buckets that differ, with the queues that are wanted."""
    if len(present) != len(wanted):
        raise UsageError(f"a RETA of {len(wanted)} entries", f"give {len(present)}")
    return [(bucket, queue) for bucket, queue in enumerate(wanted) if present[bucket] != queue]
