"""The thread that writes what workers put on their tapes: it may wait for a disk, they need not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from burstline.native.kernel import Kernel
from burstline.ports.capture_files import CaptureFiles
from burstline.ports.pcapng_blocks import InterfaceCounts
from burstline.ports.tape import LARGEST_RECORD, Tape, address_of
from burstline.state.region import Region

NAP = 0.002  # seconds without a packet
LOOK = 0.1  # seconds between two looks at what ports have missed
PIECE = 4 << 20  # bytes at once: they are counted while in the cache, and soon the worker's again
WALKS = {
    form: Kernel(f"burstline.ports.tape_walk_kernel:walk_{form}", int, int, int, int) for form in ("pcapng", "pcap")
}
Received = Callable[[], Sequence[tuple[int, int]]]


class TapeWriter:
    """`received()` tells of each port what came and what it missed; `failed` is called when nothing can be written any
    more. In a `with` statement: behind it all is in files, or the error is raised."""

    def __init__(
        self, tapes: Sequence[Tape], files: CaptureFiles, received: Received, failed: Callable[[], None]
    ) -> None:
        self._tapes, self.files, self._received, self._failed = tapes, files, received, failed
        self._walk = WALKS[files.format]
        self._ports = len(tapes[0].lost())
        self._sums = Region(16 * self._ports)  # packets and bytes that were walked over, by port
        self._before = [InterfaceCounts()] * self._ports  # all counts, when this file began
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._write, name="capture")
        self.most = 0  # bytes that ever waited

    @property
    def kept(self) -> tuple[int, int]:
        """Packets, and their bytes on the wire, in files."""
        return sum(packets for packets, _ in self.files.kept), sum(size for _, size in self.files.kept)

    @property
    def lost(self) -> int:
        """Packets for which there was no room."""
        return sum(sum(tape.lost()) for tape in self._tapes)

    def __enter__(self) -> TapeWriter:
        self._walk.load()
        self.files.open()
        self._thread.start()
        return self

    def __exit__(self, *what: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _write(self) -> None:
        looked = 0.0
        try:
            while True:
                ending = self._ended.is_set()
                found = [self._some(tape) for tape in self._tapes]
                now = time.monotonic()
                if now - looked > LOOK or ending:
                    looked = now
                    self._note(self._now())
                if self.files.is_due:
                    self._begin_anew()
                if not any(found):
                    if ending:
                        break
                    self._ended.wait(NAP)
            self._note(self._now())
            self.files.close()
        except Exception as error:  # whatever it is: workers would go on, and nobody would write
            self._failure = error
            self.files.abandon()
            self._failed()

    def _some(self, tape: Tape) -> int:
        """Write a piece of what waits on a tape; its size."""
        self.most = max(self.most, tape.waiting)
        piece = tape.take()
        if not piece:
            return 0
        address = address_of(piece)
        room = self.files.room
        size = self._walk(address, len(piece), min(room, PIECE), self._sums.address)
        if size == 0:  # no packet fits into the file any more
            self._begin_anew()
            size = self._walk(address, len(piece), min(self.files.room, PIECE), self._sums.address)
        if size == 0:  # the first one fits into no file: it has one of its own
            size = self._walk(address, 1, LARGEST_RECORD, self._sums.address)
        self.files.write(piece[:size], [self._pair(port) for port in range(self._ports)])
        tape.done(size)
        return size

    def _pair(self, port: int) -> tuple[int, int]:
        return self._sums.i64(16 * port), self._sums.i64(16 * port + 8)

    def _now(self) -> list[InterfaceCounts]:
        """Of the whole capture."""
        lost = [sum(each) for each in zip(*(tape.lost() for tape in self._tapes), strict=True)]
        return [
            InterfaceCounts(received, missed, gone, packets)
            for (received, missed), gone, (packets, _) in zip(self._received(), lost, self.files.given, strict=True)
        ]

    def _note(self, now: Sequence[InterfaceCounts]) -> None:
        self.files.note([_since(each, before) for each, before in zip(now, self._before, strict=True)])

    def _begin_anew(self) -> None:
        now = self._now()  # once: what comes meanwhile is of the next file
        self._note(now)
        self._before = now
        self.files.close()
        self.files.open()


def _since(now: InterfaceCounts, before: InterfaceCounts) -> InterfaceCounts:
    return replace(
        now,
        received=now.received - before.received, missed=now.missed - before.missed,
        lost=now.lost - before.lost, written=now.written - before.written,
    )  # fmt: skip
