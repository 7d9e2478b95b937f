"""How many buffers a size class should have populated: a policy that only looks at numbers and says what to change.

It is a value, as the forecasters are: `decide` gives a change and the controller that has seen one tick more, so the
engine, tests and simulators run the same policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from burstline.buffers.magazine import ROUNDS
from burstline.buffers.mixture import Mixture, mixture

MOST_RESERVED = 2  # magazines of a core, as many as it has beside


@dataclass(frozen=True)
class Seen:
    """A size class at one tick, in buffers. `peak` is the most that were in use since the tick before; `stranded` are
    free, but not for every core; `usable` are all that there are but parked ones; `failed` is how many were asked for
    and not to be had, ever."""

    in_use: int
    peak: int
    stranded: int
    usable: int
    failed: int


@dataclass(frozen=True)
class Settings:
    """`horizon` is in ticks: how long a change takes, from seeing that it is needed until the memory is there. `dwell`
    is how many ticks a surplus must last before memory goes back, `band` how large a part of the pool it must be;
    `rounds` are the buffers of a full magazine, which move together."""

    least: int
    most: int
    horizon: int
    dwell: int = 25
    band: float = 0.02
    spare: float = 0.02  # of what is needed, beside it
    rounds: int = ROUNDS


@dataclass(frozen=True)
class Controller:
    """Grows a class ahead of what is forecast, and shrinks it after. `wanted` are the targets of the last ticks."""

    settings: Settings
    forecaster: Mixture
    wanted: tuple[int, ...] = ()
    failed: int = 0

    def decide(self, seen: Seen) -> tuple[int, Controller]:
        """Buffers to populate (above 0) or to give back (below 0), and what goes on from here."""
        s = self.settings
        load = max(seen.in_use, seen.peak) + seen.failed - self.failed
        forecaster = self.forecaster.observe(load)
        need = max(load, forecaster.upper()) * (1 + s.spare) + seen.stranded + s.rounds
        target = min(s.most, max(s.least, round(need)))
        wanted = (*self.wanted, target)[-s.dwell :]
        after = replace(self, forecaster=forecaster, wanted=wanted, failed=seen.failed)
        if seen.usable < target:
            return target - seen.usable, after
        lasting = max(wanted)
        surplus = seen.usable - lasting
        if len(wanted) == s.dwell and surplus > max(s.band * seen.usable, s.rounds):
            return -surplus, after
        return 0, after

    @property
    def expected(self) -> int:
        """The load at the next tick, as it was forecast `horizon` ticks before it; -1 of those before that."""
        return round(self.forecaster.due)


def controller(settings: Settings) -> Controller:
    """One that has seen nothing."""
    return Controller(settings, mixture(settings.horizon))


def reserves(expected: Sequence[int], held: Sequence[int], free: int, rounds: int = ROUNDS) -> list[int]:
    """How many magazines of the depot, of `rounds` buffers, to put into each core's reserve: as many as cover what it
    is expected to take until the next tick, without those that it holds already, and all of them no more than half of
    what is `free` there."""
    wanted = [min(MOST_RESERVED, -(-buffers // rounds)) for buffers in expected]
    missing = [max(0, want - have) for want, have in zip(wanted, held, strict=True)]
    room = free // (2 * rounds)
    given = []
    for one in missing:
        given.append(min(one, room))
        room -= given[-1]
    return given
