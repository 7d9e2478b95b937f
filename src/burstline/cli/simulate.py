"""`burstline simulate`: balancing policies over traffic on a machine that need not be here."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.errors import UsageError

if TYPE_CHECKING:
    from burstline.numa.simulate.outcome import Outcome
    from burstline.numa.simulate.scenario import Scenario
    from burstline.numa.simulate.traffic import Traffic

EPILOG = """TRAFFIC is steady, skewed, shifting, flash, or a capture, whose packets are sent as fast as --load says.
POLICY is the balancer of [numa_balance], static (RSS as drivers set it up), greedy (as RSS++), greedy-100ms, or all.
  burstline simulate --topology epyc-7763-2s-nps4 --traffic shifting --policy all
  burstline simulate --topology xeon-6248-2s --traffic flash --workers 16 --policy balancer --explain
  burstline simulate --topology xeon-8180-8s --traffic capture.pcapng --svg loads.svg"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--topology", metavar="MACHINE", help="another machine than this one, as for `topology`")
    parser.add_argument("--overlay", type=Path, metavar="FILE", help="TOML with what firmware does not tell")
    parser.add_argument("--traffic", default="skewed", metavar="TRAFFIC", help="what comes (default skewed)")
    parser.add_argument("--policy", action="append", metavar="POLICY", help="what decides; several may be given (all)")
    parser.add_argument("--workers", "-w", type=int, metavar="N", help="worker threads (default 8, or all there are)")
    parser.add_argument("--placement", choices=("spread", "near"), default="spread", help="over nodes, or by the ports")
    parser.add_argument("--ports", type=int, default=2, metavar="N", help="network devices, at most (default 2)")
    parser.add_argument("--load", type=float, default=0.8, help="of what all workers can do (default 0.8)")
    parser.add_argument("--ns", type=float, default=300, metavar="NS", help="of computing for a packet (default 300)")
    parser.add_argument("--packet", type=float, default=512, metavar="BYTES", help="of a packet (default 512)")
    parser.add_argument("--seconds", type=float, default=2.0, help="that are simulated (default 2)")
    parser.add_argument("--seed", type=int, default=0, help="of all chance (default 0)")
    parser.add_argument("--buckets", type=int, default=128, metavar="N", help="of each port's RETA (default 128)")
    parser.add_argument("--explain", action="store_true", help="print each decision of the balancer with its reason")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw loads, waits and moves into this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object, decisions and all")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, of which [numa_balance] counts")


def run(args: argparse.Namespace) -> int:
    _check(args)
    from burstline.engine.config import load
    from burstline.numa.find import find_topology
    from burstline.numa.simulate.machine import Work
    from burstline.numa.simulate.scenario import POLICIES, Scenario

    topology = find_topology(args.topology, args.overlay)
    names = args.policy or ["all"]
    names = list(POLICIES) if "all" in names else list(dict.fromkeys(names))
    workers = args.workers or min(8, topology.threads)
    scenario = Scenario(
        topology, workers, args.placement, args.ports, args.load, args.seconds, buckets=args.buckets, seed=args.seed,
        work=Work(ns=args.ns, size=args.packet),
    )  # fmt: skip
    scenario.machine()
    for name in names:
        scenario.policy(name)
    traffic = _captured(args, scenario) if Path(args.traffic).is_file() else scenario.traffic(args.traffic)
    outcomes = scenario.compare(traffic, names, load(args.config).numa_balance)
    if args.svg:
        from burstline.numa.simulate.draw import draw_outcomes

        args.svg.write_text(draw_outcomes(outcomes, _title(scenario, traffic)), encoding="utf-8")
    if args.json:
        print(json.dumps(_as_json(scenario, traffic, outcomes), indent=2))
    else:
        print("\n".join(_lines(scenario, traffic, outcomes, args.explain)))
    return 0


