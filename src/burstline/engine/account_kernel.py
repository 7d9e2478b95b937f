"""Counting verdicts: every packet that came in is consumed, sent, or dropped for a reason."""

from __future__ import annotations

from burstline.engine.worker import TALLY, Worker
from burstline.native.memory import load64, store64
from burstline.pipeline.verdict import CONSUMED, DROPPED, KIND_BITS, KIND_MASK


def count_out(worker: Worker, length: int) -> None:
    worker.packets_out += 1
    worker.bytes_out += length


def count_consumed(worker: Worker, length: int) -> None:
    worker.consumed += 1
    worker.bytes_consumed += length


def count_drop(worker: Worker, reason: int, length: int) -> None:
    tally = worker.tallies + reason * TALLY
    store64(tally, load64(tally) + 1)
    store64(tally + 8, load64(tally + 8) + length)


def count_verdict(worker: Worker, verdict: int, length: int) -> None:
    """A verdict where all that is sent goes to one place, if there is one."""
    kind = verdict & KIND_MASK
    if kind == DROPPED:
        count_drop(worker, verdict >> KIND_BITS, length)
    elif kind == CONSUMED or worker.has_sink == 0:
        count_consumed(worker, length)
    else:
        count_out(worker, length)
