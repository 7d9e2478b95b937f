"""Where a steering rule has packets go: `queue 3`, `core 2`, `cores 2, 3` by hash, `drop`; or `rss`, as without it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from burstline.state.rule import BadField

HINT = 'write "queue 3", "core 2", "cores 2, 3", "drop" or "rss"'
MOST_QUEUES = 1024


@dataclass(frozen=True)
class Queue:
    """The worker that polls this queue of the port."""

    number: int

    def __str__(self) -> str:
        return f"queue {self.number}"


@dataclass(frozen=True)
class Cores:
    """The workers on these cores; which one of several is decided by the flow's hash."""

    numbers: tuple[int, ...]

    def __str__(self) -> str:
        return f"core{'s' * (len(self.numbers) > 1)} {', '.join(map(str, self.numbers))}"


@dataclass(frozen=True)
class Drop:
    """Nobody: they are dropped before a worker sees them."""

    def __str__(self) -> str:
        return "drop"


@dataclass(frozen=True)
class Rss:
    """Where they go without a rule: what stands behind it is not asked."""

    def __str__(self) -> str:
        return "rss"


Target = Queue | Cores | Drop | Rss
RSS = Rss()


def read_target(text: str) -> Target:
    """A target from its spelling. Raises `BadField`."""
    found = re.fullmatch(r"\s*(queue|cores?|drop|rss)\s*([\d\s,]*)", text)
    if not found:
        raise BadField("to", f"{text!r} is no place to steer packets to", HINT)
    word = found[1]
    try:
        numbers = tuple(int(part) for part in found[2].split(",")) if found[2].strip() else ()
    except ValueError:
        raise BadField("to", f"{text!r} is no list of numbers", HINT) from None
    if len(set(numbers)) != len(numbers):
        raise BadField("to", f"{text!r} names a core twice", HINT)
    if word in ("drop", "rss") and not numbers:
        return Drop() if word == "drop" else RSS
    if word == "queue" and len(numbers) == 1 and numbers[0] < MOST_QUEUES:
        return Queue(numbers[0])
    if (word == "cores" and numbers) or (word == "core" and len(numbers) == 1):
        return Cores(numbers)
    raise BadField("to", f"{text!r} has {len(numbers)} numbers" if word != "queue" else f"{text!r} is no queue", HINT)
