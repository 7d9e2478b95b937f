"""The XDP program of the flow director over one packet; ns a packet in the kernel, less is better.

The kernel runs it (BPF_PROG_TEST_RUN) over each of eight packets in turn, TCP and UDP over IPv4 and IPv6: with no rule,
with wildcards of prefixes, protocol and a range of ports of which none matches, and with 10,000 rules for whole flows,
of which each packet has one. Beside it the same by hand in C (c/xdp_steer.c), which walks its rules as data and looks
at fewer headers. Both must choose the same queues. `rule updates` is rules a second that are put in and taken out.
"""

from __future__ import annotations

import os
import random
import statistics
import struct
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks.harness.install import bpf_object
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

if TYPE_CHECKING:
    from burstline.steering.rule import SteeringRule
    from burstline.steering.xdp.loaded import Loaded
    from burstline.steering.xdp.table import XdpTable

QUEUES, EXACT, UPDATED = 4, 10_000, 20_000
PEER = "C, rules as data"


def run(options: Options) -> Iterator[Row]:
    from burstline.steering.director import SoftwareDirector
    from burstline.steering.xdp.table import XdpTable

    compiled = bpf_object("xdp_steer", options.cache)
    if compiled is None:
        options.lacks("clang, for BPF", "apt-get install clang")
    try:
        table = XdpTable(QUEUES)
    except BurstlineError as error:
        options.fails("XDP", error)
        return
    director, usable = SoftwareDirector(table), os.sched_getaffinity(0)
    runs, repeat = options.runs(9), 2_000 if options.quick else 100_000
    os.sched_setaffinity(0, {measuring_core()})
    try:
        for case, rules in _cases():
            director.apply(rules)
            theirs = _by_hand(compiled.read_bytes(), table, rules) if compiled else None
            sides = [table.program, *([theirs] if theirs else [])]
            if len({tuple(_queue(table, side, data) for data in _packets()) for side in sides}) > 1:
                options.fails(PEER, BurstlineError(f"{case}: it chooses other queues", "mend one of the two"))
                continue
            times = [[_took(side, repeat) for side in sides] for _ in range(runs + 1)][1:]
            ours, *other = (statistics.median(column) for column in zip(*times, strict=True))
            yield Row("xdp", case, PEER if other else None, ours, other[0] if other else None, "ns/packet", runs)
            if theirs:
                theirs.close()
        director.apply([])
        some = [_flow(n, 1) for n in range(UPDATED // 10 if options.quick else UPDATED)]
        yield Row("xdp", "rule updates", None, _updates(director, some), None, "rules/s", 1)
    finally:
        os.sched_setaffinity(0, usable)
        table.close()


def _cases() -> Iterator[tuple[str, list[SteeringRule]]]:
    from burstline.steering.rule import SteeringRule

    yield "no rules", []
    for count in (1, 10, 100):
        wild = [
            SteeringRule(src="10.0.0.0/8", dst=f"172.16.{k}.0/24", proto=("tcp", "udp")[k % 2], dport="1-1023", to=1)
            for k in range(count)
        ]
        yield f"{count} wildcard{'s' * (count > 1)}", wild
    yield f"{EXACT:,} flows", [_flow(n, n % QUEUES) for n in range(EXACT)]


def _flow(n: int, queue: int) -> SteeringRule:
    """The first eight are those of the packets."""
    from burstline.steering.rule import SteeringRule

    version, proto = 6 if n & 2 else 4, ("tcp", "udp")[n & 1]
    ends = (f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", "10.255.0.1")
    if version == 6:
        ends = (f"2001:db8::{n:x}", "2001:db8::ffff:1")
    return SteeringRule(src=ends[0], dst=ends[1], proto=proto, sport=5000, dport=443, to=queue)


def _packets() -> list[bytes]:
    made, chance = [], random.Random(1)
    for rule in (_flow(n, 0) for n in range(8)):
        assert rule.src and rule.dst and rule.proto
        l4 = struct.pack("!HH", 5000, 443) + (bytes(8) + b"\x50\x10" + bytes(6) if rule.proto == 6 else b"\0\x1a\0\0")
        l4 += chance.randbytes(18)
        ends = rule.src.network_address.packed + rule.dst.network_address.packed
        if rule.src.version == 4:
            head = b"\x08\0" + struct.pack("!BBHIBBH", 0x45, 0, 20 + len(l4), 0, 64, rule.proto, 0)
        else:
            head = b"\x86\xdd" + struct.pack("!IHBB", 0x60000000, len(l4), rule.proto, 64)
        made.append(bytes(12) + head + ends + l4)
    return made


def _by_hand(elf: bytes, table: XdpTable, rules: list[SteeringRule]) -> Loaded:
    """The C program over the same maps, with the wildcards in one of its own."""
    from burstline.steering.xdp.loaded import Loaded
    from burstline.steering.xdp.maps import Settings
    from burstline.steering.xdp.object import Place, instructions_of

    rows = b"".join(
        struct.pack(
            "<4I4H2I", int(r.src.network_address), int(r.src.netmask), int(r.dst.network_address), int(r.dst.netmask),
            *(r.sport or (0, 0xFFFF)), *(r.dport or (0, 0xFFFF)), r.proto or 0, 1,
        )
        for r in rules if not r.is_exact and r.src and r.dst
    )  # fmt: skip
    wild = Settings("wild", 4 + 32 * 128)
    try:
        wild.write(0, struct.pack("<I", len(rows) // 32) + rows)
        return Loaded(instructions_of(elf, "xdp", {**table.places(), "wild": Place(wild.fd, is_value=True)}))
    finally:
        wild.close()  # the program holds it


def _queue(table: XdpTable, program: Loaded, data: bytes) -> int:
    before = table.queue_counts()
    program.run(data)
    return next(k for k, pair in enumerate(zip(before, table.queue_counts(), strict=True)) if pair[0] != pair[1])


def _took(program: Loaded, repeat: int) -> float:
    return statistics.mean(program.run(data, repeat).nanoseconds for data in _packets())


def _updates(director: object, rules: list[SteeringRule]) -> float:
    from burstline.steering.director import SoftwareDirector

    assert isinstance(director, SoftwareDirector)
    start = time.perf_counter()
    for handle in [director.add(rule) for rule in rules]:
        director.remove(handle)
    return 2 * len(rules) / (time.perf_counter() - start)
