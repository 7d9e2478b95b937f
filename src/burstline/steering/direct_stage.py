"""The one stage of the software director."""

from __future__ import annotations

from typing import Any

from burstline.pipeline.stage import Stage, stage
from burstline.pipeline.verdict import Verdict, drop, send
from burstline.state.steering_table import SteeringTable

DROPPED = drop("steering rule")


def direct_stage(table: SteeringTable, ports: int, workers: int, queues: int = 1) -> Stage:
    """Queue q of port p is polled as number `p * queues + q`. From there to the worker that `table` says, by number
    `ports * queues + p * workers + worker`; from there back to p, by its queue 0."""
    inner = ports * queues

    @stage
    def direct(pkt: Any) -> Verdict | None:
        if pkt.port >= inner:
            return send((pkt.port - inner) // workers * queues)
        queue = table.queue(pkt)
        if queue < 0:
            return DROPPED
        pkt.mark = table.mark(pkt)
        return send(inner + pkt.port // queues * workers + queue)

    return direct
