"""Verdicts: where a packet goes after a stage. As a number, the kind lies in the low 8 bits, its argument above."""

from __future__ import annotations

from dataclasses import dataclass

from burstline.errors import UsageError

NEXT, CONSUMED, DROPPED, SENT, CHAINED = range(5)
KIND_BITS = 8
KIND_MASK = (1 << KIND_BITS) - 1


@dataclass(frozen=True)
class Verdict:
    """What a stage returns; make one with `drop`, `send`, or use `PASS`, `DROP`, `CONSUME`. `None` means `PASS`."""

    kind: int
    argument: int | str = 0


PASS = Verdict(NEXT)
CONSUME = Verdict(CONSUMED)
DROP = Verdict(DROPPED)  # counted under the name of the stage that returned it


def drop(reason: str) -> Verdict:
    """Drop the packet and count it under `reason`, a literal string."""
    if not reason:
        raise UsageError("a drop needs a name", 'write `bl.drop("why")`, or bl.DROP to use the name of the stage')
    return Verdict(DROPPED, reason)


def send(port: int) -> Verdict:
    """Send the packet out of port number `port` (in the order of the command line), past all later stages."""
    return Verdict(SENT, int(port))
