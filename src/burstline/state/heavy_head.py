"""The memory of a heavy-hitter sketch: a head, tags and counts of flows in sets, and a ring of keys.

Flows of a set share three cache lines: of tags, of counts in this window, and of counts in the one before.
"""

from __future__ import annotations

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.packet.flow_key import KEY_SIZE
from burstline.state.region import Region

LINE, WAYS = 64, 16  # bytes of a line; flows of a set, 32 bits each in a line
ENTRY = 8 + KEY_SIZE  # bytes of an entry of the ring: hash and key of a flow
CHUNK = 64  # packets that are added at once
MOST_ADDED = (1 << 20) - 1  # for a packet
MOST_TOTAL = (1 << 30) - CHUNK * MOST_ADDED  # a window's counts, so that the sum of two times 32 bits fits a word
MOST_COUNT = 1 << 30  # with which a flow is admitted
MOST_TIME = 1 << 62  # ns; later packets come then
STAGGER = 16 * LINE  # parts begin at different places of a page: a load that looks like one of a store's waits for it


class HeavyHead(Struct):
    """One worker's. Places are addresses; times are ns."""

    end: i64  # of this window, a multiple of `window`
    window: i64  # how long windows are
    turns: i64  # windows that ended
    time: i64  # of the packets that came last
    total: i64  # all that was added in this one
    shift: i64  # a hash, without so many of its low bits, is the number of its set
    tags: i64  # 32 low bits of hashes
    counts: i64  # of this window
    before: i64  # of the one before; both change places when a window ends
    levels: i64  # 32 bits a set: no flow of it has less in both windows together
    chance: i64  # state of the random numbers
    least: i64  # a flow is listed when its count reaches this, a power of two
    target: i64  # `least` doubles after so many listings in a window, and halves after a window with less than half
    listed: i64  # entries ever written to the ring
    listed_before: i64  # of them, before this window
    doubled: i64  # of them, when `least` was doubled last, or the window began
    ring: i64
    ring_mask: i64  # its number of entries, a power of two, less 1


def places(flows: int, ring: int) -> dict[str, int]:
    """Offsets of what follows the head, for so many flows and entries of the ring; and that of the end."""
    sizes = {"tags": 4 * flows, "counts": 4 * flows, "before": 4 * flows, "levels": 4 * flows // WAYS}
    at, found = -(-HeavyHead.layout.size // LINE) * LINE, dict[str, int]()
    for name, size in (*sizes.items(), ("ring", ENTRY * ring)):
        found[name] = at
        at += -(-size // LINE) * LINE + STAGGER
    return found | {"end": at - STAGGER}


class Sketch:
    """The memory of one worker's sketch: `flows` and `ring` (entries) are powers of two; `window` is in ns."""

    def __init__(self, flows: int, ring: int, window: int) -> None:
        self.flows, self.ring, self.sets = flows, ring, flows // WAYS
        self.at = places(flows, ring)
        self.region = Region(self.at["end"])
        self.address = self.region.address
        for name in ("tags", "counts", "before", "levels", "ring"):
            self.set(name, self.address + self.at[name])
        # Different tags in places that are free, so that no flow finds two places that are its own.
        self.region.write(self.at["tags"], b"".join(k.to_bytes(4, "little") for k in range(WAYS)) * self.sets)
        self.set("window", window)
        self.set("shift", 64 - (self.sets.bit_length() - 1))
        self.set("least", 1)
        self.set("target", ring // 2)
        self.set("ring_mask", ring - 1)

    def get(self, field: str) -> int:
        """Of the head."""
        return self.region.i64(HeavyHead.layout.offset(field))

    def set(self, field: str, value: int) -> None:
        self.region.set_i64(HeavyHead.layout.offset(field), value)
