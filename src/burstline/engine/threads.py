"""Worker threads: pinned to a core each, outside of the GIL while they work."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from burstline.engine.interrupts import Interrupts, interrupts_held


def usable_cores() -> list[int]:
    """The cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(core: int) -> None:
    """Keep the calling thread on a core, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(threading.get_native_id(), {core})


@contextmanager
def keep_off(cores: Sequence[int]) -> Iterator[None]:
    """Keep the calling thread off the workers' cores while there are others, and the system can do that."""
    usable = usable_cores()
    others = set(usable) - set(cores)
    if not others or len(others) == len(usable) or not hasattr(os, "sched_setaffinity"):
        yield
        return
    os.sched_setaffinity(0, others)
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, usable)


def process_age() -> float | None:
    """Seconds since this process started; None where the system does not tell."""
    try:
        with open("/proc/self/stat") as stat, open("/proc/uptime") as uptime:
            started = int(stat.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
            return float(uptime.read().split()[0]) - started
    except (OSError, ValueError):
        return None


class Team:
    """Threads that run `work(index)`; the first exception of any of them, or of `tick`, is raised by `run`."""

    def __init__(self, count: int, work: Callable[[int], None], cores: Sequence[int] = (), pinned: bool = True) -> None:
        self._failures: list[BaseException] = []
        self._done = threading.Semaphore(0)
        self._count = count
        chosen = list(cores) or usable_cores()
        self.cores = [chosen[k % len(chosen)] for k in range(count)] if pinned else []

        self._release: Callable[[], None] = lambda: None

        def body(index: int) -> None:
            try:
                self._release()  # threads inherit what is held
                if pinned:
                    pin(self.cores[index])
                work(index)
            except BaseException as error:
                self._failures.append(error)
            finally:
                self._done.release()

        self._threads = [threading.Thread(target=body, args=(k,), name=f"worker {k}") for k in range(count)]

    def run(
        self,
        stop: Callable[[], None],
        tick: Callable[[], None],
        duration: float | None,
        period: Callable[[], float],
    ) -> bool:
        """Run to the end, calling `tick` every `period()` seconds; Ctrl-C and `duration` call `stop` once. True if so.

        The calling thread keeps off the workers' cores where there are others.
        """
        interrupts = Interrupts()
        # Held, else one could leave workers behind that nobody stops.
        with interrupts.taken(), interrupts_held() as self._release:
            for thread in self._threads:
                thread.start()
            with keep_off(self.cores):
                return self._watch(stop, tick, duration, period, interrupts)

    def _watch(
        self,
        stop: Callable[[], None],
        tick: Callable[[], None],
        duration: float | None,
        period: Callable[[], float],
        interrupts: Interrupts,
    ) -> bool:
        deadline = time.monotonic() + duration if duration is not None else None
        stopped, left = False, self._count
        while left:
            try:
                self._release()
                while left:
                    wait = period()
                    if deadline is not None and not stopped:
                        wait = min(wait, max(0.0, deadline - time.monotonic()))
                    if self._done.acquire(timeout=wait):
                        left -= 1
                        if self._failures and not stopped:
                            stopped = True
                            stop()
                        continue
                    with interrupts.whole():
                        tick()
                    if deadline is not None and not stopped and time.monotonic() >= deadline:
                        stopped = True
                        stop()
            except KeyboardInterrupt:
                stopped = True
                stop()
            except Exception as error:  # of `tick`; the workers come to their ends first
                self._failures.append(error)
                stopped = True
                stop()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]
        return stopped
