"""The ports of a live run: which devices, the pool that their packets lie in, opening them, closing without a leak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.engine.config import Config
from burstline.engine.config import Port as Settings
from burstline.engine.worker import PORTS
from burstline.errors import BurstlineError, UsageError

if TYPE_CHECKING:
    from burstline.dpdk.pool import Pool
    from burstline.dpdk.port import Port

RING_LOOP = "ring-loop"
RING = 1024  # descriptors of a ring, where nothing else is said


class LivePorts:
    """The devices that a run names, as after `dpdk:`: sources first, then the one to send to unless it is a source.

    `out_device` or `out_file` is where packets go that come through, or neither. Raises UsageError for what makes no
    sense; nothing is opened yet.
    """

    def __init__(self, sources: Sequence[str], out: str | None, config: Config, workers: int) -> None:
        self.sources, self.config, self.workers = list(sources), config, workers
        self.out_device = out.removeprefix("dpdk:") if out and out.startswith("dpdk:") else None
        self.out_file = out if out and not self.out_device else None
        self.devices = list(self.sources)
        if self.out_device and self.out_device not in self.devices:
            self.devices.append(self.out_device)
        if len(set(self.devices)) != len(self.devices):
            raise UsageError("a port is named twice", "each port is opened once; its number stands for it in send()")
        if len(self.devices) > PORTS:
            raise UsageError(f"{len(self.devices)} ports are more than the {PORTS} that a pipeline can send to")
        for device in self.devices:
            queues = self._settings(device).queues
            if queues is not None and queues != workers:
                raise UsageError(
                    f"dpdk:{device} is set to {_many(queues, 'queue')} for {_many(workers, 'worker')}: "
                    "each worker polls one queue of its own",
                    f"use --workers {queues}, or leave queues out of its [[ports]]",
                )

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

        wanted = self.config.dpdk.hugepages
        real = [d for d in self.devices if not d.startswith(RING_LOOP)]
        eal.start(self.config.dpdk.eal_args, devices=real, huge=None if wanted == "auto" else bool(wanted))

    @contextmanager
    def opened(self) -> Iterator[list[Port]]:
        """All ports, open and started. EAL must run.

        They are closed at the end of the block; a packet buffer that is then not back in its pool is a BurstlineError.
        """
        with ExitStack() as stack:
            pool = self._pool()
            stack.callback(_release, pool)
            ports = []
            for device in self.devices:
                ports.append(self._open(device, pool))
                stack.callback(ports[-1].close)
            for port in ports:
                port.start()
            yield ports
            for port in ports:
                port.close()
            if pool.in_use:
                raise BurstlineError(
                    f"{pool.in_use} of {pool.count} packet buffers were not given back",
                    "this is a fault of burstline or of the driver; please report it with the devices used",
                )

    def counts(self, ports: Sequence[Port]) -> list[dict[str, Any]]:
        """What each device says of itself, for the report."""
        found = []
        for device, port in zip(self.devices, ports, strict=True):
            stats = port.stats()
            found.append(
                {
                    "device": f"dpdk:{device}",
                    "driver": port.driver,
                    "queues": port.queues,
                    "rss": port.rss,
                    "missed": stats.imissed,
                    "errors": stats.ierrors,
                    "no_buffer": stats.rx_nombuf,
                }
            )
        return found

    def _settings(self, device: str) -> Settings:
        return self.config.port(f"dpdk:{device}")

    def _pool(self) -> Pool:
        from burstline.dpdk.binding import native
        from burstline.dpdk.pool import Pool, mbufs_needed

        settings, pools = [self._settings(d) for d in self.devices], self.config.pools
        count = pools.buffers or mbufs_needed(
            len(self.devices) * self.workers,
            max(s.rx_descriptors or RING for s in settings),
            max(s.tx_descriptors or RING for s in settings),
            self.workers,
            pools.cache,
        )
        return Pool(
            count + self._lent(),
            data_room=pools.buffer_size - native.HEADROOM,
            cache=pools.cache,
            software=all(not _is_pci(d) for d in self.devices),
            numa_node=self._node(),
        )

    def _lent(self) -> int:
        """Buffers that AF_XDP lends to the kernel and that rings preloaded with packets keep."""
        from burstline.engine.ring_loop import buffers_held

        return sum(4096 * self.workers for d in self.devices if d.startswith("net_af_xdp")) + sum(
            buffers_held(d) * self.workers for d in self.devices if d.startswith(RING_LOOP)
        )

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

    def _open(self, device: str, pool: Pool) -> Port:
        if device.startswith(RING_LOOP):
            from burstline.engine.ring_loop import open_ring_loop

            return open_ring_loop(device, pool, self.workers)
        from burstline.dpdk.port import Port

        settings = self._settings(device)
        return Port.open(
            device,
            pool,
            queues=self.workers,
            rx_ring=settings.rx_descriptors or RING,
            tx_ring=settings.tx_descriptors or RING,
            mtu=settings.mtu,
        )


def _release(pool: Pool) -> None:
    """Buffers still in use have been complained about, or are the lesser of two troubles."""
    if not pool.in_use:
        pool.close()


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _is_pci(device: str) -> bool:
    return not device.startswith(("net_", RING_LOOP, "eth_", "crypto_"))
