"""The same on a Dask cluster: https://distributed.dask.org. Captures must have the same paths on its machines.

The scheduler hands a lost worker's captures to others. Results come back here, so that nothing but the captures need
be shared; the application and its compiled object go along with the task.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from burstline.archive.captures import Capture
from burstline.archive.pool import TRIES, Events
from burstline.archive.task import Task
from burstline.errors import BurstlineError

TIMEOUT = 10  # seconds for the scheduler to answer


class ClusterPool:
    """`run` as that of `ProcessPool`."""

    def __init__(self, task: Task, address: str, *, sync: bool = False) -> None:
        self.task, self.address, self.sync = task, address, sync

    def run(
        self, captures: Sequence[Capture], order: Sequence[int], place: Callable[[int], Path], events: Events
    ) -> None:
        try:
            from distributed import Client, as_completed
        except ImportError:
            raise BurstlineError("a Dask cluster needs distributed", 'pip install "burstline[dask]"') from None
        from burstline.native.write_whole import write_whole

        try:
            client = Client(self.address, timeout=TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            hint = "dask scheduler prints its address when it starts, such as tcp://host:8786"
            raise BurstlineError(f"no Dask scheduler answers at {self.address}: {error}", hint) from error
        with client, client.as_current():
            if not client.scheduler_info()["workers"]:
                raise BurstlineError(f"the cluster at {self.address} has no workers", f"dask worker {self.address}")
            name = f"burstline-{self.task.digest}"
            # A result, not scattered data: the scheduler makes it again when all who have it are lost.
            task = client.submit(as_it_is, self.task, key=f"{name}-task", retries=TRIES - 1)
            futures = {
                client.submit(
                    run_on_worker, task, os.path.abspath(captures[number].path), key=f"{name}-{place(number).stem}",
                    priority=-at, retries=TRIES - 1, pure=True,
                ): number
                for at, number in enumerate(order)
            }  # fmt: skip
            for future in as_completed(list(futures)):
                number = futures[future]
                if future.status == "finished":
                    result, packets = future.result()
                    write_whole(place(number), result, sync=self.sync)
                    events.done(number, packets)
                else:
                    _refuse(future, number, events)
                future.release()  # the cluster need not keep the result
                events.tick()


def _refuse(future: Any, number: int, events: Events) -> None:
    error = future.exception()
    if isinstance(error, BurstlineError):
        raise error
    events.lost(number, f"{type(error).__name__}: {error}", False)


def as_it_is(task: Task) -> Task:
    return task


def run_on_worker(task: Task, path: str) -> tuple[bytes, int]:
    """In a process of the cluster, which keeps what it has loaded for the next capture."""
    from burstline.archive.partial import Runner

    with _loading:  # a worker may have several threads
        if task.digest not in _runners:
            folder = tempfile.TemporaryDirectory(prefix="burstline-")
            _runners[task.digest] = Runner(task, Path(folder.name)), folder
        runner, _ = _runners[task.digest]
    return runner.run(path), runner.packets


_loading = threading.Lock()
_runners: dict[str, tuple[Any, tempfile.TemporaryDirectory[str]]] = {}  # folders are removed when the process ends
