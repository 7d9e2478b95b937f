"""What a run publishes while it goes on: each worker's counts, by version of the pipeline."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from burstline.buffers.usage import ClassUsage
from burstline.engine.events import Events
from burstline.engine.stats_layout import COUNTS, LINE, SOCKET, area_size, lines, snapshot_size
from burstline.engine.worker import TALLY, Snapshot
from burstline.native.kernel import Kernel
from burstline.state.region import Block, Mapped

if TYPE_CHECKING:
    from burstline.engine.program import Instance, Program
    from burstline.engine.stats_file import StatsFile

FILE_ROUNDS, LIVE_ROUNDS = 16, 64  # of a worker's loop, a chunk or a burst each, in which it does not look at the clock
_look = Kernel("burstline.engine.stats_kernel:look", int)


@dataclass
class _Version:
    """A version of the pipeline, with each worker's area."""

    program: Program
    instances: Sequence[Instance]
    offset: int
    size: int
    memory: Mapped
    counters: list[tuple[int, str]]  # identities, which outlive a swap, and names
    snapshots: list[Block] = field(default_factory=list)

    def last(self, worker: int) -> list[int]:
        """The counts of a worker's last snapshot."""
        area = worker * self.size // len(self.instances)
        size = snapshot_size(len(self.program.reasons), len(self.counters))
        at = area + LINE + (self.memory.i64(area) & 1) * size
        return [self.memory.i64(at + 8 * k) for k in range(len(COUNTS))]


class Questions(Protocol):
    """What answers questions about a run, at a socket."""

    def open(self, path: Path) -> None: ...

    def hand_over(self, uid: int, gid: int) -> None: ...

    def close(self) -> None: ...


