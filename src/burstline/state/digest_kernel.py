"""The compiled half of a digest ring."""

from __future__ import annotations

from burstline.native.memory import clear, load_acquire, store_release
from burstline.state.digest import DigestHead

TAIL, HEAD = DigestHead.layout.offset("tail"), DigestHead.layout.offset("head")


def digest_new(digest: DigestHead, address: int, stride: int) -> int:
    """The next free record, cleared; the spare one when the ring is full."""
    if digest.pending - load_acquire(address + TAIL) > digest.mask:
        digest.lost += 1
        return digest.spare
    record = digest.ring + (digest.pending & digest.mask) * stride
    digest.pending += 1
    clear(record, stride)
    return record


def digest_publish(digest: DigestHead, address: int) -> None:
    """At the end of a burst: the reader may have what the stages wrote."""
    store_release(address + HEAD, digest.pending)


def digest_room(digest: DigestHead, address: int) -> int:
    """Whether at least half of the ring is free: 0 or 1."""
    return 1 if 2 * (digest.pending - load_acquire(address + TAIL)) <= digest.mask + 1 else 0
