"""The program that a run would use, without the run: for `burstline explain`."""

from __future__ import annotations

from burstline.engine.config import Config
from burstline.engine.program import Program, prepare
from burstline.pipeline.pipeline import Pipeline


def preview(pipeline: Pipeline, source: str, config: Config) -> Program:
    """The very object that `burstline run` runs with one worker and no sink; `source` is pcap, pcapng or ports."""
    dispatch, ports = config.engine.dispatch, config.parser.tunnel_ports
    if source == "ports":
        from burstline.engine.worker import SLACK

        capacity = config.engine.most_burst + SLACK
        return prepare(pipeline, mode="ports", capacity=capacity, workers=1, dispatch=dispatch, tunnel_ports=ports)
    from burstline.engine.offline import CAPACITY

    return prepare(
        pipeline, mode="file", capacity=CAPACITY, workers=1, dispatch=dispatch, source=source, tunnel_ports=ports
    )
