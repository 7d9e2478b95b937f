"""`burstline steer CAPTURE`: what the flow director's controller would do with the flows of a capture. A dry run.
`burstline steer LOG`: what it did beside live ports."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.cli.steer_log import is_log, show_log
from burstline.errors import UsageError
from burstline.steering.control.decision_log import flow_text, lines_of, spelled

if TYPE_CHECKING:
    from burstline.steering.control.outcome import Outcome

BUSY = 0.5  # of a core, on average, where --core-rate says nothing
LOOKS = 200  # of a capture, where --look says nothing
SHORTEST, LONGEST = 0.001, 1.0  # seconds
SHOWN = 10  # elephants
EPILOG = """Cores are simulated: each does --core-rate packets a second, and its queue holds 1024. A RETA and a
rule table as a NIC has them hand packets to them by the Toeplitz hash, with NICs' usual key.
  burstline steer capture.pcapng --workers 8 --explain
  burstline steer gen:packets=1M,flows=1000,zipf=1.0 --core-rate 300k
The file that [steering_control] log names of a run between ports is shown in the same way:
  burstline steer decisions.jsonl --explain"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("captures", nargs="+", metavar="CAPTURE", help="captures, read as one; gen:...; or a log")
    parser.add_argument("--workers", "-w", type=int, default=8, metavar="N", help="cores to steer to (default 8)")
    parser.add_argument("--core-rate", metavar="RATE", help="packets/s of a core (default: cores are half busy)")
    parser.add_argument(
        "--look", type=float, metavar="SECONDS", help="from one look to the next (default: 200 of them)"
    )
    parser.add_argument("--rules", type=int, default=4096, metavar="N", help="room for exact rules (default 4096)")
    parser.add_argument("--reta", type=int, default=128, metavar="N", help="buckets of the RETA (default 128)")
    parser.add_argument("--explain", action="store_true", help="print each decision with its reason")
    parser.add_argument("--json", action="store_true", help="print one JSON object, decisions and all")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, of which [steering_control] counts")


def run(args: argparse.Namespace) -> int:
    if len(args.captures) == 1 and is_log(args.captures[0]):
        return show_log(args.captures[0], explain=args.explain, as_json=args.json)
    _check(args)
    from burstline.cli.progress import ProgressLine
    from burstline.engine.config import load
    from burstline.engine.flow_packets import flow_packets
    from burstline.steering.control.captured import Captured
    from burstline.steering.control.controller import Controller
    from burstline.steering.control.flows import Flows
    from burstline.steering.control.plain import Plain
    from burstline.steering.control.simulated_port import PortLimits
    from burstline.steering.control.simulator import Machine, simulate

    settings = load(args.config).steering_control
    progress = ProgressLine()
    packets = flow_packets(args.captures, progress if progress.enabled else None)
    progress.clear()
    seconds = int(packets.times[-1] - packets.times[0]) / 1e9
    look = args.look or min(LONGEST, max(SHORTEST, seconds / LOOKS))
    rate = _rate(args.core_rate) if args.core_rate else len(packets.times) / seconds / args.workers / BUSY
    flows = Flows(packets.keys, packets.hashes, packets.sizes)
    traffic = Captured(flows, packets.times, packets.numbers, look)
    machine = Machine(
        args.workers, rate, held=settings.held, cold=settings.cold, port=PortLimits(args.rules, reta=args.reta)
    )
    plain = simulate(Plain(), traffic, machine)
    steered = simulate(Controller(replace(settings, look=look)), traffic, machine)
    found = {
        "captures": args.captures,
        "packets": len(packets.times),
        "flows": len(flows),
        "seconds": seconds,
        "look": look,
        "cores": args.workers,
        "core_rate": rate,
        "plain": measured(plain),
        "steered": measured(steered),
        "elephants": elephants(packets, steered, args),
        "decisions": [spelled(time, action) for time, action in steered.log],
    }
    print(json.dumps(found, indent=2) if args.json else "\n".join(lines(found, args.explain)))
    return 0


def _check(args: argparse.Namespace) -> None:
    for name in args.captures:
        if name.startswith("dpdk:"):
            raise UsageError(
                f"{name} is a live port, and steer is a dry run", "capture some packets, and give that file"
            )
        if name.partition(":")[0].endswith(".py"):
            raise UsageError(
                f"{name} is an application, and what is steered depends on packets alone", "give a capture"
            )
    if not 2 <= args.workers <= 1024:
        raise UsageError(f"--workers {args.workers}: there is something to steer with 2 to 1024", "write --workers 8")
    if args.reta < args.workers or args.reta & (args.reta - 1) or args.reta > 1 << 16:
        hint = "NICs have 128 or 512"
        raise UsageError(f"--reta {args.reta} is no power of two from the number of workers to 65536", hint)
    if args.rules < 0:
        raise UsageError(f"--rules {args.rules} is less than nothing", "write --rules 0 for a device without rules")
    if args.look is not None and not 1e-4 <= args.look <= 3600:
        raise UsageError(f"--look {args.look:g} is not from 0.0001 to 3600 seconds", "write --look 0.01")


