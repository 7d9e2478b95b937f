"""What traffic between a port, a thread and memory adds to the waiting, summed over the few resources on its way.

A resource takes up to four kinds of it: what the thread reads and writes, what the port writes and reads. So there are
16 amounts that a resource may get, their prices are found at once, and each pair of nodes looks its own ones up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from burstline.numa.cost_model import CostModel, Floats
from burstline.numa.interconnect import Interconnect

READ, WRITTEN, IN, OUT = 1, 2, 4, 8
_BITS = np.array([[bool(amount & bit) for bit in (READ, WRITTEN, IN, OUT)] for amount in range(16)], dtype=np.float64)


class RouteTable:
    """The way of traffic for one node of ports (by index), or for memory that no port uses."""

    def __init__(self, graph: Interconnect, port: int | None) -> None:
        nodes, arcs = len(graph.routes), len(graph.bandwidths)
        ways: list[dict[int, int]] = []
        for i in range(nodes):
            for j in range(nodes):
                way: dict[int, int] = {}
                parts = [(graph.routes[j][i], READ), (graph.routes[i][j], WRITTEN)]
                if port is not None:
                    parts += [(graph.routes[port][j], IN), (graph.routes[j][port], OUT)]
                for route, bit in parts:
                    for arc in (*route, arcs + j):
                        way[arc] = way.get(arc, 0) | bit
                ways.append(way)
        longest = max(map(len, ways))
        # The last resource is none: what fills up short ways costs nothing there.
        self._at: NDArray[np.int64] = np.full((nodes * nodes, longest), (arcs + nodes), dtype=np.int64)
        self._amount: NDArray[np.int64] = np.zeros((nodes * nodes, longest), dtype=np.int64)
        for k, way in enumerate(ways):
            self._at[k, : len(way)] = list(way)
            self._amount[k, : len(way)] = list(way.values())
        self._shape = (nodes, nodes)

    def prices(
        self, model: CostModel, load: Floats, capacity: Floats, read: float, written: float, come: float, leave: float
    ) -> Floats:
        """Cores that wait more, by the nodes of thread (row) and memory (column), over what `load` makes wait."""
        amounts = (_BITS if come or leave else _BITS[:4]) @ np.array([read, written, come, leave])
        each = model.waiting((load[None, :] + amounts[:, None]) / capacity)
        each = np.concatenate([each - each[0], np.zeros((len(each), 1))], axis=1)
        found: Floats = each[self._amount, self._at].sum(axis=1).reshape(self._shape)
        return found
