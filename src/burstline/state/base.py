"""What every kind of state has in common: it is named in stages, and each worker has its own copy of it.

Compiled code knows a state object as a linker symbol; `attach` makes one worker's memory and gives its address.
Interpreted stages use the very same Python object, which then keeps its own values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any


class State(ABC):
    """An ordinary Python object that stages name in their bodies."""

    symbol: str = ""  # set when a pipeline that uses the object is compiled

    @abstractmethod
    def signature(self) -> tuple[Any, ...]:
        """What compiled code depends on: part of the key of the compiled object, together with the kind."""

    @abstractmethod
    def attach(self) -> int:
        """Make another worker's copy; returns the address that its symbol stands for."""

    @abstractmethod
    def addresses(self) -> list[int]:
        """Of the copies that `attach` made since the last reset, by worker."""

    def address(self, worker: int) -> int:
        """Of this worker's copy, which is made when there is none yet."""
        while len(self.addresses()) <= worker:
            self.attach()
        return self.addresses()[worker]

    def adopt(self, old: Any) -> bool:
        """Take over all copies and values of an object of the same kind, which no other pipeline goes on with; False
        where this one's are laid out differently, or do not come from packets."""
        return False

    @abstractmethod
    def reset(self) -> None:
        """Forget all workers' copies and all values, as before the first run."""

    def parts(self) -> Sequence[State]:
        """State of its own that compiled code knows by symbols, too."""
        return ()

    def finish(self) -> None:  # noqa: B027  most have nothing to do
        """A run is over, or goes on without it: hand on what somebody waits for."""

    def about(self) -> str:
        """What there is to say of it besides its kind: name, size."""
        return ""

    def warnings(self) -> list[str]:
        """What the user should know after a run: refused flows, lost digests."""
        return []


class LookAhead(State):
    """State that is worked out for the packets of a burst before their stages run, so that it is about packets as they
    came. The interpreter calls `look_ahead` for each packet before its first stage."""

    _noted: tuple[Any, Any] | None = None  # the packet that was looked at last, and what was found

    @abstractmethod
    def look_ahead(self, pkt: Any) -> None:
        """Work it out for a packet, and `note` it."""

    def note(self, pkt: Any, found: Any) -> None:
        self._noted = pkt, found

    def seen(self, pkt: Any, look: Callable[[Any], Any]) -> Any:
        """What was noted of a packet, or else what `look` says."""
        noted = self._noted
        return noted[1] if noted is not None and noted[0] is pkt else look(pkt)
