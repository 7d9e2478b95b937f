"""The one stage of the software director."""

from __future__ import annotations

from typing import Any

from burstline.pipeline.stage import Stage, stage
from burstline.pipeline.verdict import Verdict, drop, send
from burstline.state.steering_table import SteeringTable

DROPPED = drop("steering rule")


def direct_stage(table: SteeringTable, ports: int, workers: int) -> Stage:
    """From port p to the worker that `table` says, by number `ports + p * workers + worker`; from there back to p."""

    @stage
    def direct(pkt: Any) -> Verdict | None:
        if pkt.port >= ports:
            return send((pkt.port - ports) // workers)
        queue = table.queue(pkt)
        if queue < 0:
            return DROPPED
        pkt.mark = table.mark(pkt)
        return send(ports + pkt.port * workers + queue)

    return direct
