"""Reading what runs publish (stats_layout): from another process, without any help of theirs."""

from __future__ import annotations

import json
import mmap
import os
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burstline.engine.report import Count
from burstline.engine.stats_file import clean, directories, is_abandoned
from burstline.engine.stats_layout import (
    COUNTS,
    DIRECTORY_AT,
    ENDED_AT,
    GENERATION_AT,
    HEAD_SIZE,
    LAYOUT,
    LAYOUT_AT,
    LINE,
    MAGIC,
    SUFFIX,
    lines,
)
from burstline.errors import BurstlineError

PATIENCE = 5.0  # seconds in which a whole reading must succeed: a swap may come in between, not always


@dataclass
class WorkerCounts:
    """One worker at one moment, between two bursts."""

    core: int
    clock: float = 0.0  # seconds, CLOCK_MONOTONIC; 0 when it has not begun
    received: Count = field(default_factory=Count)
    sent: Count = field(default_factory=Count)
    consumed: Count = field(default_factory=Count)
    made: int = 0  # packets, by stages
    drops: dict[str, Count] = field(default_factory=dict)
    counters: dict[int, int] = field(default_factory=dict)

    def count(self, words: Sequence[int]) -> None:
        """From the first line of a snapshot."""
        counts = dict(zip(COUNTS, words, strict=False))
        self.clock = counts["clock"] / 1e9
        self.received = Count(counts["packets_in"], counts["bytes_in"])
        self.sent = Count(counts["packets_out"], counts["bytes_out"])
        self.consumed = Count(counts["consumed"], counts["bytes_consumed"])
        self.made = counts["made"]

    @property
    def dropped(self) -> Count:
        return sum(self.drops.values(), Count())


@dataclass
class Reading:
    """What a run has counted."""

    directory: Mapping[str, Any]
    ended: bool
    workers: list[WorkerCounts]
    names: dict[int, str]  # of the counters that the newest version of the pipeline has, by identity


class Torn(Exception):
    """The writer was at it; read again."""


