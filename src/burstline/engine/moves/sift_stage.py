"""The stage whose state a worker asks where flows go. It is never run: what is worked out for bursts ahead is all."""

from __future__ import annotations

from typing import Any

from burstline.pipeline.stage import Stage, stage
from burstline.pipeline.verdict import DROP, Verdict
from burstline.state.steering_table import SteeringTable


def sift_stage(before: SteeringTable, after: SteeringTable) -> Stage:
    """Of the rules before, and those that come."""

    @stage
    def sift(pkt: Any) -> Verdict | None:
        return DROP if before.queue(pkt) != after.queue(pkt) else None

    return sift
