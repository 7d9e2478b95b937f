"""How bad loads are: the busy cores, and the packets that wait at them.

By Kingman's formula ("The single server queue in heavy traffic", 1961) u²/(1 - u) · (c_a² + c_s²)/2 packets wait at a
core of utilisation u; the first factor is drawn as in the planner's cost model, convex and going on past 1. c_a² is the
dispersion of arrivals.
"""

from __future__ import annotations

import numpy as np

from burstline.numa.balance.seen import Floats
from burstline.numa.cost_model import CostModel

_MODEL = CostModel(overlap=1.0, touched=(0.1, 0.3, 0.45, 0.55, 0.65, 0.72, 0.78, 0.83, 0.87, 0.9, 0.93, 0.95, 0.97))
SERVICE = 0.5  # c_s²: of service times that differ somewhat


def cost(loads: Floats, dispersion: float) -> Floats:
    """Of each load in cores."""
    found: Floats = loads + _MODEL.waiting(np.maximum(loads, 0.0)) * (dispersion + SERVICE) / 2
    return found
