"""What is to be placed: threads, memory, and the traffic between them and the ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

LINE = 64  # bytes of a cache line


@dataclass(frozen=True)
class Thread:
    """A thread that needs a hardware thread for itself. `busy` is the share of a core that it computes, without
    waiting for memory; `hot` the bytes that it wants in L3; `packets` a second are what it is to handle."""

    name: str
    kind: Literal["worker", "control"] = "worker"
    busy: float = 0.5
    hot: int = 0
    packets: float = 0.0


@dataclass(frozen=True)
class Memory:
    """Memory that lies on one node. A pool has a port: `port_node` by number, and GB/s that it writes and reads."""

    name: str
    kind: Literal["pool", "table"] = "table"
    size: int = 0
    port: str = ""
    port_node: int | None = None
    dma_in: float = 0.0
    dma_out: float = 0.0


@dataclass(frozen=True)
class Access:
    """What a thread (by index) does with memory (by index): cache lines a second that it waits for, GB/s that it reads
    and writes."""

    thread: int
    memory: int
    lines: float
    read: float
    written: float = 0.0


@dataclass(frozen=True)
class Demand:
    """All of it. Accesses name threads and memories by their place."""

    threads: tuple[Thread, ...]
    memories: tuple[Memory, ...]
    accesses: tuple[Access, ...]


@dataclass(frozen=True)
class PortLoad:
    """What a port receives: packets a second, their mean bytes, and the share of each queue (sums to 1)."""

    name: str
    node: int
    packets: float
    packet_bytes: float
    shares: tuple[float, ...]
    sends: float = 1.0  # of what it receives, that leaves by it again


@dataclass(frozen=True)
class TableNeed:
    """A table: its bytes, the cache lines of it that a packet waits for, and whether each worker has one of its own."""

    name: str
    size: int
    lines: float = 1.0
    own: bool = True
    writes: bool = True


@dataclass(frozen=True)
class PacketCost:
    """ns of computing a packet, and cache lines of a packet that are read."""

    ns: float = 60.0
    lines: float = 1.5


def demand_of(
    ports: Sequence[PortLoad],
    workers: int,
    tables: Sequence[TableNeed] = (),
    cost: PacketCost = PacketCost(),
    *,
    ring: int = 1024,
    control: int = 1,
) -> Demand:
    """The demand of `workers`, of which worker k serves queue k, k + workers, ... of each port: a pool for each queue,
    each table once for each worker or once for all, and `control` threads that seldom run."""
    threads: list[Thread] = []
    memories: list[Memory] = []
    accesses: list[Access] = []
    shared = {}
    for table in tables:
        if not table.own:
            shared[table.name] = len(memories)
            memories.append(Memory(f"table {table.name}", "table", table.size))
    for w in range(workers):
        packets = 0.0
        hot = 0.0
        for port in ports:
            for q in range(w, len(port.shares), workers):
                rate = port.packets * port.shares[q]
                if not rate:
                    continue
                packets += rate
                traffic = rate * port.packet_bytes / 1e9
                touched = rate * min(cost.lines * LINE, max(LINE, port.packet_bytes)) / 1e9
                hot += ring * min(port.packet_bytes, 2 * LINE)
                accesses.append(Access(w, len(memories), rate * cost.lines, touched, touched / 2))
                memories.append(
                    Memory(
                        f"pool {port.name} queue {q}", "pool", ring * 4 * 2304, port.name, port.node, traffic,
                        traffic * port.sends,
                    )
                )  # fmt: skip
        for table in tables:
            lines = packets * table.lines
            bandwidth = lines * LINE / 1e9
            at = shared.get(table.name, len(memories))
            if table.own:
                memories.append(Memory(f"table {table.name} of worker {w}", "table", table.size))
                hot += min(table.size, 1 << 20)
            if lines:
                accesses.append(Access(w, at, lines, bandwidth, bandwidth if table.writes else 0.0))
        threads.append(Thread(f"worker {w}", "worker", packets * cost.ns / 1e9, round(hot), packets))
    threads += [Thread(f"control {k}", "control", 0.02, 1 << 16) for k in range(control)]
    return Demand(tuple(threads), tuple(memories), tuple(accesses))


def zipf(queues: int, skew: float) -> tuple[float, ...]:
    """Shares of queues by Zipf's law; skew 0 is even."""
    weights = [1.0 / (k + 1) ** skew for k in range(queues)]
    return tuple(weight / sum(weights) for weight in weights)


def scaled(demand: Demand, by: float) -> Demand:
    """The same with all traffic multiplied."""
    return Demand(
        tuple(
            replace(t, busy=t.busy * by, packets=t.packets * by) if t.kind == "worker" else t for t in demand.threads
        ),
        tuple(replace(m, dma_in=m.dma_in * by, dma_out=m.dma_out * by) for m in demand.memories),
        tuple(replace(a, lines=a.lines * by, read=a.read * by, written=a.written * by) for a in demand.accesses),
    )
