"""Capture files filtered from file to file, beside `tcpdump -r IN -w OUT` with the same expression.

Both run on one core as processes of their own, in turns, from a warm file to another one in the same directory; what
counts is the time of the whole process less that of one that filters a file without packets, so that neither start-up
nor compilation counts. Both outputs must hold the same packets, in the same order, with the same times.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import captures, engine
from benchmarks.harness.process import measuring_core, output
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError
from burstline.ports.capture_reader import read_capture

FULL, QUICK = (1_000_000, 10_000), (20_000, 500)
FILTERS = (
    "tcp port 443",
    "tcp and (dst net 10.0.0.0/9 or src net 10.0.0.0/9) and tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "udp and dst portrange 1-100",
    "ip[0] & 0xf != 5 or vlan",
    "icmp and icmp[icmptype] = icmp-unreach",
)


def rows(options: Options) -> Iterator[Row]:
    tcpdump = shutil.which("tcpdump") or shutil.which("tcpdump", path="/usr/sbin:/sbin")
    if tcpdump is None:
        options.lacks("tcpdump", "apt-get install tcpdump")
        return
    packets, flows = QUICK if options.quick else FULL
    source = captures.capture(options.cache, packets, flows, options.say)
    empty = captures.first(source, 0)
    ours_out, theirs_out = source.with_name("filtered-ours.pcap"), source.with_name("filtered-theirs.pcap")
    runs = options.runs(7)
    for expression in FILTERS:

        def ours(path: Path, expression: str = expression) -> float:
            return timed(engine.command("filter", expression, path, "-o", ours_out))

        def theirs(path: Path, expression: str = expression) -> float:
            own = ["--nano", "-Z", "root"] if Path(tcpdump).owner() == "root" else ["--nano"]
            return timed([tcpdump, *own, "-r", path, "-w", theirs_out, expression])

        ours(source), theirs(source)
        try:
            kept = same(ours_out, theirs_out)
        except BurstlineError as error:
            options.fails(expression, error)
            continue
        pairs = [(ours(source) - ours(empty), theirs(source) - theirs(empty)) for _ in range(runs)]
        a, b = (statistics.median(column) / packets * 1e9 for column in zip(*pairs, strict=True))
        case = f"{expression} ({100 * kept / packets:.1f} % kept), file to file"
        yield Row("filter", case, "tcpdump", a, b, "ns/packet", runs)
    ours_out.unlink(missing_ok=True)
    theirs_out.unlink(missing_ok=True)


def timed(command: list[str | Path]) -> float:
    started = time.perf_counter()
    output(command, core=measuring_core())
    return time.perf_counter() - started


def same(one: Path, other: Path) -> int:
    """The number of packets of two captures, which must be equal in bytes, lengths, order and times."""
    if one.stat().st_size == other.stat().st_size:
        # Two pcap files of one byte order with nanoseconds: all behind the header is equal, or the packets are not.
        with open(one, "rb") as a, open(other, "rb") as b:
            a.seek(captures._FILE_HEADER), b.seek(captures._FILE_HEADER)
            while (piece := a.read(1 << 20)) == b.read(1 << 20):
                if not piece:
                    with open(one, "rb") as stream:
                        return sum(1 for _ in read_capture(stream, one.name))
    raise BurstlineError(f"{one.name} and {other.name} hold other packets", "mend one of the two filters")
