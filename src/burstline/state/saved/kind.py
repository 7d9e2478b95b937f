"""What is saved of a state object, so that another process can go on with it, or put it together with others.

Of each worker's copy some NumPy arrays are kept, by name, which depend on no address and on no layout of memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from burstline.state.base import State

S = TypeVar("S", bound=State)
Copy = Mapping[str, Any]  # of a worker: arrays


class Kind(ABC, Generic[S]):
    """How one kind of state is saved."""

    @abstractmethod
    def parameters(self, state: S) -> list[Any]:
        """What must be the same where it is put back: plain values."""

    @abstractmethod
    def save(self, state: S) -> Sequence[Copy]:
        """Of each worker's copy, also while the worker works."""

    @abstractmethod
    def put(self, state: S, worker: int, copies: Sequence[Copy]) -> None:
        """Add what was saved to a worker's copy, which has not begun."""


class Joinable(Kind[S]):
    """One of which the copies of several runs can be put together."""

    @abstractmethod
    def join(self, state: S, copies: Sequence[Copy]) -> list[Copy]:
        """Copies of runs over one capture each, in the order of the captures, put together: as few as can be."""


def total(copies: Sequence[Copy], name: str) -> Any:
    """The sum of an array of all."""
    import numpy as np

    return np.sum([copy[name] for copy in copies], axis=0, dtype="i8")


def summed(copies: Sequence[Copy]) -> tuple[Any, Any]:
    """`places`, each once and rising, and the sums of the `counts` at them."""
    import numpy as np

    places, which = np.unique(np.concatenate([copy["places"] for copy in copies]), return_inverse=True)
    counts = np.zeros(len(places), "i8")
    np.add.at(counts, which, np.concatenate([copy["counts"] for copy in copies]))
    return places, counts


def sparse(counts: Any) -> dict[str, Any]:
    """The counts that are not zero, and their places."""
    import numpy as np

    counts = counts.copy()  # a worker may count meanwhile
    places = counts.nonzero()[0]
    return {"places": places.astype(np.uint32), "counts": counts[places]}
