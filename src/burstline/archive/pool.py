"""Worker processes of this machine: each is handed the next capture when it is done with one.

The queue is the parent's: a worker that is killed holds no lock of it. The captures of such a worker are done again by
another process, a few times at most: it may be the capture that kills it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from burstline.archive.captures import Capture
from burstline.archive.progress import EVERY
from burstline.archive.task import Task
from burstline.engine.interrupts import interrupts_held, release_interrupts
from burstline.engine.threads import pin, usable_cores
from burstline.errors import BurstlineError

TRIES = 3  # of a capture


@dataclass
class Worker:
    process: BaseProcess
    connection: Connection
    core: int
    number: int | None = None  # of the capture that it works at


class Events:
    """What a pool tells of a capture, by its number."""

    def at(self, number: int, read: int, packets: int) -> None: ...

    def lost(self, number: int, why: str, again: bool) -> None: ...  # and whether it is done again

    def done(self, number: int, packets: int) -> None: ...  # its result has its place

    def tick(self) -> None: ...


class ProcessPool:
    """`run` has `jobs` processes do the task with each capture. With `sync`, results are on the disk when they are
    told."""

    def __init__(self, task: Task, jobs: int, *, sync: bool = False) -> None:
        self.task, self.jobs, self.sync = task, jobs, sync
        self.workers: list[Worker] = []

    def run(
        self, captures: Sequence[Capture], order: Sequence[int], place: Callable[[int], Path], events: Events
    ) -> None:
        """In this order, by number; results are written to their places."""
        waiting, tries = list(reversed(order)), dict.fromkeys(order, 0)
        cores = usable_cores()
        try:
            for k in range(min(self.jobs, len(order))):
                self.workers.append(self._start(cores[k % len(cores)]))
            finished: list[tuple[int, int]] = []
            while True:
                for worker in self.workers:
                    if worker.number is None and waiting:
                        number = waiting.pop()
                        tries[number] += 1
                        worker.number = number
                        with suppress(OSError):  # it has just ended, which is seen below
                            worker.connection.send((number, captures[number].path, place(number)))
                for each in finished:  # now that workers have something to do: who is told may take its time
                    events.done(*each)
                if all(worker.number is None for worker in self.workers):
                    return
                connection.wait([worker.connection for worker in self.workers], EVERY)
                finished = []
                for at, worker in enumerate(self.workers):
                    if self._listen(worker, events, finished):
                        continue
                    worker.process.join()
                    if (lost := worker.number) is not None:
                        again = tries[lost] < TRIES
                        events.lost(lost, _ended(worker.process.exitcode or 0), again)
                        if again:
                            waiting.append(lost)
                    worker.connection.close()
                    self.workers[at] = self._start(worker.core)
                events.tick()
        finally:
            self._end()

    def _start(self, core: int) -> Worker:
        # A process that shares nothing: threads, locks and compilers are not to be forked.
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve, args=(theirs, self.task, core, self.sync), name="burstline archive", daemon=True
        )
        resource_tracker.ensure_running()  # which lets signals through again when it is started
        with interrupts_held():  # until the process can take them: `serve`
            process.start()
        theirs.close()
        return Worker(process, ours, core)

    def _listen(self, worker: Worker, events: Events, finished: list[tuple[int, int]]) -> bool:
        """Hear what a worker has to tell; False when it is gone, with nothing left to be heard. What it has done is
        only noted."""
        try:
            while worker.connection.poll():
                kind, *said = worker.connection.recv()
                if kind == "at":
                    events.at(*said)
                elif kind == "failed":
                    raise BurstlineError(*said)
                else:
                    worker.number = None
                    finished.append((said[0], said[1]))
        except (EOFError, ConnectionError):
            return False
        return True

    def _end(self) -> None:
        for worker in self.workers:
            worker.connection.close()
            worker.process.kill()  # what is not done is in nobody's way: results are written whole
        for worker in self.workers:
            worker.process.join()
        self.workers = []


def _ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def serve(orders: Connection, task: Task, core: int, sync: bool) -> None:
    """What a worker process does."""
    from burstline.archive.partial import Runner
    from burstline.native.write_whole import write_whole

    pin(core)  # with all threads: on another core, what Python does around each capture is in the way of that one's
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    release_interrupts()
    runner, told = None, 0.0
    with suppress(EOFError, OSError):
        while True:
            number, path, place = orders.recv()

            def progress(read: int, size: int | None, packets: int, number: int = number) -> None:
                nonlocal told
                if time.monotonic() - told >= EVERY:
                    told = time.monotonic()
                    orders.send(("at", number, read, packets))

            try:
                runner = runner or Runner(task, core=core)
                write_whole(place, runner.run(path, progress), sync=sync)
            except BurstlineError as error:
                orders.send(("failed", error.message, error.hint))
                return
            except OSError as error:
                orders.send(
                    ("failed", f"{error.filename or place}: {error.strerror}", "no result of the captures is lost")
                )
                return
            orders.send(("done", number, runner.packets))
