"""What stands around the ports of a run: software that does what they do not, and the clocks by which they stamp."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from burstline.engine.live_buffers import LiveBuffers
from burstline.engine.live_offloads import LiveOffloads
from burstline.engine.port_stamps import stamp_line
from burstline.engine.port_twins import PortTwins, needs_twins, segment_pools, total
from burstline.offload.stamps import StampLine
from burstline.offload.twins import receive, transmit
from burstline.pipeline.pipeline import Pipeline

if TYPE_CHECKING:
    from burstline.dpdk.pools import Pools
    from burstline.dpdk.port import Port

PORTS_EVERY = 1.0  # seconds between two looks at whether ports have changed, and at their clocks


class AroundPorts:
    """Ports are told apart by number, as in the pipeline. `gathers`: each packet is to lie in one buffer."""

    def __init__(self, offloads: LiveOffloads, gathers: bool) -> None:
        self._offloads, self._gathers = offloads, gathers
        self._twins: dict[int, list[PortTwins]] = {}  # of each port, one for each worker
        self._pools: Mapping[int, Pools] = {}  # that ports receive into, by NUMA node
        self._buffers: LiveBuffers | None = None
        self.cutting: dict[int, Pools] = {}  # by which software cuts packets, where it does, by NUMA node
        self.stamps: dict[int, StampLine] = {}  # of the ports that stamp what they receive
        self.unstamped: Counter[int] = Counter()  # packets that they have not stamped

    def prepare(self, buffers: LiveBuffers, pools: Mapping[int, Pools], workers: int) -> None:
        """Once the ports are planned and before they are set up: what the software needs, and its code."""
        self._buffers, self._pools = buffers, pools
        rings = dict[int, int]()
        for plan, port in zip(self._offloads.plans, buffers.ports, strict=True):
            if plan.gso and not plan.copies:
                for node in {*port.nodes}:
                    rings[node] = rings.get(node, 0) + port.tx_ring
        self.cutting = {node: segment_pools(node, workers, count, buffers) for node, count in rings.items()}
        if any(map(needs_twins, self._offloads.plans)):
            for kernel in (receive, transmit):
                kernel.load()  # before packets come

    def started(self, number: int, port: Port) -> None:
        """The port runs. Raises BurstlineError where it has a clock that cannot be read."""
        self._offloads.started(number, port)
        if clock := self._offloads.plans[number].stamps:
            self.stamps[number] = stamp_line(port, clock)

    def twins(self, number: int, port: Port, worker: int) -> PortTwins | None:
        """The software around a port for one worker; None where the driver is enough."""
        assert self._buffers is not None
        plans = self._offloads.plans
        plan, node = plans[number], self._buffers.ports[number].node_of(worker)
        if not needs_twins(plan):
            return None
        made = PortTwins(
            plan, port, worker % port.queues, burst=self._offloads.config.engine.most_burst, pools=self._pools[node],
            restores=any(each.gro for each in plans) and any(each.gso for each in plans),
            cutting=self.cutting.get(node), most=self._offloads.most_merged(self._offloads.pipeline, self._gathers),
        )  # fmt: skip
        self._twins.setdefault(number, []).append(made)
        return made

    @property
    def has_twins(self) -> bool:
        return bool(self._twins)

    @property
    def holds(self) -> float:
        """Seconds for which software holds packets, at most, to merge others with them."""
        return max((plan.gro_timeout for plan in self._offloads.plans if plan.gro), default=0.0)

    def follow(self, ports: Sequence[Port]) -> list[str]:
        """Plan the offloads of ports again that have changed, and have the software around them keep to it; read the
        clocks again by which ports stamp packets. Returns what there is to say."""
        said = []
        for line in self.stamps.values():
            line.follow()
        for number, port in enumerate(ports):
            if text := self._offloads.follow(number, port):
                said.append(text)
                for twins in self._twins.get(number, []):
                    twins.follow(self._offloads.plans[number])
        return said

    def merge_for(self, pipeline: Pipeline) -> None:
        """Merge no larger packets from now on than the stages of another pipeline can take."""
        most = self._offloads.most_merged(pipeline, self._gathers)
        for each in (twins for made in self._twins.values() for twins in made):
            each.merge_up_to(most)

    def did(self, number: int) -> dict[str, int]:
        """What was done around a port."""
        counts = total(self._twins.get(number, []))
        if self.unstamped[number]:
            counts["unstamped"] = self.unstamped[number]
        return counts
