"""Where on this machine a run's workers and ports are."""

from __future__ import annotations

from typing import Any

from burstline.errors import BurstlineError
from burstline.numa.draw_svg import draw_svg
from burstline.numa.find import find_topology
from burstline.view.snapshot import Snapshot


def placing(snap: Snapshot) -> dict[str, Any]:
    """A drawing of the machine with the workers in it, and a row for each worker and each port."""
    machine = find_topology()
    running: dict[int, str] = {}
    for worker in snap.workers:
        running[worker.core] = ", ".join(filter(None, (running.get(worker.core), f"worker {worker.number}")))
    rows = []
    for worker in snap.workers:
        core = next((core for core in machine.cores if worker.core in core.cpus), None)
        rows.append(
            {
                "what": f"worker {worker.number}",
                "cpu": worker.core,
                "core": core.number if core else None,
                "node": core.node if core else None,
                "cache": core.cache if core else None,
            }
        )
    for port in snap.ports:
        node = port["node"] if port["node"] >= 0 else None
        rows.append(
            {"what": port["device"].removeprefix("dpdk:"), "cpu": None, "core": None, "node": node, "cache": None}
        )
    try:
        drawing = draw_svg(machine, running)
    except BurstlineError:  # nodes that nothing is told of how they are joined
        drawing = ""
    return {"name": machine.name, "svg": drawing, "rows": rows}
