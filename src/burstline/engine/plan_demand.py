"""What an application asks of a machine: its workers, the queues and pools of its ports, its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burstline.engine.config import Config
from burstline.engine.layout_report import layout_report, table_lines
from burstline.engine.state_size import size_of_state
from burstline.errors import UsageError
from burstline.numa.demand import Demand, PacketCost, PortLoad, TableNeed, demand_of, zipf
from burstline.numa.pins import Pin
from burstline.numa.topology import Topology
from burstline.pipeline.accesses import accesses_of
from burstline.pipeline.needs import needs_of
from burstline.pipeline.pipeline import Pipeline
from burstline.pipeline.profile import Profile
from burstline.state.counter import Counter
from burstline.state.flow_table import FlowTable

LOOKUP = 2.0  # lines of a lookup in what is no flow table: a bucket and an entry, or two levels of prefixes
LEAST_MISSED = 0.05  # of lines of a table that fits into L3
SMALL = 1 << 16  # bytes of state that is in a core's own caches anyway


@dataclass(frozen=True)
class Traffic:
    """What ports are expected to receive: packets a second of each, their mean bytes, how uneven queues are (the
    exponent of Zipf's law), and ns of computing for each packet."""

    packets: float = 10e6
    packet_bytes: float = 512.0
    skew: float = 0.0
    ns: float = 60.0


def app_demand(
    pipeline: Pipeline,
    config: Config,
    machine: Topology,
    ports: Sequence[str],
    traffic: Traffic,
    profile: Profile | None = None,
    *,
    nodes: Mapping[str, int] | None = None,
    control: int = 1,
) -> Demand:
    """The demand of a run between `ports` (spelled `dpdk:DEVICE`; without, all of the machine), with `control` threads
    that seldom run. `nodes` are those of devices where somebody else tells them. Raises UsageError for a port of which
    nobody does."""
    workers = config.engine.workers
    devices = ports or [f"dpdk:{device.address}" for device in machine.devices]
    if not devices:
        raise UsageError(
            f"{machine.name} has no network device", "name ports that its TOML tells of: [[device]] address and node"
        )
    known = {device.removeprefix("dpdk:"): node for device, node in (nodes or {}).items()}
    loads = [
        PortLoad(
            device.removeprefix("dpdk:"), _node(machine, device, known), _packets(machine, device, traffic),
            traffic.packet_bytes, zipf(config.port(device).queues or workers, traffic.skew),
        )
        for device in devices
    ]  # fmt: skip
    accesses = accesses_of(pipeline, profile)
    header = layout_report(accesses, needs_of(pipeline), "ports")["packet"]["header"]
    tables = tuple(_tables(pipeline, machine, table_lines(accesses), accesses.names))
    return demand_of(
        loads, workers, tables, PacketCost(traffic.ns, 0.5 + header), ring=_ring(config, devices), control=control
    )


def config_pins(config: Config) -> list[Pin]:
    """What the file and the command line already fix: `cores` of workers, and the node of buffers."""
    pins = [
        Pin(f"worker {k}", "cpu", cpu, f"[engine] cores (worker {k} on {cpu})")
        for k, cpu in enumerate(config.engine.cores[: config.engine.workers])
    ]
    if config.numa.node is not None:
        pins.append(Pin("pool", "node", config.numa.node, f"[numa] node = {config.numa.node}"))
    return pins


def _node(machine: Topology, device: str, known: Mapping[str, int]) -> int:
    if (told := known.get(device.removeprefix("dpdk:"))) is not None:
        return told
    found = machine.device(device.removeprefix("dpdk:").split(",")[0])
    if found is not None and found.node is not None:
        return found.node
    if len(machine.nodes) == 1:
        return machine.nodes[0].number
    names = ", ".join(f"dpdk:{each.address}" for each in machine.devices if each.node is not None) or "no port"
    raise UsageError(
        f"{machine.name} does not tell the node of {device}",
        f"it tells those of {names}; add a [[device]] with address and node to a file, and give it with --overlay",
    )


def _packets(machine: Topology, device: str, traffic: Traffic) -> float:
    """Not more than its PCIe link carries."""
    found = machine.device(device.removeprefix("dpdk:").split(",")[0])
    most = found.bandwidth * 1e9 / traffic.packet_bytes if found is not None and found.bandwidth else float("inf")
    return min(traffic.packets, most)


def _ring(config: Config, devices: Sequence[str]) -> int:
    return max(config.port(device).rx_descriptors or 1024 for device in devices)


def _tables(pipeline: Pipeline, machine: Topology, lines: dict[int, float], names: Sequence[str]) -> list[TableNeed]:
    found = []
    for number, state in enumerate(pipeline.state):
        size = size_of_state(state)
        if isinstance(state, Counter) or size.own + size.shared < SMALL:
            continue
        touched = lines.get(number, 0.0) if isinstance(state, FlowTable) else LOOKUP
        own = size.own >= size.shared
        table = size.own if own else size.shared
        writes = own and isinstance(state, FlowTable)
        found.append(TableNeed(names[number], table, touched * _missed(machine, table), own, writes))
    return found


def _missed(machine: Topology, size: int) -> float:
    """The share of a table's lines that are not in its worker's part of L3."""
    parts = [cache.size / max(1, len(machine.cores_in(cache=cache.number))) for cache in machine.caches]
    return max(LEAST_MISSED, 1 - min(parts) / size) if min(parts) else 1.0
