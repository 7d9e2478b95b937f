"""`burstline ports`: what each port can do, what is asked of it, what is done by whom, and why; who could steer it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from burstline.engine.config import Config, load
from burstline.engine.own_devices import is_xdp
from burstline.engine.steer_choice import Choice, steered_with
from burstline.errors import UsageError
from burstline.offload.planning.capabilities import PortCapabilities, names, recorded
from burstline.offload.planning.plan import OffloadPlan
from burstline.pipeline.needs import needs_of
from burstline.pipeline.pipeline import Pipeline

EPILOG = """Ports are opened, set up as a run of APP would, started and closed again; no packet is touched. Without
ports, the devices are listed that could be named. With --as, no device is needed: the answer is what DPDK 22.11's
source says of that driver."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "words", metavar="APP | dpdk:DEVICE", nargs="*", help="an application whose offloads are planned, and ports"
    )
    parser.add_argument("--out", metavar="dpdk:DEVICE", help="the port that packets leave by, as for run")
    parser.add_argument("--as", dest="like", metavar="NAME", help=f"plan as if ports were {', '.join(names())}")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, instead of burstline.toml beside APP")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    devices = [word.removeprefix("dpdk:") for word in args.words if word.startswith("dpdk:")]
    apps = [word for word in args.words if not word.startswith("dpdk:")]
    if len(apps) > 1:
        raise UsageError(f"{' and '.join(apps)} are several applications", "name one, and ports as dpdk:DEVICE")
    pipeline = _pipeline(apps[0]) if apps else None
    config = load(args.config, Path(apps[0].split(":")[0]) if apps else None)
    if args.out and not args.out.startswith("dpdk:"):
        raise UsageError(f"--out {args.out} is no port", "write dpdk: and a device")
    if args.like:
        found = list(planned_as(args.like, devices or [args.like], args.out, config, pipeline))
    elif devices:
        found = list(opened(devices, args.out, config, pipeline))
    else:
        return _list(args.json)
    if args.json:
        made = [{**as_json(name, plan), "steering": steering(name, plan, config, pipeline)} for name, plan in found]
        print(json.dumps({"ports": made}, indent=2))
    else:
        print("\n\n".join("\n".join(_lines(name, plan, config, pipeline)) for name, plan in found))
    return 0


def opened(
    devices: Sequence[str], out: str | None, config: Config, pipeline: Pipeline | None
) -> Iterator[tuple[str, OffloadPlan]]:
    """The plans of real ports. Raises BurstlineError for one that cannot be had, or cannot do what is asked."""
    from burstline import dpdk
    from burstline.engine.live_ports import LivePorts

    dpdk.require()
    ports = LivePorts(devices, out, config, config.engine.workers, pipeline)
    ports.start_eal()
    with ports.opened(reads=pipeline is None or needs_of(pipeline).bytes):
        yield from zip((f"dpdk:{device}" for device in ports.devices), ports.offloads.plans, strict=True)


def planned_as(
    like: str, devices: Sequence[str], out: str | None, config: Config, pipeline: Pipeline | None
) -> Iterator[tuple[str, OffloadPlan]]:
    """The plans that the ports would have, were they of the driver `like`. Raises BurstlineError."""
    from burstline.buffers.receive import Capabilities
    from burstline.engine.live_buffers import LiveBuffers
    from burstline.engine.live_offloads import ORDINARY_MTU, LiveOffloads

    can = recorded(like)
    leaves = out.removeprefix("dpdk:") if out else None
    ports = [*devices, *([leaves] if leaves and leaves not in devices else [])]
    offloads = LiveOffloads(config, ports, len(devices), leaves, pipeline)
    receive = [
        offloads.restricted(
            port,
            Capabilities(
                driver=can.driver,
                mtu=config.port(f"dpdk:{port}").mtu or ORDINARY_MTU,
                min_buffer=can.min_buffer,
                pools=can.rx_pools,
                segments=can.rx_segments,
                segment_pools=can.rx_segment_pools,
                by_headers=can.rx_splits_headers,
                scatter="SCATTER" in can.rx,
            ),
        )
        for port in ports
    ]
    tuned = offloads.tuned([can] * len(ports))
    reads = pipeline is None or needs_of(pipeline).bytes
    buffers = LiveBuffers(tuned, receive, ports, reads=reads, wanted=[offloads.wanted(port) for port in ports])
    plans = offloads.plan([can] * len(ports), [ORDINARY_MTU] * len(ports), buffers)
    yield from zip((f"dpdk:{port}" for port in ports), plans, strict=True)