def _rate(text: str) -> float:
    factor = {"k": 1e3, "m": 1e6, "g": 1e9}.get(text[-1:].lower())
    try:
        rate = float(text[:-1] if factor else text) * (factor or 1)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e12:
        raise UsageError(f"--core-rate {text} is no number of packets a second", "write it as 500k, 2M or 1000000")
    return rate


def measured(outcome: Outcome) -> dict[str, Any]:
    """Of one way to hand packets to cores."""
    packets = outcome.offered.sum(axis=1)
    busy = packets > packets.mean() / 10  # the last look may have seen the end of the capture only
    times = outcome.imbalance[busy]
    return {
        "imbalance": float(times.mean()),
        "worst": float(times.max()),
        "dropped": round(outcome.drops),
        "wait": outcome.wait(0.99),
        "loads": outcome.loads.mean(axis=0).tolist(),
        "moves": outcome.moves,
        "rules": int(outcome.rules.max()),
    }


def elephants(packets: Any, outcome: Outcome, args: argparse.Namespace) -> list[dict[str, Any]]:
    """The flows with the most packets, and where they went at the end."""
    import numpy as np

    from burstline.steering.control.actions import Place, Release

    counts = np.bincount(packets.numbers)
    seconds = int(packets.times[-1] - packets.times[0]) / 1e9
    found = []
    for number in np.argsort(-counts, kind="stable")[:SHOWN]:
        key, bucket = packets.keys[number], int(packets.hashes[number]) % args.reta
        said = [(t, a) for t, a in outcome.log if isinstance(a, Place | Release) and a.key == key]
        placed = [(t, a) for t, a in said if isinstance(a, Place)]
        found.append(
            {
                "flow": flow_text(key),
                "packets": int(counts[number]),
                "rate": float(counts[number] / seconds),
                "bucket": bucket,
                "plain_core": bucket % args.workers,
                "steered_core": placed[-1][1].core if placed else None,
                "level": placed[-1][1].level if placed else None,
                "since": placed[0][0] if placed else None,
            }
        )
    return found


def lines(found: dict[str, Any], explain: bool) -> Iterator[str]:
    """For a terminal."""
    plain, steered = found["plain"], found["steered"]
    looks = f"looks of {1000 * found['look']:.3g} ms"
    yield (
        f"{' and '.join(found['captures'])}: {found['packets']:,} packets of {found['flows']:,} flows in "
        f"{found['seconds']:.4g} s; {looks}"
    )
    yield f"{found['cores']} simulated cores of {found['core_rate']:,.0f} packets/s"
    yield ""
    yield f"{'':34}{'plain RSS':>12}{'steered':>12}"
    yield f"{'fullest core, times the mean load':34}{plain['imbalance']:>12.3f}{steered['imbalance']:>12.3f}"
    yield f"{'at the worst look':34}{plain['worst']:>12.3f}{steered['worst']:>12.3f}"
    yield f"{'packets dropped':34}{plain['dropped']:>12,}{steered['dropped']:>12,}"
    yield f"{'99 % wait no longer than, us':34}{1e6 * plain['wait']:>12,.1f}{1e6 * steered['wait']:>12,.1f}"
    for core, loads in enumerate(zip(plain["loads"], steered["loads"], strict=True)):
        yield f"{f'load of core {core}':34}{loads[0]:>11.1%} {loads[1]:>11.1%}"
    yield ""
    yield from _elephants(found)
    yield ""
    moves = f"{steered['moves']:,} move{'s' * (steered['moves'] != 1)}, {steered['rules']:,} rules at most"
    yield f"decisions: {len(found['decisions']):,}; {moves}" + ("" if explain else "; --explain shows them")
    if explain:
        for one in found["decisions"]:
            yield from lines_of(one)


def _elephants(found: dict[str, Any]) -> Iterator[str]:
    flows: Sequence[dict[str, Any]] = found["elephants"]
    width = max(len(one["flow"]) for one in flows)
    yield f"{'flow':{width}}  {'packets/s':>10}  {'of a core':>9}  {'plain':>5}  {'steered':>7}  since"
    for one in flows:
        where = "-" if one["steered_core"] is None else str(one["steered_core"])
        since = "its bucket decides" if one["since"] is None else f"{one['since']:.3f} s, {one['level']} rule"
        share = f"{one['rate']:>10,.0f}  {one['rate'] / found['core_rate']:>9.1%}"
        yield f"{one['flow']:{width}}  {share}  {one['plain_core']:>5}  {where:>7}  {since}"
