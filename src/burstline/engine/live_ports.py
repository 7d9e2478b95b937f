"""The ports of a live run: which devices, opening them with pools to receive into, closing them without a leak."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from burstline.buffers.receive import Capabilities
from burstline.buffers.usage import ClassUsage
from burstline.engine.around_ports import AroundPorts
from burstline.engine.config import Config
from burstline.engine.config import Port as Settings
from burstline.engine.large_classes import large_class, with_class
from burstline.engine.live_buffers import (
    LiveBuffers,
    PortBuffers,
    assumed,
    capabilities,
    expected_frame,
    usage_of_pool,
)
from burstline.engine.live_director import RING
from burstline.engine.live_offloads import LiveOffloads, mtu_of, presumed
from burstline.engine.live_steering import LiveSteering
from burstline.engine.moves.phases import HELD
from burstline.engine.own_devices import NIC_MODEL, RING_LOOP, XdpDevice, is_own, is_xdp
from burstline.engine.report import Count, Report
from burstline.engine.worker import ENGINE_REASONS, NO_BUFFER, PORTS, most_made
from burstline.errors import BurstlineError, UsageError
from burstline.offload import mbuf
from burstline.offload.planning.capabilities import PortCapabilities
from burstline.pipeline.needs import needs_of
from burstline.pipeline.pipeline import Pipeline

if TYPE_CHECKING:
    from burstline.dpdk.clock import Clock
    from burstline.dpdk.pool import Pool
    from burstline.dpdk.pools import Pools
    from burstline.dpdk.port import Port
    from burstline.dpdk.ring_port import RingPort
    from burstline.engine.placement.placement import Placement
    from burstline.engine.pool_control import PoolControl

Steer = Callable[[Sequence[str], int], LiveSteering]
OWN_OPS = ("auto", "burstline")  # the others are DPDK's


class LivePorts:
    """The devices that a run names, as after `dpdk:`: sources first, then the one to send to unless it is a source.

    `out_device` or `out_file` is where packets go that come through, or neither. Raises UsageError for what makes
    no sense; nothing is opened yet. What is asked of the ports around the `pipeline` is in its offloads and the
    settings. `steer` makes the steering of these devices, of which so many are sources. `placement` says where their
    buffers belong, where that is planned.
    """

    clock: Clock  # of all workers, from when EAL runs on

    def __init__(
        self,
        sources: Sequence[str],
        out: str | None,
        config: Config,
        workers: int,
        pipeline: Pipeline | None = None,
        *,
        gathers: bool = False,
        steer: Steer | None = None,
        placement: Placement | None = None,
    ) -> None:
        self.sources, self.workers, self.placement = list(sources), workers, placement
        self.out_device = out.removeprefix("dpdk:") if out and out.startswith("dpdk:") else None
        self.out_file = out if out and not self.out_device else None
        self.gathers = gathers or self.out_file is not None
        self.devices = list(self.sources)
        self.large = self._large_class(config, pipeline)  # bytes of a size class that is not in the settings, or 0
        self.config = config = with_class(config, self.large)
        self.buffers: LiveBuffers | None = None  # as soon as the ports are open
        self.pools: dict[int, Pools] = {}  # of each NUMA node, while they are open
        if self.out_device and self.out_device not in self.devices:
            self.devices.append(self.out_device)
        if len(set(self.devices)) != len(self.devices):
            raise UsageError("a port is named twice", "each port is opened once; its number stands for it in send()")
        if len(self.devices) > PORTS:
            raise UsageError(f"{len(self.devices)} ports are more than the {PORTS} that a pipeline can send to")
        offloads = None if pipeline is None else pipeline.offloads
        make = steer or partial(LiveSteering, config=config, cores=range(workers), rules=None, offloads=offloads)
        self.steering = make(self.devices, len(self.sources))
        # Packets between a software director and the workers.
        self.waiting = workers * (HELD + (2 * RING if self.steering.may_direct else 0)) if self.steering.enabled else 0
        for device in self.devices:
            queues = self._settings(device).queues
            if queues is not None and queues != workers and not (self.steering.enabled and queues == 1):
                raise UsageError(
                    f"dpdk:{device} is set to {_many(queues, 'queue')} for {_many(workers, 'worker')}: "
                    "each worker polls one queue of its own",
                    f"leave queues out of its [[ports]], or use --workers {queues}",
                )
            if is_xdp(device):
                XdpDevice.parse(device)

        self.offloads = LiveOffloads(config, self.devices, len(self.sources), self.out_device, pipeline)
        self.around = AroundPorts(self.offloads, self.gathers)

    def _large_class(self, config: Config, pipeline: Pipeline | None) -> int:
        if pipeline is None:
            return 0
        merged = any(config.offloads_of(f"dpdk:{device}", pipeline.offloads).lro is True for device in self.sources)
        return large_class(config, pipeline, merged=merged, all_gathered=self.gathers)

    @property
    def out(self) -> int:
        """The number of the port that packets go to by default, or -1."""
        return self.devices.index(self.out_device) if self.out_device else -1

    def receives(self, number: int) -> bool:
        """Whether port `number` is a source, not only a sink."""
        return number < len(self.sources)

    def start_eal(self) -> None:
        """Start DPDK for these devices. Raises BurstlineError."""
        from burstline.dpdk import eal
        from burstline.dpdk.binding import native
        from burstline.dpdk.clock import Clock

        mbuf.check(native.MBUF, native.MBUF_FLAGS)
        wanted = self.config.dpdk.hugepages
        real = [self.offloads.text(d) for d in self.devices if not is_own(d)]
        args, ops = [*self.offloads.eal_arguments(), *self.config.dpdk.eal_args], self.config.pools.ops
        if ops not in OWN_OPS:
            args += ["--mbuf-pool-ops-name", ops]
        eal.start(args, devices=real, huge=None if wanted == "auto" else bool(wanted))
        self.clock = Clock.read()

    @contextmanager
    def opened(self, *, reads: bool = True) -> Iterator[list[Port]]:
        """All ports, open and started. EAL must run. `reads`: stages or a file look at the bytes of packets.

        They are closed at the end of the block; a packet buffer that is then not back in its pool is a BurstlineError.
        """
        with ExitStack() as stack:
            after = stack.enter_context(ExitStack())  # what is done when the ports are closed
            attached = self._attached(stack)
            self.buffers = self._planned(attached, reads)
            self.pools = pools = self.buffers.pools([_held(device) for device in self.devices])
            self.around.prepare(self.buffers, pools, self.workers)
            every = [*pools.values(), *self.around.cutting.values()]
            after.callback(_release, every)
            made: dict[int, Port] = {}
            # Those that could not be asked come last: their other end may be one of the others.
            for number in sorted(range(len(attached)), key=lambda n: attached[n] is None):
                buffers = self.buffers.ports[number]
                made[number] = self._set_up(attached[number], number, buffers, pools[buffers.node], stack)
            ports = [made[number] for number in range(len(attached))]
            for number, port in enumerate(ports):
                port.start()
                self.around.started(number, port)
                self.steering.started(number, port)
            yield ports
            for port in ports:
                port.close()
            if in_use := sum(each.in_use for each in every):
                raise BurstlineError(
                    f"{in_use} of {sum(each.count for each in every)} packet buffers were not given back",
                    "this is a fault of burstline or of the driver; please report it with the devices used",
                )

    def admit(self, pipeline: Pipeline) -> None:
        """Get ready for another pipeline. Raises UsageError where the ports were not set up for what it does."""
        self.offloads.check_same(pipeline)
        if size := self._large_class(self.config, pipeline):
            raise UsageError(
                f"packets of up to {size:,} bytes fit into no buffer of this run",
                f"start it with {size} among [pools] classes",
            )
        if needs_of(pipeline).cuts and not self.offloads.can_cut:
            raise UsageError(
                "stages say how packets are to be cut, and the ports of this run were not set up for that",
                "start it with a pipeline that sets segment_size",
            )
        self.around.merge_for(pipeline)

    def planned(self, *, reads: bool = True) -> LiveBuffers:
        """How the ports would receive. EAL must run; the devices are opened, asked, and closed."""
        with ExitStack() as stack:
            return self._planned(self._attached(stack), reads)

    def control(self, period: float) -> PoolControl | None:
        """What fills the cores' reserves, and has pools grow and shrink; None of pools that DPDK's own ops keep."""
        from burstline.buffers.mbuf_pool import MbufPool
        from burstline.engine.pool_control import PoolControl

        pools = [pool for pools in self.pools.values() for pool in pools.by_size.values()]
        ours = [pool for pool in pools if isinstance(pool, MbufPool)]
        return PoolControl(ours, period) if ours else None

    def usage(self) -> list[ClassUsage]:
        """What the buffers of each size class are doing."""
        return [usage_of_pool(pool, size) for pools in self.pools.values() for size, pool in pools.by_size.items()]

    def close_report(self, report: Report, ports: Sequence[Port]) -> None:
        """What each device says of itself, and a warning where buffers were wanting."""
        report.ports = self.counts(ports)
        dropped = report.drops.get(ENGINE_REASONS[NO_BUFFER], Count()).packets
        missing = dropped + sum(port["no_buffer"] for port in report.ports)
        if missing:
            fewer = f", or make at most {most_made(self.config.engine.most_burst)} packets of a burst"
            report.warnings.append(
                f"{missing:,} packets found no packet buffer: raise [pools] buffers, or give [pools] classes a size "
                f"that holds the largest frames{fewer if report.made.packets else ''}"
            )

    def counts(self, ports: Sequence[Port]) -> list[dict[str, Any]]:
        """What each device says of itself, for the report."""
        assert self.buffers is not None
        found = []
        for number, (device, port, buffers, plan) in enumerate(
            zip(self.devices, ports, self.buffers.ports, self.offloads.plans, strict=True)
        ):
            stats = port.stats()
            found.append(
                {
                    "device": f"dpdk:{device}",
                    "driver": port.driver,
                    "queues": port.queues,
                    "rss": port.rss,
                    "receive": buffers.as_json(),
                    "offloads": {**plan.as_json(), "summary": plan.summary, "did": self.around.did(number)},
                    "missed": stats.imissed,
                    "errors": stats.ierrors,
                    "no_buffer": stats.rx_nombuf,
                }
            )
        return found

    def _settings(self, device: str) -> Settings:
        return self.config.port(f"dpdk:{device}")

    def _attached(self, stack: ExitStack) -> list[Port | None]:
        """The ports, which can be asked what they can do; None for those of which that is known beforehand."""
        return [None if assumed(device) else self._attach(n, stack) for n, device in enumerate(self.devices)]

    def _attach(self, number: int, stack: ExitStack) -> Port:
        from burstline.dpdk.port import Port

        device = self.devices[number]
        frame = expected_frame(device, self._settings(device).mtu)
        port = Port.attach(self.offloads.text(device), queues=self.steering.queues(number), frame=frame)
        stack.callback(port.close)
        self.steering.attached(number, port)
        return port

    def _planned(self, attached: Sequence[Port | None], reads: bool) -> LiveBuffers:
        found: list[Capabilities | None] = [
            assumed(device) if port is None else capabilities(port, self._settings(device).mtu)
            for port, device in zip(attached, self.devices, strict=True)
        ]
        offered = [
            PortCapabilities.of(port.info()) if port is not None else presumed(device)
            for port, device in zip(attached, self.devices, strict=True)
        ]
        known = [can for can in offered if can]
        offloads = self.offloads
        receive = [offloads.restricted(d, can) for d, can in zip(self.devices, found, strict=True) if can]
        config = offloads.tuned(known)
        wanted = [offloads.wanted(device) for device in self.devices]
        buffers = LiveBuffers(
            config,
            receive,
            self.devices,
            reads=reads,
            wanted=wanted,
            large=self.large,
            waiting=self.waiting,
            placement=self.placement,
        )
        mtus = [mtu_of(port, device) for port, device in zip(attached, self.devices, strict=True)]
        offloads.plan(known, mtus, buffers)
        return buffers

    def _set_up(self, port: Port | None, number: int, buffers: PortBuffers, pools: Pools, stack: ExitStack) -> Port:
        device, plan = self.devices[number], self.offloads.plans[number]
        into = [pool for size in buffers.plan.buffers if (pool := pools.of(size)) is not None]
        if is_own(device):
            if is_xdp(device):
                made = self.steering.open_xdp(number, into[0], stack.callback)
            else:
                made = self._ring_loop(device, into[0], plan.tx)
                stack.callback(made.close)
            made.table = pools.table
            return made
        if port is None:
            port = self._attach(number, stack)
            plan = self.offloads.revised(number, PortCapabilities.of(port.info()))
        port.set_up(
            into,
            mode=buffers.plan.mode,
            rx_offloads=plan.rx,
            tx_offloads=plan.tx,
            table=pools.table,
            rx_ring=buffers.rx_ring,
            tx_ring=buffers.tx_ring,
            mtu=self._settings(device).mtu,
            max_lro=plan.max_lro,
            rss=plan.rss,
            thresholds=plan.asked.tuning.thresholds,
            by_queue=self._by_queue(port, buffers),
        )
        return port

    def _by_queue(self, port: Port, buffers: PortBuffers) -> list[list[Pool]]:
        """What each queue receives into, where they lie on several nodes."""
        if len({*buffers.nodes}) == 1:
            return []
        by_node = [self.pools[buffers.node_of(queue)].by_size for queue in range(port.queues)]
        return [[by_size[size] for size in buffers.plan.buffers] for by_size in by_node]

    def table(self, number: int, port: Port, worker: int) -> int:
        """Pools.table of what a worker has from a port."""
        assert self.buffers is not None
        nodes = self.buffers.ports[number]
        return self.pools[nodes.node_of(worker)].table if len({*nodes.nodes}) > 1 else port.table

    def _ring_loop(self, device: str, pool: Pool, tx_offloads: Sequence[str]) -> RingPort:
        from burstline.engine.nic_device import open_nic
        from burstline.engine.ring_loop import open_ring_loop

        queues = self.steering.queues(self.devices.index(device))
        if device.startswith(NIC_MODEL):
            return open_nic(device, pool, queues, self.clock)
        return open_ring_loop(device, pool, queues, tx_offloads)


def _release(pools: Iterable[Pools]) -> None:
    """Buffers still in use have been complained about, or are the lesser of two troubles."""
    for each in pools:
        if not each.in_use:
            each.close()


def _held(device: str) -> list[int]:
    """The sizes of the packets that a device is loaded with."""
    if not device.startswith((RING_LOOP, NIC_MODEL)):
        return []
    from burstline.engine import nic_device, ring_loop

    return nic_device.sizes_held(device) if device.startswith(NIC_MODEL) else ring_loop.sizes_held(device)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
