"""Probes of memory: NUMA nodes, hugepages and where they are mounted, transparent hugepages, what may be locked."""

from __future__ import annotations

import re
from pathlib import Path

from burstline.engine.probes.finding import Finding, count, no, read, size, unknown, yes
from burstline.engine.probes.privilege import holds

WANTED_KIB = 1 << 20  # 1 GiB of hugepages: enough for several ports
_LOCK_KIB = 64 << 10  # a small pool of packets fits into this
_THP = "sys/kernel/mm/transparent_hugepage/enabled"


def numa(root: Path) -> Finding:
    nodes = nodes_in(root)
    if not nodes:
        return unknown("the kernel shows no NUMA nodes")
    facts, texts = {}, []
    for number, node in nodes.items():
        cpus = read(node / "cpulist")
        total = re.search(r"MemTotal:\s+(\d+) kB", read(node / "meminfo"))
        kib = int(total[1]) if total else 0
        facts[number] = {"cores": cpus, "kib": kib}
        texts.append(f"node {number}: {f'cores {cpus}' if cpus else 'no cores'}, {size(kib)}")
    return yes(f"{count(len(nodes), 'node')} ({'; '.join(texts)})", nodes=facts)


def hugepages(root: Path) -> Finding:
    """Pages of every size, in all and by node (Documentation/admin-guide/mm/hugetlbpage.rst)."""
    pools = pools_in(root / "sys/kernel/mm/hugepages")
    if not pools:
        return unknown("the kernel was built without hugepages, or hides them")
    by_node = {number: pools_in(node / "hugepages") for number, node in nodes_in(root).items()}
    texts = []
    for kib, (total, free) in pools.items():
        nodes = [f"node {number}: {node[kib][1]}" for number, node in by_node.items() if kib in node]
        where = f" ({', '.join(nodes)})" if len(nodes) > 1 else ""
        texts.append(f"{free} of {total} of {size(kib)} free{where}" if total else f"none of {size(kib)}")
    facts = {
        "kib": {kib: {"total": total, "free": free} for kib, (total, free) in pools.items()},
        "nodes": {
            number: {kib: {"total": t, "free": f} for kib, (t, f) in node.items()} for number, node in by_node.items()
        },
    }
    if any(free for _, free in pools.values()):
        return yes("; ".join(texts), **facts)
    reserved = max(total for total, _ in pools.values())
    why = "all in use" if reserved else "none reserved: live ports run without them, by --no-huge"
    return no(f"{why} ({'; '.join(texts)})", reserve(root, pools), **facts)


def reserve(root: Path, pools: dict[int, tuple[int, int]]) -> str:
    """The command that reserves hugepages, beyond those that are there and in use."""
    default = re.search(r"Hugepagesize:\s+(\d+) kB", read(root / "proc/meminfo"))
    kib = 2048 if 2048 in pools else min(pools)
    pages = max(1, WANTED_KIB // kib) + pools[kib][0]
    if default and int(default[1]) == kib:
        return f"echo {pages} > /proc/sys/vm/nr_hugepages"
    return f"echo {pages} > /sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages"


def hugetlbfs(root: Path) -> Finding:
    lines = [line.split() for line in read(root / "proc/mounts").splitlines()]
    places = [fields[1].replace("\\040", " ") for fields in lines if len(fields) > 2 and fields[2] == "hugetlbfs"]
    if places:
        return yes(f"mounted on {', '.join(places)}", mounts=places)
    return no(
        "not mounted: EAL reaches hugepages only by --in-memory",
        "mkdir -p /dev/hugepages && mount -t hugetlbfs nodev /dev/hugepages",
    )


def transparent(root: Path) -> Finding:
    chosen = re.search(r"\[(\w+)\]", read(root / _THP))
    if chosen is None:
        return unknown(f"/{_THP} does not say")
    if chosen[1] == "never":
        return no("switched off: tables of flows miss the TLB more often", f"echo madvise > /{_THP}", mode="never")
    return yes(f"{chosen[1]}: tables of flows may use them", mode=chosen[1])


def locked(root: Path) -> Finding:
    """RLIMIT_MEMLOCK bounds AF_XDP's packet memory and what VFIO pins, except with CAP_IPC_LOCK."""
    limit = re.search(r"Max locked memory\s+(\w+)", read(root / "proc/self/limits"))
    if limit is None:
        return unknown("/proc/self/limits does not say")
    if limit[1] == "unlimited":
        return yes("no limit")
    kib = int(limit[1]) >> 10
    if holds(root, "CAP_IPC_LOCK"):
        return yes(f"{size(kib)}, but CAP_IPC_LOCK lifts the limit", kib=kib)
    if kib >= _LOCK_KIB:
        return yes(f"up to {size(kib)}", kib=kib)
    mend = "echo '* - memlock unlimited' > /etc/security/limits.d/burstline.conf"
    return no(
        f"only {size(kib)}, too little for AF_XDP and VFIO; a new limit counts from the next login on", mend, kib=kib
    )


def nodes_in(root: Path) -> dict[int, Path]:
    """The directories of the NUMA nodes, by number."""
    places = (root / "sys/devices/system/node").glob("node[0-9]*")
    return dict(sorted((int(place.name.removeprefix("node")), place) for place in places))


def pools_in(place: Path) -> dict[int, tuple[int, int]]:
    """Size of page in KiB -> (pages in all, pages free)."""
    found = {}
    for pool in place.glob("hugepages-*kB"):
        kib = int(pool.name.removeprefix("hugepages-").removesuffix("kB"))
        found[kib] = (int(read(pool / "nr_hugepages")), int(read(pool / "free_hugepages")))
    return dict(sorted(found.items()))
