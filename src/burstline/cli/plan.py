"""`burstline plan APP`: where on a NUMA machine its workers, pools and tables belong, and why."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from burstline.cli.core_list import cores_of
from burstline.errors import UsageError

if TYPE_CHECKING:
    from burstline.engine.plan_demand import Traffic

EPILOG = """Without ports, all network devices of the machine. A pin fixes a thread to a CPU or a node, or memory to a
node: worker0=cpu:3, worker0=node:1, flows=node:0, pool=node:0. --cores and [engine] cores are pins too.
  burstline plan app.py --topology epyc-7763-2s-nps4 --workers 16 --rate 20M --skew 0.8
  burstline plan app.py dpdk:0000:3b:00.0 --workers 8 --pin flows=node:0"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from burstline.numa.plan import METHODS

    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("app", metavar="APP", help="a Python file with a pipeline; FILE:NAME picks one of several")
    parser.add_argument("ports", metavar="dpdk:DEVICE", nargs="*", help="ports that packets come from and leave by")
    parser.add_argument("--topology", metavar="MACHINE", help="another machine than this one, as for `topology`")
    parser.add_argument("--overlay", type=Path, metavar="FILE", help="TOML with what firmware does not tell")
    parser.add_argument("--workers", "-w", type=int, metavar="N", help="worker threads")
    parser.add_argument("--cores", metavar="LIST", help="cores of the workers, e.g. 2,3, which are kept")
    parser.add_argument("--rate", default="10M", metavar="RATE", help="packets/s that each port receives (default 10M)")
    parser.add_argument("--packet", type=float, default=512, metavar="BYTES", help="of a packet (default 512)")
    parser.add_argument("--skew", type=float, default=0.0, help="of queues, by Zipf's law (default 0: even)")
    parser.add_argument("--ns", type=float, default=60, metavar="NS", help="of computing for a packet (default 60)")
    parser.add_argument("--pin", action="append", default=[], metavar="WHAT=WHERE", help="what is fixed, and where to")
    parser.add_argument(
        "--method", choices=METHODS, default="auto", help="how to plan (default: what is small exactly)"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="that a search takes, at most (default 2)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: burstline.toml beside APP)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the plan, for `burstline run --plan FILE`")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from burstline.engine.app import load_app
    from burstline.engine.config import load
    from burstline.engine.learned_costs import learned_costs
    from burstline.engine.live_buffers import is_pci
    from burstline.engine.placement.planned import node_here
    from burstline.engine.plan_demand import app_demand, config_pins
    from burstline.numa.explanation import as_json, lines
    from burstline.numa.find import find_topology
    from burstline.numa.pins import Pin
    from burstline.numa.plan import make_plan

    other = next((port for port in args.ports if not port.startswith("dpdk:")), None)
    if other is not None:
        raise UsageError(f"{other} is no port", "write dpdk: and a device, as for `burstline run`")
    traffic = _traffic(args)
    config = load(args.config, Path(args.app.partition(":")[0]))
    config = config.with_overrides(workers=args.workers, cores=cores_of(args.cores))
    pins = [*config_pins(config), *(Pin.of(text) for text in args.pin)]
    machine = find_topology(args.topology, args.overlay)
    pipeline = load_app(args.app)
    devices = [port.removeprefix("dpdk:") for port in args.ports if not args.topology]
    nodes = {device: node_here(device, machine, config) for device in devices if not is_pci(device)}
    demand = app_demand(pipeline, config, machine, args.ports, traffic, pipeline.profile, nodes=nodes)
    model = None if args.topology else learned_costs(config, pipeline)  # learned on this machine
    plan = make_plan(machine, demand, pins, method=args.method, seconds=args.seconds, model=model)
    cores = list(plan.cpus[: config.engine.workers])
    told = json.dumps({"app": args.app, **as_json(plan), "cores": cores}, indent=2)
    if args.save:
        args.save.write_text(f"{told}\n", encoding="utf-8")
    if args.json:
        print(told)
    else:
        print("\n".join(lines(plan)))
        if args.save:
            print(f"\nto carry it out: burstline run {args.app} {' '.join(args.ports) or 'PORTS'} --plan {args.save}")
        else:
            print(f"\nto have the workers there: --workers {len(cores)} --cores {','.join(map(str, cores))}")
    return 0


def _traffic(args: argparse.Namespace) -> Traffic:
    from burstline.engine.plan_demand import Traffic

    factor = {"k": 1e3, "m": 1e6, "g": 1e9}.get(args.rate[-1:].lower())
    try:
        rate = float(args.rate[:-1] if factor else args.rate) * (factor or 1)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e12:
        raise UsageError(f"--rate {args.rate} is no number of packets a second", "write it as 500k, 20M or 1000000")
    for name, value, low, high in (
        ("--packet", args.packet, 14, 65535), ("--skew", args.skew, 0, 4), ("--ns", args.ns, 0.1, 1e6),
        ("--seconds", args.seconds, 0.01, 3600),
    ):  # fmt: skip
        if not low <= value <= high:
            raise UsageError(f"{name} {value:g} is not from {low:g} to {high:g}", "see `burstline plan --help`")
    return Traffic(rate, args.packet, args.skew, args.ns)
