"""Counting verdicts: every packet that came in is consumed, sent, or dropped for a reason."""

from __future__ import annotations

from burstline.engine.worker import TALLY, Worker
from burstline.native.memory import load64, store64


def count_out(worker: Worker, length: int) -> None:
    worker.packets_out += 1
    worker.bytes_out += length


def count_consumed(worker: Worker, length: int) -> None:
    worker.consumed += 1
    worker.bytes_consumed += length


def count_drop(worker: Worker, reason: int, length: int) -> None:
    count_drops(worker, reason, 1, length)


def count_drops(worker: Worker, reason: int, packets: int, length: int) -> None:
    """So many packets, of so many bytes together."""
    tally = worker.tallies + reason * TALLY
    store64(tally, load64(tally) + packets)
    store64(tally + 8, load64(tally + 8) + length)


def count_passed(worker: Worker, packets: int, length: int) -> None:
    """Packets of a burst that are sent to the sink, or that came through where there is none; and their bytes."""
    if worker.has_sink == 0:
        worker.consumed += packets
        worker.bytes_consumed += length
    else:
        worker.packets_out += packets
        worker.bytes_out += length