class RunFile:
    """A run's file, mapped to be read. Raises BurstlineError for one of another layout."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        self._map: mmap.mmap | None = None
        try:
            head = os.pread(self._descriptor, HEAD_SIZE, 0)
            if head[: len(MAGIC)] != MAGIC or len(head) < HEAD_SIZE:
                raise BurstlineError(f"{path} holds no statistics", "remove it, if nothing needs it")
            layout = _word(head, LAYOUT_AT)
            if layout != LAYOUT:
                raise BurstlineError(
                    f"{path} has layout {layout}, not {LAYOUT}: another version of burstline wrote it",
                    "use the `burstline stats` of that version",
                )
        except BaseException:
            self.close()
            raise

    @property
    def is_abandoned(self) -> bool:
        """Its process is gone without having ended the run."""
        return is_abandoned(self._descriptor)

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
        os.close(self._descriptor)

    def read(self) -> Reading:
        """All workers' counts; each worker's are of one moment, and whole."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._read()
            except Torn:
                if time.monotonic() > deadline:
                    raise BurstlineError(f"{self.path} changes all the time", "swap the pipeline less often") from None

    def _read(self) -> Reading:
        memory = self._mapped()
        generation = _word(memory, GENERATION_AT)
        if generation == 0:
            raise Torn
        offset, length = struct.unpack_from("=qq", memory, DIRECTORY_AT[generation & 1])
        text = bytes(memory[offset : offset + length])
        self._unchanged(memory, generation)
        if len(text) < length:
            raise Torn
        ended = _word(memory, ENDED_AT) != 0
        directory = json.loads(text)
        workers = [self._worker(memory, directory, k) for k in range(len(directory["cores"]))]
        self._unchanged(memory, generation)
        newest = directory["versions"][-1:]  # none when there was no room for it
        names = {identity: name for version in newest for identity, name in version["counters"]}
        return Reading(directory, ended, workers, names)

    def _worker(self, memory: mmap.mmap, directory: Mapping[str, Any], worker: int) -> WorkerCounts:
        """Newest version first: when that one has begun, the ones before have their last word said."""
        found = WorkerCounts(directory["cores"][worker])
        for version in reversed(directory["versions"]):
            words = self._snapshot(memory, version["areas"][worker], version["snapshot"])
            if words is None:
                continue
            if not found.clock:
                found.count(words)
            drops, reasons = words[LINE // 8 :], version["reasons"]
            for number, reason in enumerate(reasons):
                _add_drop(found.drops, reason, drops[2 * number], drops[2 * number + 1])
            counters = drops[lines(2 * len(reasons)) * LINE // 8 :]
            for (identity, _), value in zip(version["counters"], counters, strict=False):
                found.counters[identity] = found.counters.get(identity, 0) + value
        gone = directory["gone"]
        if not found.clock and gone["counts"]:
            found.count(gone["counts"][worker])
        for reason, shares in gone["drops"].items():
            _add_drop(found.drops, reason, *shares[worker])
        for identity, values in gone["counters"].items():
            found.counters[int(identity)] = found.counters.get(int(identity), 0) + values[worker]
        return found

    def _snapshot(self, memory: mmap.mmap, area: int, size: int) -> tuple[int, ...] | None:
        """The last whole one, as words; None before the first."""
        for _ in range(1000):
            number = _word(memory, area)
            if number == 0:
                return None
            at = area + LINE + (number & 1) * size
            copy = memory[at : at + size]
            if len(copy) < size:
                raise Torn
            if _word(memory, area) == number:
                return struct.unpack(f"={size // 8}q", copy)
        raise Torn

    def _mapped(self) -> mmap.mmap:
        if self._map is None or len(self._map) < os.fstat(self._descriptor).st_size:  # it grows when there are swaps
            self._map = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
        return self._map

    def _unchanged(self, memory: mmap.mmap, generation: int) -> None:
        if _word(memory, GENERATION_AT) != generation:
            raise Torn


def open_runs(which: str | None = None) -> list[RunFile]:
    """The runs that go on: all, or those of a process or an application. Files that killed ones left are removed.
    Raises BurstlineError when there is none."""
    found: list[RunFile] = []
    others: list[str] = []
    for run in _living():
        directory = run.read().directory
        if which is None or is_meant(which, directory):
            found.append(run)
        else:
            others.append(f"{directory['app']} ({directory['pid']})")
            run.close()
    if found:
        return found
    if which is None:
        raise BurstlineError(
            "no pipeline is running", "`burstline run APP SOURCE` can be read while it runs, by its user and by root"
        )
    known = f"running: {', '.join(others)}" if others else "nothing is running"
    raise BurstlineError(f"no running pipeline is called {which}", known)


def is_meant(which: str, directory: Mapping[str, Any]) -> bool:
    """By process, by the application as it was started, or by its file's name."""
    app = str(directory["app"])
    file = app.partition(".py:")[0].removesuffix(".py")
    return which in (str(directory["pid"]), app, Path(app).name, file, Path(file).name)


def _living() -> Iterator[RunFile]:
    for place in directories():
        clean(place)
        for path in sorted(place.glob(f"*{SUFFIX}")):
            with suppress(FileNotFoundError, PermissionError):  # it has just ended; it is not for us
                run = RunFile(path)
                if not run.is_abandoned:  # by one who may not remove it
                    yield run


def _add_drop(drops: dict[str, Count], reason: str, packets: int, octets: int) -> None:
    if packets:
        drops[reason] = drops.get(reason, Count()) + Count(packets, octets)


def _word(memory: bytes | mmap.mmap, at: int) -> int:
    if at + 8 > len(memory):
        raise Torn  # it has grown since it was mapped
    return int(struct.unpack_from("=q", memory, at)[0])
