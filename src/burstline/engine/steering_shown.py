"""The steering of a port as a report has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from burstline.engine.steer_choice import Choice
from burstline.steering.back_end import BackEnd
from burstline.steering.degradation import Placed, as_it_is


def shown(number: int, choice: Choice, back_end: BackEnd, together: Sequence[int]) -> dict[str, Any]:
    """Who steers it and why, and what became of each rule; `together` are the ports that are counted with it."""
    counts, held = back_end.counts(), back_end.rules()
    own = {each.handle for each in choice.placed if each.handle is not None}
    rules = [each for each in choice.placed if each.handle is None or each.handle in held]
    rules += [as_it_is(back_end, rule, h, "while it ran") for h, rule in held.items() if h not in own]
    return {
        "number": number,
        "device": choice.device,
        "back_end": back_end.name,
        "why": choice.why,
        "refused": [each.as_json() for each in choice.refused],
        "together": list(together),
        "rules": [_rule(each, counts) for each in rules],
    }


def _rule(placed: Placed, counts: Mapping[int, tuple[int, int]]) -> dict[str, Any]:
    packets, size = counts.get(placed.handle or 0, (None, None))
    return {
        "rule": str(placed.rule),
        "level": placed.level,
        "why": placed.why,
        "by": None if placed.instead is None else str(placed.instead),
        "packets": packets,
        "bytes": size,
    }
