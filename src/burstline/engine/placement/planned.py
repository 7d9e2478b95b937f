"""The placement that a run is to have, by its settings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from burstline.engine.config import Config
from burstline.engine.learned_costs import learned_costs
from burstline.engine.live_buffers import is_pci, node_of
from burstline.engine.own_devices import XdpDevice, is_own, is_xdp
from burstline.engine.placement.placement import Placement, load_placement, placement_of
from burstline.engine.plan_demand import Traffic, app_demand, config_pins
from burstline.engine.threads import usable_cores
from burstline.errors import UsageError
from burstline.numa.find import find_topology
from burstline.numa.plan import make_plan
from burstline.numa.topology import Topology
from burstline.numa.usable import usable
from burstline.pipeline.pipeline import Pipeline

SECONDS = 0.5  # of a search, before packets come


def with_plan(
    config: Config, pipeline: Pipeline, sources: Sequence[str], out: str | None
) -> tuple[Config, Placement | None]:
    """The settings with the cores that `[numa] plan` gives the workers, and all of the plan; as they are where there
    is none. `sources` are written as after `dpdk:`, `out` as on the command line. Raises UsageError."""
    chosen = config.numa.plan
    if chosen is False:
        return config, None
    sink = [out.removeprefix("dpdk:")] if out and out.startswith("dpdk:") else []
    devices = list(dict.fromkeys([*sources, *sink]))
    machine = this_machine()
    made = (
        _made(pipeline, config, machine, devices)
        if chosen == "auto"
        else _loaded(Path(chosen), config, machine, devices)
    )
    cores = config.engine.cores[: len(made.cores)]
    if cores and cores != made.cores:
        raise UsageError(
            f"[engine] cores, or --cores, is {list(cores)}, and {chosen} has workers on {list(made.cores)}",
            "leave one of the two out",
        )
    engine = replace(config.engine, workers=len(made.cores), cores=made.cores)
    return replace(config, engine=engine), made


def _loaded(path: Path, config: Config, machine: Topology, devices: Sequence[str]) -> Placement:
    workers = config.engine.workers  # 1 where nobody has said a number
    return load_placement(path, machine, workers if workers > 1 else None, devices)


def _made(pipeline: Pipeline, config: Config, machine: Topology, devices: Sequence[str]) -> Placement:
    spare = len(machine.core_of) > config.engine.workers
    ports = [f"dpdk:{device}" for device in devices]
    nodes = {device: node_here(device, machine, config) for device in devices}
    demand = app_demand(
        pipeline, config, machine, ports, Traffic(), pipeline.profile, nodes=nodes, control=1 if spare else 0
    )
    plan = make_plan(
        machine, demand, config_pins(config), method="search", seconds=SECONDS, bounded=False,
        model=learned_costs(config, pipeline),
    )  # fmt: skip
    return placement_of(plan, machine, "auto")


def this_machine() -> Topology:
    """With the CPUs that this process may use."""
    return usable(find_topology(), usable_cores())


def node_here(device: str, machine: Topology, config: Config) -> int:
    """The node of a device: that of its PCI function, or of its interface's; of one that is no hardware, the one that
    `[numa] node` says, else the first with cores."""
    found = node_of(device) if is_pci(device) else _interface_node(device)
    if found in machine.index:
        return found
    return config.numa.node if config.numa.node in machine.index else machine.cores[0].node


def _interface_node(device: str) -> int:
    from burstline.dpdk.device import Device

    name = XdpDevice.parse(device).interface if is_xdp(device) else None
    if name is None and not is_own(device):
        name = Device.parse(device).interface
    with suppress(OSError, ValueError):
        if name:
            return int(Path(f"/sys/class/net/{name}/device/numa_node").read_text())
    return -1