def _captured(args: argparse.Namespace, scenario: Scenario) -> Traffic:
    """Packets of a capture, as fast as the load says, over again until the time is over."""
    import numpy as np

    from burstline.engine.flow_packets import flow_packets
    from burstline.numa.simulate.traffic import replayed

    packets = flow_packets([args.traffic])
    machine = scenario.machine()
    rate = scenario.load * scenario.workers * 1e9 / machine.alone()
    times = np.asarray(packets.times, np.float64)
    lasts = (times[-1] - times[0]) * (1 + 1 / len(times))
    return replayed(
        Path(args.traffic).name, packets.hashes, times, packets.numbers, len(machine.ports),
        faster=rate / (len(times) / lasts * 1e9), seconds=scenario.seconds,
    )  # fmt: skip


def _check(args: argparse.Namespace) -> None:
    for name, value, low, high in (
        ("--load", args.load, 0.001, 10), ("--ns", args.ns, 1, 1e6), ("--packet", args.packet, 64, 65535),
        ("--seconds", args.seconds, 0.05, 3600), ("--ports", args.ports, 1, 64),
        ("--workers", args.workers or 1, 1, 4096), ("--buckets", args.buckets, 1, 65536),
        ("--seed", args.seed, 0, 1e9),
    ):  # fmt: skip
        if not low <= value <= high:
            raise UsageError(f"{name} {value:g} is not from {low:g} to {high:g}", "see `burstline simulate --help`")
    if args.buckets & (args.buckets - 1):
        raise UsageError(f"--buckets {args.buckets} is no power of two", "NICs have 128 or 512")


def _title(scenario: Scenario, traffic: Traffic) -> str:
    return (
        f"{scenario.topology.name}, {scenario.workers} workers, {traffic.name} traffic, "
        f"load {scenario.load:g}, seed {scenario.seed}"
    )


def _lines(scenario: Scenario, traffic: Traffic, outcomes: Sequence[Outcome], explain: bool) -> Iterator[str]:
    from burstline.numa.balance.actions import MoveGroup

    machine = scenario.machine()
    yield _title(scenario, traffic)
    yield (
        f"  workers on CPUs {','.join(map(str, machine.cpus))}; ports on node{'s' if len(machine.ports) > 1 else ''} "
        f"{', '.join(map(str, machine.ports))}; {sum(outcomes[0].came) / outcomes[0].times[-1] / 1e6:.3g} M packets/s"
    )
    yield ""
    yield f"{'':20}{'p50':>11}{'p99':>11}{'p99.9':>11}{'dropped':>10}{'busiest':>10}{'mean':>8}{'moves':>8}{'held':>8}"
    for one in outcomes:
        waits = "".join(f"{one.wait(share) / 1e3:>8,.1f} µs" for share in (0.5, 0.99, 0.999))
        busy = one.as_json()["busy"]
        share = 100 * one.drops / max(1, one.packets)
        held = 100 * sum(one.held) / max(1, one.packets)
        yield (
            f"{one.policy:20}{waits}{share:>8.2f} %{max(busy):>10.2f}{sum(busy) / len(busy):>8.2f}{one.moves():>8}"
            f"{held:>6.2f} %"
        )
    for one in outcomes if explain else ():
        if one.log:
            yield ""
            yield one.policy
        for time, action in one.log:
            what = f"move {action.group} to {action.worker}" if isinstance(action, MoveGroup) else (
                f"{type(action).__name__.lower()} {action.worker}"
            )  # fmt: skip
            yield f"{time:>9.3f} s  {what}: {action.reason}"


def _as_json(scenario: Scenario, traffic: Traffic, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    from dataclasses import asdict

    machine = scenario.machine()
    return {
        "topology": scenario.topology.name, "traffic": traffic.name, "load": scenario.load, "seed": scenario.seed,
        "seconds": outcomes[0].times[-1], "look": scenario.timing.look, "cpus": machine.cpus, "ports": machine.ports,
        "policies": [
            one.as_json() | {
                "decisions": [
                    {"time": time, "action": type(action).__name__, **asdict(action)} for time, action in one.log
                ],
            }
            for one in outcomes
        ],
    }  # fmt: skip
