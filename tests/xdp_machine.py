"""The XDP program over packets that nobody sent: which queue it chose, which rules it counted, which mark it wrote."""

from __future__ import annotations

import functools
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from burstline.errors import BurstlineError
from burstline.packet.packet import Packet
from burstline.packet.parser import LINK_ETHERNET, parse_levels
from burstline.steering.director import SoftwareDirector
from burstline.steering.xdp.layout import META_MAGIC, META_SIZE
from burstline.steering.xdp.table import XdpTable

QUEUES = 4
SHORTEST = 14  # the kernel has no program run on less than an Ethernet header


def packet(data: bytes) -> Packet:
    return Packet(bytearray(data), len(data), 0, 0, parse_levels(data, len(data), LINK_ETHERNET))


@functools.cache
def why_not() -> str:
    """Why this machine runs no XDP programs, or nothing."""
    try:
        XdpTable(1, flows=1).close()
    except BurstlineError as error:
        release = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
        return str(error) if "may not" in error.message or release < (5, 18) else ""
    return ""


@dataclass
class Machine:
    table: XdpTable
    director: SoftwareDirector

    def steer(self, data: bytes) -> tuple[int, int]:
        """The queue that a packet was counted in, -1 where it was dropped, and its mark."""
        before = self.table.queue_counts()
        ran = self.table.program.run(data)
        after = self.table.queue_counts()
        grown = [k for k, (old, new) in enumerate(zip(before, after, strict=True)) if new != old]
        assert len(grown) == 1, "one packet is counted once"
        queue = grown[0]
        assert after[queue] == (before[queue][0] + 1, before[queue][1] + len(data))
        assert ran.action == (1 if queue == self.table.queues else 2)
        extra = len(ran.data) - len(data)
        assert ran.data[extra:] == data and extra in (0, META_SIZE)
        mark, magic = struct.unpack("<II", ran.data[:extra]) if extra else (0, META_MAGIC)
        assert magic == META_MAGIC
        return -1 if queue == self.table.queues else queue, mark


@contextmanager
def machine(**more: Any) -> Iterator[Machine]:
    if why := why_not():
        pytest.skip(why)
    table = XdpTable(QUEUES, **more)
    try:
        yield Machine(table, SoftwareDirector(table))
    finally:
        table.close()
