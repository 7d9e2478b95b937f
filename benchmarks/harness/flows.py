"""The flow lists that we and the peers write, compared: nobody is fast at something else than asked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from burstline.errors import BurstlineError

# `src,dst,sport,dport,proto` to packets and bytes; addresses in hexadecimal.
Flows = dict[str, tuple[int, int]]


def read(path: Path) -> Flows:
    """The flows in a file of `src,dst,sport,dport,proto,packets,bytes` lines; a flow's lines are added up."""
    with open(path) as file:
        return add_up(file)


def add_up(lines: Iterable[str]) -> Flows:
    flows: Flows = {}
    for line in lines:
        key, packets, size = line.rsplit(",", 2)
        before = flows.get(key, (0, 0))
        flows[key] = (before[0] + int(packets), before[1] + int(size))
    return flows


def must_equal(ours: Flows, theirs: Flows, peer: str) -> None:
    """Raise BurstlineError, naming the first flow that differs, unless both counted the same."""
    if ours == theirs:
        return
    key = min(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
    raise BurstlineError(
        f"{peer} counted other flows than we did: flow {key} has (packets, bytes) {ours.get(key)} here "
        f"and {theirs.get(key)} there; {len(ours)} flows here, {len(theirs)} there",
        "a comparison of different results means nothing: find out who is right",
    )