class Publisher:
    """Publishes a run of `app` every `interval` seconds, for `burstline stats`; `rounds` of a worker's loop it does not
    even look at the clock. Where there is no shared memory, it does nothing but complain in `warnings`."""

    def __init__(self, app: str, source: str, interval: float, rounds: int) -> None:
        self.app, self.source, self.interval, self.rounds = app, source, interval, rounds
        self.warnings: list[str] = []
        self.events = Events()
        self.questions: Questions | None = None
        self._served = ""  # the name of its socket, beside the file
        self._shown: dict[str, Any] = {}
        self._file: StatsFile | None = None
        self._versions: list[_Version] = []
        self._started = 0.0
        self._cores: list[int] = []
        self._drops: dict[str, list[list[int]]] = {}  # of versions that are gone: packets and bytes by worker
        self._counters: dict[int, list[int]] = {}
        self._last: list[list[int]] = []  # the workers' counts when they left those
        self._buffers: list[dict[str, Any]] = []
        self._exports: list[dict[str, Any]] = []
        self._exports_at = 0.0
        self._placement: Mapping[str, Any] = {}
        self._lock = threading.RLock()  # the thread that looks at buffers publishes, too

    def begin(
        self, program: Program, contexts: Sequence[Block], instances: Sequence[Instance], cores: Sequence[int]
    ) -> None:
        """Before the workers start."""
        try:
            from burstline.engine.stats_file import StatsFile

            self._file = StatsFile()
        except (OSError, ImportError) as error:  # the latter where the system has no locks of files
            reason = error.strerror if isinstance(error, OSError) else None
            self.warnings.append(f"`burstline stats` will not see this run: {reason or error}")
            return
        self._started, self._cores = time.time(), list(cores)
        self.events.tell("start", f"{self.app} over {self.source}")
        if self.questions is not None:
            path = self._file.path.with_suffix(SOCKET)
            self.questions.open(path)
            self._served = path.name
        self.add(program, instances)
        if not self._versions:
            self.end()
            return
        for context in contexts:
            context.set(look=_look.address, rounds=1)

    def add(self, program: Program, instances: Sequence[Instance]) -> None:
        """Workers are about to go over to a version."""
        if self._file is None:
            return
        try:
            with self._lock:
                self._versions.append(self._made(self._file, program, instances))
                self._publish()
        except OSError as error:
            self.warnings.append(f"`burstline stats` does not see all of this run: {error.strerror}")

    def go_on_with(self, counts: Mapping[int, int]) -> None:
        """Counters, by their identities, had these counts before the workers began."""
        if self._file is None or not self._versions:
            return
        with self._lock, suppress(OSError):
            others = [0] * (len(self._versions[0].instances) - 1)
            self._counters |= {identity: [count, *others] for identity, count in counts.items() if count}
            self._publish()

    def settle(self, instances: Sequence[Instance]) -> None:
        """All workers have left these instances: what they counted goes into the directory."""
        with self._lock:
            self._settle(instances)

    def _settle(self, instances: Sequence[Instance]) -> None:
        for version in [v for v in self._versions if v.instances is instances]:
            assert self._file is not None
            workers = len(version.instances)
            self._last = [version.last(k) for k in range(workers)]
            for worker, instance in enumerate(version.instances):
                for number, reason in enumerate(version.program.reasons):
                    row = self._drops.setdefault(reason, [[0, 0] for _ in range(workers)])
                    row[worker][0] += instance.tallies.i64(number * TALLY)
                    row[worker][1] += instance.tallies.i64(number * TALLY + 8)
                for place, (identity, _) in enumerate(version.counters):
                    shares = self._counters.setdefault(identity, [0] * workers)
                    shares[worker] += instance.counters.value(place)
            self._versions.remove(version)
            known = {identity for each in self._versions for identity, _ in each.counters}
            self._counters = {identity: shares for identity, shares in self._counters.items() if identity in known}
            try:
                self._publish()
            except OSError:  # the old directory is as good, but for room
                return
            self._file.give_back(version.offset, version.size)

    def show_buffers(self, usage: Sequence[ClassUsage], **shown: Any) -> None:
        """What the size classes of the run's pools are doing, and what else there is to show of it, as JSON has it."""
        with self._lock:
            self._buffers = [each.as_json() for each in usage]
            self.show(**shown)

    def show(self, **shown: Any) -> None:
        """Other things to show, as JSON has them, in place of what was shown under these names."""
        with self._lock:
            self._shown.update(shown)
            if self._file is not None:
                with suppress(OSError):  # no room: the old directory stays
                    self._publish()

    def show_placement(self, placement: Mapping[str, Any], cores: Sequence[int]) -> None:
        """Where threads and memory are, and the cores that workers are on now."""
        with self._lock:
            self._placement, self._cores = placement, list(cores)
            if self._file is not None:
                with suppress(OSError):  # no room: the old directory stays
                    self._publish()

    def show_exports(self, counts: Sequence[dict[str, Any]]) -> None:
        """What the sinks of flow records have done; no more often than every `interval` seconds."""
        with self._lock:
            now = time.monotonic()
            if self._file is None or counts == self._exports or now - self._exports_at < self.interval:
                return
            self._exports, self._exports_at = list(counts), now
            with suppress(OSError):
                self._publish()

    def hand_over(self, uid: int, gid: int) -> None:
        """The run is about to become this user, who may then ask it."""
        if self.questions is not None and self._served:
            self.questions.hand_over(uid, gid)

    def end(self) -> None:
        """The workers are through."""
        if self.questions is not None and self._served:
            self.questions.close()
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _made(self, file: StatsFile, program: Program, instances: Sequence[Instance]) -> _Version:
        named = [(c.identity, c.name) for c in instances[0].counters.counters]
        reasons, counters = len(program.reasons), len(named)
        stride = area_size(reasons, counters)
        offset, memory = file.piece(stride * len(instances))
        version = _Version(program, instances, offset, stride * len(instances), memory, named)
        for worker, instance in enumerate(instances):
            snapshot = Block(Snapshot.layout)
            snapshot.set(
                area=memory.address + worker * stride, size=snapshot_size(reasons, counters),
                tallies=instance.tallies.address, tally_lines=lines(2 * reasons),
                counters=instance.counters.address, counter_lines=lines(counters),
                look_every=self.rounds, every=int(self.interval * 1e9),
            )  # fmt: skip
            version.snapshots.append(snapshot)
            instance.entry.set(snapshot=snapshot.address)
        return version

    def _publish(self) -> None:
        assert self._file is not None
        self._file.publish(self._directory())

    def _directory(self) -> Mapping[str, Any]:
        return {
            "pid": os.getpid(),
            "app": self.app,
            "source": self.source,
            "started": self._started,
            "interval": self.interval,
            "cores": self._cores,
            "byteorder": sys.byteorder,
            "versions": [
                {
                    "reasons": v.program.reasons,
                    "counters": v.counters,
                    "areas": [v.offset + k * v.size // len(v.instances) for k in range(len(v.instances))],
                    "snapshot": snapshot_size(len(v.program.reasons), len(v.counters)),
                }
                for v in self._versions
            ],
            "buffers": self._buffers,
            "exports": self._exports,
            "placement": self._placement,
            "shown": self._shown,
            "events": self.events.as_json(),
            "served": self._served,
            "gone": {"counts": self._last, "drops": self._drops, "counters": self._counters},
        }
