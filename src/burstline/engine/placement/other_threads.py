"""The threads of this process that are no workers: Python's, and those that DPDK starts for itself."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

TASKS = Path("/proc/self/task")


def others(polling: Collection[int]) -> Iterator[tuple[int, str, tuple[int, ...]]]:
    """Number, name and CPUs of each thread but those that poll."""
    for path in sorted(TASKS.glob("[0-9]*"), key=lambda p: int(p.name)):
        tid = int(path.name)
        if tid in polling:
            continue
        with suppress(OSError):  # it has just ended
            yield tid, (path / "comm").read_text().strip(), tuple(sorted(os.sched_getaffinity(tid)))


class Kept:
    """Keeps them on some CPUs, and gives each its own back."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[int, ...]] = {}
        self._given: dict[int, set[int]] = {}

    def keep_on(self, cpus: Collection[int], polling: Collection[int]) -> None:
        for tid, _, now in others(polling):
            if {*now} != {*cpus}:
                with suppress(OSError):
                    os.sched_setaffinity(tid, cpus)
                    self._before.setdefault(tid, now)
                    self._given[tid] = {*cpus}

    def restore(self) -> None:
        """But for those that somebody else has put elsewhere since."""
        for tid, cpus in self._before.items():
            with suppress(OSError):
                if os.sched_getaffinity(tid) == self._given[tid]:
                    os.sched_setaffinity(tid, cpus)
        self._before.clear()
        self._given.clear()
