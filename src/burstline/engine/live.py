"""Running a pipeline between DPDK ports with compiled code."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from burstline.engine.config import Config
from burstline.engine.program import Instance, Program, prepare
from burstline.engine.report import Report
from burstline.engine.tally import add_up
from burstline.engine.threads import Team, process_age
from burstline.engine.worker import FINISHED, PORTS, TALLY, PortQueue, PortWorker
from burstline.errors import BurstlineError, UsageError
from burstline.packet.burst import Burst
from burstline.pipeline.pipeline import Pipeline
from burstline.ports.capture_file import Interface
from burstline.ports.capture_format import LINKTYPE_ETHERNET
from burstline.ports.capture_sink import CaptureSink
from burstline.ports.capture_writer import format_for
from burstline.state.digest import Digest
from burstline.state.region import Block, Region

if TYPE_CHECKING:
    from burstline.dpdk.pool import Pool
    from burstline.dpdk.port import Port

QUEUE_STRIDE = 64  # as port_kernel.QUEUE_SIZE
SLACK = 64  # the prefetch looks a little past the last packet
RING_LOOP = "ring-loop"
Progress = Callable[[int, "int | None", int], None]


class LiveRun:
    """One run between ports: EAL, pool, ports, threads, result. Devices are written as after `dpdk:`."""

    def __init__(
        self,
        pipeline: Pipeline,
        sources: Sequence[str],
        out: str | None,
        config: Config,
        *,
        progress: Progress | None = None,
    ) -> None:
        self.pipeline, self.sources, self.config, self.progress = pipeline, list(sources), config, progress
        self.out_device = out.removeprefix("dpdk:") if out and out.startswith("dpdk:") else None
        self.out_file = out if out and not self.out_device else None
        self.devices = list(self.sources)
        if self.out_device and self.out_device not in self.devices:
            self.devices.append(self.out_device)
        self.workers = config.engine.workers
        if len(set(self.devices)) != len(self.devices):
            raise UsageError("a port is named twice", "each port is opened once; its number stands for it in send()")
        if len(self.devices) > PORTS:
            raise UsageError(f"{len(self.devices)} ports are more than the {PORTS} that a pipeline can send to")
        if self.out_file and self.workers > 1:
            raise UsageError("several workers cannot write one file live", "use --workers 1")
        self.report = Report(" ".join(f"dpdk:{d}" for d in self.sources), "compiled", self.workers)
        self._digests = [s for s in pipeline.state if isinstance(s, Digest)]
        self._draining = threading.Lock()

    def run(self) -> Report:
        """Forward until `duration` is over or Ctrl-C. An mbuf that is not back in its pool afterwards is an error."""
        from burstline import dpdk

        dpdk.require()
        from burstline.dpdk import eal
        from burstline.dpdk.library import native
        from burstline.dpdk.pool import Pool, mbufs_needed

        for state in self.pipeline.state:
            state.reset()
        program = prepare(
            self.pipeline,
            mode="ports",
            capacity=self.config.engine.burst + SLACK,
            workers=1,
            dispatch=self.config.engine.dispatch,
            sink=format_for(self.out_file) if self.out_file else "",
            mbuf=native.MBUF,
        )
        self.report.dispatch = program.dispatch
        huge = {"auto": None}.get(str(self.config.dpdk.hugepages), self.config.dpdk.hugepages)
        real = [d for d in self.devices if not d.startswith(RING_LOOP)]
        eal.start(self.config.dpdk.eal_args, devices=real, huge=huge)  # type: ignore[arg-type]
        settings = [self.config.port(f"dpdk:{d}") for d in self.devices]
        rings = [(s.rx_descriptors or 1024, s.tx_descriptors or 1024) for s in settings]
        pools = self.config.pools
        with ExitStack() as stack:
            count = pools.buffers or mbufs_needed(
                len(self.devices) * self.workers,
                max(rx for rx, _ in rings),
                max(tx for _, tx in rings),
                self.workers,
                pools.cache,
            )
            pool = Pool(
                count + self._lent(),
                data_room=pools.buffer_size - native.HEADROOM,
                cache=pools.cache,
                software=all(not _is_pci(d) for d in self.devices),
                numa_node=self._node(),
            )
            stack.callback(pool.close)
            ports = []
            for device, (rx, tx), setting in zip(self.devices, rings, settings, strict=True):
                port = self._open(device, pool, setting.queues or self.workers, rx, tx, setting.mtu)
                stack.callback(port.close)
                ports.append(port)
            for port in ports:
                port.start()
            self._forward(program, ports, native.SYMBOLS)
            self._close_ports(ports, pool)
        return self.report

    def _node(self) -> int:
        """The NUMA node for packet buffers: as told, else that of the first PCI port, else any (-1)."""
        numa = self.config.numa
        if numa.node is not None:
            return numa.node
        if numa.enabled:
            for device in filter(_is_pci, self.devices):
                with suppress(OSError, ValueError):
                    return int(Path(f"/sys/bus/pci/devices/{device.split(',')[0]}/numa_node").read_text())
        return -1

    def _lent(self) -> int:
        """Buffers that AF_XDP lends to the kernel and that rings preloaded with packets keep."""
        return sum(4096 * self.workers for d in self.devices if d.startswith("net_af_xdp")) + sum(
            1024 for d in self.devices if d.startswith(RING_LOOP)
        )

    def _open(self, device: str, pool: Pool, queues: int, rx: int, tx: int, mtu: int | None) -> Port:
        if device.startswith(RING_LOOP):
            from burstline.engine.ring_loop import open_ring_loop

            return open_ring_loop(device, pool, queues)
        from burstline.dpdk.port import Port

        return Port.open(device, pool, queues=queues, rx_ring=rx, tx_ring=tx, mtu=mtu)

    def _forward(self, program: Program, ports: Sequence[Port], symbols: dict[str, int]) -> None:
        from burstline.dpdk import thread
        from burstline.dpdk.library import native

        stop = Region(64)
        sink = CaptureSink(self.out_file) if self.out_file else None
        interfaces = Region(len(ports) * Interface.layout.size)
        for number in range(len(ports)):
            at = number * Interface.layout.size + Interface.layout.offset("linktype")
            interfaces.set_i64(at, LINKTYPE_ETHERNET)
        made = [self._context(k, program, ports, stop, sink, interfaces) for k in range(self.workers)]
        contexts = [(context, tallies) for context, tallies, _ in made]
        instances = [Instance(program, symbols) for _ in range(self.workers)]
        clock_scale = (10**9 << 32) // native.tsc_hz()

        def work(index: int) -> None:
            context = contexts[index][0]
            with thread.registered():
                context.set(clock_ns=time.time_ns(), clock_scale=clock_scale)
                while instances[index].run(context) != FINISHED:
                    if self.report.first_packet_seconds is None:
                        self.report.first_packet_seconds = process_age()
                    context.set(budget=1 << 62)

        def tick() -> None:
            self._drain()
            if self.progress:
                self.progress(0, None, sum(c.get("packets_in") for c, _ in contexts))

        started = time.perf_counter()
        try:
            Team(self.workers, work, self.config.engine.cores).run(
                lambda: stop.set_i64(0, 1), tick, self.config.engine.duration, 0.02 if self._digests else 0.1
            )
            self.report.stopped = True
        finally:
            self.report.seconds = time.perf_counter() - started
            self._drain()
            add_up(self.report, contexts, program.reasons)
            self.report.warnings += [w for s in self.pipeline.state for w in s.warnings()]
            self._port_counts(ports)
            if sink:
                sink.close()

    def _context(
        self, index: int, program: Program, ports: Sequence[Port], stop: Region, sink: CaptureSink | None,
        interfaces: Region,
    ) -> tuple[Block, Region, list[Region]]:  # fmt: skip
        batch = self.config.engine.burst
        tallies = Region(len(program.reasons) * TALLY)
        queues, counts = Region(len(ports) * QUEUE_STRIDE), Region(len(ports) * 8)
        outbound, unwanted = Region(len(ports) * batch * 8), Region(batch * 8)
        burst = Region(Burst(batch + SLACK).size)
        layout = PortQueue.layout
        for number, port in enumerate(ports):
            base = number * QUEUE_STRIDE
            queues.set_i64(base + layout.offset("port"), port.id)
            queues.set_i64(base + layout.offset("queue"), index % port.queues)
            queues.set_i64(base + layout.offset("receives"), int(number < len(self.sources)))
        context = Block(PortWorker.layout, 128)
        context.set(
            index=index, workers=1, burst=burst.address, tallies=tallies.address, stop=stop.address,
            queues=queues.address, ports=len(ports), batch=batch, poll=int(self.config.engine.idle == "poll"),
            out=self.devices.index(self.out_device) if self.out_device else -1, has_sink=int(sink is not None),
            sink=sink.block.address if sink else 0, interfaces=interfaces.address, outbound=outbound.address,
            counts=counts.address, unwanted=unwanted.address, budget=1,
        )  # fmt: skip
        return context, tallies, [queues, counts, outbound, unwanted, burst]

    def _port_counts(self, ports: Sequence[Port]) -> None:
        for device, port in zip(self.devices, ports, strict=True):
            stats = port.stats()
            self.report.ports.append(
                {"device": f"dpdk:{device}", "driver": port.driver, "queues": port.queues, "rss": port.rss,
                 "missed": stats.imissed, "errors": stats.ierrors, "no_buffer": stats.rx_nombuf}
            )  # fmt: skip

    def _close_ports(self, ports: Sequence[Port], pool: Pool) -> None:
        """Close all; a buffer that did not come back is an error of ours, and said."""
        for port in ports:
            port.close()
        if pool.in_use:
            raise BurstlineError(
                f"{pool.in_use} of {pool.count} packet buffers were not given back",
                "this is a fault of burstline or of the driver; please report it with the devices used",
            )

    def _drain(self) -> None:
        if self._digests:
            with self._draining:
                for digest in self._digests:
                    digest.drain()


def _is_pci(device: str) -> bool:
    return not device.startswith(("net_", RING_LOOP, "eth_", "crypto_"))
