"""Where a process has its memory, as the kernel tells: /proc/PID/numa_maps and maps (proc_pid_numa_maps(5))."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def pages_of(pid: int, ranges: Iterable[tuple[int, int]]) -> Counter[int]:
    """Pages by node of all mappings that some of the ranges lie in. Mappings differ where their policies do."""
    ends = {}
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        ends[start] = end
    found: Counter[int] = Counter()
    wanted = [(start, start + size) for start, size in ranges]
    for line in Path(f"/proc/{pid}/numa_maps").read_text().splitlines():
        start = int(line.split()[0], 16)
        if any(low < ends.get(start, 0) and high > start for low, high in wanted):
            for node, pages in re.findall(r" N(\d+)=(\d+)", line):
                found[int(node)] += int(pages)
    return found


def cpus_of(pid: int, tid: int) -> str:
    """Cpus_allowed_list of a thread (proc_pid_status(5))."""
    text = Path(f"/proc/{pid}/task/{tid}/status").read_text()
    found = re.search(r"Cpus_allowed_list:\s*(\S+)", text)
    assert found
    return found[1]
