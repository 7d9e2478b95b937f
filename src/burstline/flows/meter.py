"""The flow meter as an object: its pipeline, with tables of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import burstline as bl
from burstline.flows.records import Settings

STAGES = Path(__file__).with_name("meter_stages.py")


class Meter:
    """`pipeline` to run; `flows` and `pieces` are its state."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        module = _loaded(settings)
        self.flows: bl.FlowTable[Any] = module.flows
        self.pieces: bl.Digest[Any] = module.pieces
        first: list[bl.Stage] = [bl.match(settings.filter)] if settings.filter else []
        if settings.payload:
            first.append(module.keep_payload)
        self.pipeline = bl.Pipeline(*first, module.meter_inside if settings.tunnels else module.meter)


def _loaded(settings: Settings) -> Any:
    """The stages' file, run anew: what stages name is built into their code. Its module is none of the package's,
    whose functions count as the compiler's own."""
    spec = importlib.util.spec_from_file_location("flow_meter", STAGES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.settings = settings  # type: ignore[attr-defined]
    spec.loader.exec_module(module)
    return module
