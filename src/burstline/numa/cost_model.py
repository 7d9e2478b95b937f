"""What a placement costs, in cores: the mean number of cores that wait.

- A cache line from memory at distance d takes d/10 of a local read (ACPI's SLIT), and a core waits for `overlap` lines
  at once; by Little's law, lines a second times their latency over `overlap` are cores that wait.
- A link or memory controller of utilisation u has u²/(1 - u) lines waiting (M/M/1, Kleinrock 1975, section 3.2), drawn
  as the maximum of a few tangents, so that it is convex and goes on past 1. Congestion is worse than distance (Dashti
  et al., "Traffic Management", ASPLOS 2013), and the bandwidth of links counts for more than hops (Lepers et al.,
  USENIX ATC 2015).
- Two threads on a core get 1.3 times what one gets (Marr et al., Intel Technology Journal 6/1, 2002).
- What threads of one L3 domain want of it beyond its size comes from memory.
- A port's packets are in L3 where they lie on its own node (Intel's DDIO, and what AMD and Arm have like it).
- Work that no core has time for counts `overload` times.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CostModel:
    """The constants; `l3` is ns of a hit, `slowdown` what a thread takes longer that shares its core; distances count
    `hop_weight` times, which is learned (learned/advice.py)."""

    overlap: float = 4.0
    l3: float = 25.0
    slowdown: float = 2 / 1.3 - 1
    overload: float = 10.0
    hop_weight: float = 1.0
    touched: tuple[float, ...] = (0.2, 0.4, 0.6, 0.7, 0.8, 0.87, 0.92, 0.96)  # utilisations of the tangents

    def weighed(self, latencies: Floats) -> Floats:
        """ns by nodes of core and memory, from what distances say."""
        if self.hop_weight == 1:
            return latencies
        own = np.diag(latencies)[:, None]
        found: Floats = own + self.hop_weight * (latencies - own)
        return found

    @cached_property
    def tangents(self) -> tuple[tuple[float, float], ...]:
        """Slope and value at 0 of each, in cores."""
        return tuple(
            (
                (2 * u - u * u) / (1 - u) ** 2 / self.overlap,
                (u * u / (1 - u) - u * (2 * u - u * u) / (1 - u) ** 2) / self.overlap,
            )
            for u in self.touched
        )

    @cached_property
    def _corners(self) -> tuple[Floats, Floats]:
        """The polygon: where one tangent takes over from another."""
        lines = [(0.0, 0.0), *self.tangents]
        at = [0.0] + [(b[1] - a[1]) / (a[0] - b[0]) for a, b in pairwise(lines)] + [1e4]
        return np.array(at), np.array([max(slope * u + value for slope, value in lines) for u in at])

    def waiting(self, utilisation: Floats) -> Floats:
        """Cores that wait for links and controllers of these utilisations."""
        found: Floats = np.interp(utilisation, *self._corners)
        return found

    def sharing(self, busy: float) -> float:
        """What it costs a thread to share its core."""
        longer = busy * (1 + self.slowdown)
        return busy * self.slowdown + self.overload * (max(0.0, longer - 1) - max(0.0, busy - 1))
