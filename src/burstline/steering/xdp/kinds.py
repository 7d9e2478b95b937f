"""Which wildcards are compared with which packets: TCP and UDP over IPv4 and IPv6 have lists of their own, of the rules
that can match them at all, without what is known of such packets. And how many wildcards a program holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from burstline.state.exact_rules import TableFull
from burstline.state.steering_rules import Wildcard
from burstline.state.steering_words import IS_V4, IS_V6, KIND, Condition

KNOWN = IS_V4 | IS_V6 | 0xFF  # of the word KIND: the version, and the protocol
KINDS = (IS_V4 | 6, IS_V4 | 17, IS_V6 | 6, IS_V6 | 17)
MOST_CONDITIONS = 5000  # of all wildcards, each of which is one more: a jump reaches over 2**15 instructions


def by_kind(wildcards: Sequence[Wildcard]) -> list[tuple[int | None, list[Wildcard]]]:
    """The lists, each with what KIND is in the bits that are known; None is all other packets and comes last. If all of
    them do not fit, there is one list for all."""
    lists: list[tuple[int | None, list[Wildcard]]] = [(kind, _of_kind(wildcards, kind)) for kind in KINDS]
    lists.append((None, list(wildcards)))
    return lists if sum(size(own) for _, own in lists) <= MOST_CONDITIONS else lists[-1:]


def check_room(wildcards: Sequence[Wildcard]) -> None:
    """Raises TableFull where an XDP program cannot hold them."""
    if size(wildcards) > MOST_CONDITIONS:
        raise TableFull(
            f"{len(wildcards):,} wildcard rules with {size(wildcards):,} comparisons are too many for an XDP program, "
            f"which holds {MOST_CONDITIONS:,}",
            "name whole flows (both addresses, protocol, both ports), of which there may be many, or use fewer rules",
        )


def room_left(wildcards: Sequence[Wildcard]) -> int:
    """How many more of the simplest there is room for."""
    return (MOST_CONDITIONS - size(wildcards)) // 2


def size(wildcards: Sequence[Wildcard]) -> int:
    return sum(len(w.conditions) + 1 for w in wildcards)


def _of_kind(wildcards: Sequence[Wildcard], kind: int) -> list[Wildcard]:
    kept = []
    for wildcard in wildcards:
        conditions = [_rest(condition, kind) for condition in wildcard.conditions]
        if None not in conditions:
            kept.append(replace(wildcard, conditions=tuple(c for c in conditions if c and c.mask)))
    return kept


def _rest(condition: Condition, kind: int) -> Condition | None:
    """What is left to ask of packets of a kind; None where none of them can be meant."""
    if condition.word != KIND or condition.more:
        return condition
    if (condition.least ^ kind) & condition.mask & KNOWN:
        return None
    return replace(condition, mask=condition.mask & ~KNOWN, least=condition.least & ~KNOWN)
