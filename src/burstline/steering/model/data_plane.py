"""`DataPlane`: the NIC in software in compiled code, by the table that the model has in force."""

from __future__ import annotations

import ctypes
import struct
import threading
from typing import Literal

from burstline.state.published import Published
from burstline.state.region import Block, Region
from burstline.steering.model.lookup import NO_MARK, Builder, Lookup
from burstline.steering.model.nic import NicModel
from burstline.steering.model.pump import BURST, Decided, Pump, decide, pump
from burstline.steering.model.row import SIZE
from burstline.steering.model.table import Decision

NAMES = ("row", "mbufs", "outbound", "waiting", "put", "missed", "tpids")  # of rooms for compiled code


class DataPlane:
    """It does what the model has in force when `follow` is called: that is to be after calls that change the model, and
    when changes become due (`NicModel.next_change`). One thread has it work; compiled code reads what others publish,
    without a lock."""

    def __init__(self, model: NicModel) -> None:
        self.model = model
        self._following = threading.Lock()
        self._built = Published[Lookup]()
        self._builder = Builder(model.personality)
        self._built.begin(self._builder.build(model.table()))
        queues, tpids = model.queues, model.personality.tpids
        self._rooms = [Region(size) for size in (SIZE, 8 * (2 * BURST + 1), 8 * BURST * queues, *[8 * queues] * 3, 64)]
        self._rooms[6].write(0, struct.pack(f"<{1 + len(tpids)}H", len(tpids), *tpids))
        self.context = Block(Pump.layout)
        self.context.set(wire=-1, stamp=-1, queues=queues, tables=self._built.last.address)
        self.context.set(**{name: room.address for name, room in zip(NAMES, self._rooms, strict=True)})
        self._decided = Block(Decided.layout)

    def follow(self) -> bool:
        """Publish what the model has in force now; whether that is another table than before."""
        with self._following:
            table = self.model.table()
            if table.version == self._built.last.version:
                return False
            self._built.publish(self._builder.build(table), [self.context])
            return True

    @property
    def is_read(self) -> bool:
        """Whether compiled code has begun a burst with the table that was published last."""
        return self.context.get("reading") == self._built.last.address

    def work(self, most: int) -> int:
        """Move up to `most` packets of the wire, and all that was sent; returns how many moved, either way."""
        return pump(self.context.address, most)

    def classify(self, packet: bytes) -> Decision:
        """As `NicModel.classify`, but for the handle, which compiled code does not know."""
        self.follow()
        held = ctypes.create_string_buffer(packet, len(packet) + 1)
        decide(self.context.address, ctypes.addressof(held), len(packet), self._decided.address)
        queue, mark, hashed = (self._decided.get(name) for name in ("queue", "mark", "hash"))
        return Decision(None if queue < 0 else queue, None if mark == NO_MARK else mark, 0, hashed)

    def load(self) -> None:
        """Compile, or take from the cache, what `work` runs."""
        pump.load()

    def of_queues(self, name: Literal["waiting", "put", "missed"]) -> list[int]:
        """Packets, by queue."""
        room = self._rooms[NAMES.index(name)]
        return [room.i64(8 * queue) for queue in range(self.model.queues)]

    def waits(self, queue: int, place: int) -> int:
        """An mbuf that waits to be put into a queue."""
        return self._rooms[NAMES.index("outbound")].i64(8 * (BURST * queue + place))