def as_json(name: str, plan: OffloadPlan) -> dict[str, Any]:
    return {"device": name, "can": plan.asked.can.as_json(), **plan.as_json()}


def steering(name: str, plan: OffloadPlan, config: Config, pipeline: Pipeline | None) -> list[str]:
    """What a port could be steered with, and what of that cannot do the rules of the run."""
    device, can = name.removeprefix("dpdk:"), plan.asked.can
    made = steered_with(device, can.driver, can.reta_size)
    rules = [*(pipeline.steering if pipeline else ()), *(each.rule for each in config.steering)]
    if not rules or not plan.asked.use.receives or is_xdp(device):
        return made
    cores = config.engine.cores or range(config.engine.workers)
    choice = Choice.of(device, replace(config.port(name), steer="auto"), config.engine.workers)
    choice.try_on_paper(
        can.driver, can.reta_size, config.engine.workers, rules, {core: k for k, core in enumerate(cores)}.__getitem__,
        covers=config.offloads_of(name).rss != "symmetric",
    )  # fmt: skip
    return [*made, choice.outlook(len(rules))]


def _lines(name: str, plan: OffloadPlan, config: Config, pipeline: Pipeline | None) -> list[str]:
    could = steering(name, plan, config, pipeline)
    return [*lines(name, plan), *(f"  {'steering:' if k == 0 else '         '} {each}" for k, each in enumerate(could))]


def lines(name: str, plan: OffloadPlan) -> list[str]:
    """For a terminal."""
    can = plan.asked.can
    assumed = f"  as recorded from {can.recorded}" if can.recorded else ""
    return [
        f"{name} ({can.driver}), MTU {plan.mtu:,}",
        *([assumed] if assumed else []),
        *(f"  {line}" for line in abilities(can)),
        *(f"  {line}" for line in plan.lines()),
    ]


def abilities(can: PortCapabilities) -> list[str]:
    """What a port can do, in a few lines."""
    rx, tx = can.rx_descriptors, can.tx_descriptors
    most = f"up to {can.max_mtu:,}" if can.max_mtu < 65535 else "of any size"
    lro = f"; merges up to {can.max_lro:,} bytes" if can.max_lro else ""
    cut = (
        f"; {can.tx_segments:,} buffers a packet to cut, {can.tx_mtu_segments:,} any other"
        if can.tx_segments < 65535
        else ""
    )
    spread = (
        f", RSS by {len(can.rss)} functions, RETA of {can.reta_size}, key of {can.key_size} bytes"
        if can.rss
        else ", no RSS"
    )
    return [
        f"can receive: {', '.join(sorted(can.rx)) or 'nothing'}{lro}",
        f"can send: {', '.join(sorted(can.tx)) or 'nothing'}{cut}",
        f"has {can.max_rx_queues:,} and {can.max_tx_queues:,} queues{spread}",
        f"takes an MTU {most}; rings of {rx.least:,} to {rx.most:,} and {tx.least:,} to {tx.most:,}",
    ]


def _pipeline(spec: str) -> Pipeline:
    from burstline.engine.app import load_app

    return load_app(spec)


def _list(as_text: bool) -> int:
    """The devices that could be named here."""
    pci, virtual = _devices()
    if as_text:
        print(json.dumps({"pci": pci, "virtual": virtual, "recorded": names()}, indent=2))
        return 0
    print("PCI network devices")
    for address, (kernel, driver) in pci.items():
        print(f"  dpdk:{address}  {driver or 'no DPDK driver'}, held by {kernel or 'no kernel driver'}")
    print("\n".join(["  none"] * (not pci)), end="\n" * (not pci))
    print(f"virtual devices\n  {', '.join(f'dpdk:{name}' for name in virtual) or 'none: this is built without DPDK'}")
    print(f"drivers to plan for with --as\n  {', '.join(names())}")
    return 0


def _devices() -> tuple[dict[str, tuple[str | None, str]], list[str]]:
    from burstline import dpdk

    if not dpdk.available():
        return {}, []
    from burstline.dpdk.device import Device, pci_network_devices
    from burstline.dpdk.drivers import driver_for, virtual_drivers

    found = pci_network_devices()
    return {a: (kernel, driver_for(Device("pci", a))) for a, kernel in found.items()}, virtual_drivers()
