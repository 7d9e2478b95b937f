"""The steering controller of `burstline run`: what it decides, as it does, and what was asked for in vain."""

from __future__ import annotations

from typing import Any

from burstline.cli.run_log import RunLog
from burstline.engine.config import Config
from burstline.errors import UsageError


def explain_steering(runner: Any, config: Config, log: RunLog, explains: bool) -> None:
    """Have a run's decisions told where it `explains` them. Raises UsageError for a run without a
    controller."""
    from burstline.engine.live import LiveRun

    if not isinstance(runner, LiveRun):
        hint = "name dpdk: sources and no --interpret; `burstline steer CAPTURE` shows what it would do with a file"
        raise UsageError("the steering controller is for compiled runs between ports", hint)
    if explains and config.steering_control.act == "off":
        raise UsageError("--explain-steering: the controller is off", "add --steer on, or --steer dry-run")

    runner.explain = log.decided if explains else None
