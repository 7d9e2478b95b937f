"""The memory of state objects: what each worker has of its own, and what all have together."""

from __future__ import annotations

from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

from burstline.state.base import State
from burstline.state.region import Region


@dataclass(frozen=True)
class StateSize:
    """Bytes of each worker's copy, and of what they share."""

    own: int
    shared: int


def size_of_state(state: State) -> StateSize:
    """Made as for a run, with the regions of two workers, and forgotten again: what is not touched takes no memory."""
    state.reset()
    state.attach()
    first = regions_of(state)
    state.attach()
    second = {address: size for address, size in regions_of(state).items() if address not in first}
    state.reset()
    own = sum(second.values())
    return StateSize(own, max(0, sum(first.values()) - own))


def regions_of(root: Any) -> dict[int, int]:
    """Sizes of the regions that an object leads to, by their addresses."""
    found: dict[int, int] = {}
    seen: set[int] = set()
    left = [root]
    while left:
        at = left.pop()
        if id(at) in seen or isinstance(at, (type, FunctionType, ModuleType, str, bytes, int, float)):
            continue
        seen.add(id(at))
        if isinstance(at, Region):
            found[at.address] = at.size
        elif isinstance(at, dict):
            left += at.values()
        elif isinstance(at, (list, tuple, set, frozenset)):
            left += at
        elif type(at).__module__.startswith("burstline."):
            left += [getattr(at, name, None) for name in _names(at)]
    return found


def _names(at: Any) -> list[str]:
    slots = [name for kind in type(at).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*getattr(at, "__dict__", {}), *slots]
