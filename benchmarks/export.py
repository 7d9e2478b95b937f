"""Flow records to files and collectors, on one core; records a second of CPU time, more is better.

A million records of a flow meter, half of them IPv4 and half IPv6, are written in batches of 65,536: to Parquet, zstd,
in memory; and as IPFIX messages of up to 1,500 bytes to a socket of this host, over UDP and TCP, of which another
process reads all. Beside Parquet is pyarrow, which writes the same columns where they are an Arrow table already, with
addresses as text. Last, `burstline flows` as a process, its start included: packets a second of a generated capture,
to Parquet. Goals: a million records a second to Parquet, 300,000 as IPFIX.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import burstline as bl
from benchmarks.harness.flow_collector import flow_collector
from burstline.cli.bench import Options, Row, alternate
from burstline.errors import BurstlineError

RECORDS, AT_ONCE = 1 << 20, 1 << 16


class Flow(bl.Record):
    first: bl.i64
    last: bl.i64
    packets: bl.u64
    bytes: bl.u64
    packets_back: bl.u64
    bytes_back: bl.u64
    tcp_flags: bl.u8


def run(options: Options) -> Iterator[Row]:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        options.lacks("pyarrow", 'pip install "burstline[arrow]"')
        return
    from burstline.state.address_text import load

    load()
    count, runs = (RECORDS // 16 if options.quick else RECORDS), options.runs(5)
    rows, shape = _rows(count), _shape()
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        path = Path(folder) / "flows.parquet"
        ours, theirs = alternate(lambda: _rate(str(path), shape, rows), lambda: _plain(path, shape, rows), runs)
        yield Row("export", "Parquet", "pyarrow, of an Arrow table", ours, theirs, "records/s", runs)
        yield Row(
            "export", "Arrow stream", None, _median(f"{folder}/f.arrows", shape, rows, runs), None, "records/s", runs
        )
    for kind in ("udp", "tcp"):
        with flow_collector(kind) as listens:
            rate = _median(f"ipfix+{kind}://{listens}", shape, rows, runs)
        yield Row("export", f"IPFIX over {kind.upper()}", None, rate, None, "records/s", runs)
    yield from _meter(options)


def _meter(options: Options) -> Iterator[Row]:
    """`burstline flows` as a process, in packets a second of its CPU time."""
    from burstline.cli.main import main

    packets, runs = (20_000 if options.quick else 2_000_000), options.runs(3)
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        capture = f"{folder}/traffic.pcap"
        with contextlib.redirect_stdout(sys.stderr):
            failed = main(["gen", capture, "--packets", str(packets), "--flows", str(packets // 20)])
        if failed:
            raise BurstlineError("no capture was generated", "make room in memory")
        words = ["-m", "burstline", "flows", capture, "-o", f"{folder}/flows.parquet"]
        rates = [packets / _cpu_time(words) for _ in range(runs + 1)][1:]
        yield Row("export", "burstline flows, to Parquet", None, statistics.median(rates), None, "packets/s", runs)


def _cpu_time(words: list[str]) -> float:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _median(spelled: str, shape: Any, rows: Any, runs: int) -> float:
    return statistics.median([_rate(spelled, shape, rows) for _ in range(runs + 1)][1:])


def _rate(spelled: str, shape: Any, rows: Any) -> float:
    """Of the exporter alone, without its thread."""
    from burstline.export.exporter import exporter_of
    from burstline.export.spelling import target

    exporter = exporter_of(target(spelled))

    def work() -> None:
        exporter.prepare()
        exporter.open(shape)
        for at in range(0, len(rows), AT_ONCE):
            exporter.write(rows[at : at + AT_ONCE])
        exporter.close()

    seconds = _cpu(work)
    if exporter.exported != len(rows):
        raise BurstlineError(f"{spelled}: {len(rows) - exporter.exported:,} records are missing", "mend that")
    return len(rows) / seconds


def _plain(path: Path, shape: Any, rows: Any) -> float:
    from pyarrow import parquet

    from burstline.export.formats import GROUP, REPEATING

    table = shape.arrow(rows)
    names = [name for name in table.column_names if name in REPEATING]
    return len(rows) / _cpu(lambda: parquet.write_table(
        table, path, compression="zstd", compression_level=1, use_dictionary=names, row_group_size=GROUP))  # fmt: skip


def _cpu(work: Callable[[], Any]) -> float:
    """Seconds of all threads of this process: others may have the cores meanwhile."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _shape() -> Any:
    return bl.FlowTable(Flow, 1000, both_ways=True).exports.shape


def _rows(count: int) -> Any:
    """As flows are: addresses of few networks, sizes by a heavy tail, times one behind the other."""
    import numpy as np

    random = np.random.default_rng(1)
    rows = np.zeros(count, _shape().dtype)
    rows["version"], rows["protocol"] = random.choice((4, 6), count), random.choice((6, 17), count)
    rows["src"][:, :4], rows["dst"][:, :4] = (10, 0, 0, 0), (32, 1, 13, 184)
    for end in ("src", "dst"):
        rows[end][:, 2:4] = random.integers(0, 256, (count, 2), "u1")
        rows[end][:, 14:] = random.integers(0, 256, (count, 2), "u1") * (rows["version"] == 6)[:, None]
    rows["sport"], rows["dport"] = random.integers(1024, 65536, count), random.choice((443, 80, 53), count)
    rows["first"] = 1_700_000_000_000_000_000 + np.arange(count) * 10_000
    rows["last"] = rows["first"] + random.integers(0, 10**10, count)
    for name in ("packets", "packets_back"):
        rows[name] = np.minimum(random.pareto(1.1, count) + 1, 1e6)
        rows[name.replace("packets", "bytes")] = rows[name] * random.integers(60, 1500, count)
    rows["tcp_flags"], rows["reason"] = 0x1B, b"idle"
    return rows
