"""Filters; ns a packet, less is better.

Five-tuple rules (`RuleSet`, the first match) over 2**20 tuples that do not repeat, on one core; nine in ten tuples lie
within a rule that is drawn at random. 1, 8 and 32 rules beside C of the same rules, with early exits (c/rules.c). 100,
1,000 and 10,000 rules beside DPDK's ACL library at its widest vectors (c/acl.c). Rules are in the manner of ClassBench;
all sides read the same tuples, and must find the same rules.

Then `burstline filter` beside `tcpdump -r IN -w OUT` with the same expressions, over a capture of a million packets,
from file to file: both as processes, less the time that each takes over an empty file; outputs are compared.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator

from benchmarks.harness.install import shared_library
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

PACKETS, SEED = 1 << 20, 7
FEW, MANY = (1, 8, 32), (100, 1_000, 10_000)


def run(options: Options) -> Iterator[Row]:
    import numpy as np

    from benchmarks.harness.filter_files import rows
    from benchmarks.harness.rule_loop import Acl, ours, scalar_c
    from benchmarks.harness.rules import make_rules, make_tuples

    packets, runs = PACKETS // 16 if options.quick else PACKETS, options.runs(9)
    core = measuring_core()
    c = shared_library("rules", options.cache)
    acl_library = shared_library("acl", options.cache, needs="libdpdk")
    if c is None:
        options.lacks("C", "apt-get install clang")
    if acl_library is None:
        options.lacks("rte_acl", "apt-get install clang libdpdk-dev pkg-config")
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        acl = Acl(acl_library, core) if acl_library else None
        if acl and not acl.huge:
            options.say("filter: rte_acl has no huge pages; echo 1024 > /proc/sys/vm/nr_hugepages gives it some")
        for count in (*FEW, *MANY):
            if (c if count in FEW else acl) is None:
                continue
            rules = make_rules(count, SEED)
            tuples = make_tuples(rules, packets, SEED + 1)
            found, other = np.zeros(packets, "u4"), np.zeros(packets, "u4")
            one = ours(rules, tuples, found)
            if count in FEW:
                assert c is not None
                two, peer, add = scalar_c(c, rules, tuples, other), "C", 0
            else:
                assert acl is not None
                two, add = acl.run_of(rules, tuples, other), 1
                peer = acl.name
            one(), two()
            case = f"{count:,} rule{'' if count == 1 else 's'}"
            if not np.array_equal(found + np.uint32(add), other):
                options.fails(case, BurstlineError(f"{peer} finds other rules", "mend one of the two"))
                continue
            pairs = [(one(), two()) for _ in range(runs + 1)][1:]
            a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
            yield Row("filter", case, peer, a, b, "ns/packet", runs)
    finally:
        os.sched_setaffinity(0, usable)
    yield from rows(options)
