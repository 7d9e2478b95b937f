"""`burstline buffers SOURCE`: the sizes of frames, and the buffer sizes that hold them in the least memory."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from burstline.buffers.classes import (
    DEFAULT,
    OVERHEAD,
    STEP,
    Histogram,
    SizeClasses,
    clairvoyant,
    histogram,
    propose,
)
from burstline.cli.progress import ProgressLine
from burstline.engine.config import MOST_CLASSES, load
from burstline.errors import UsageError

LARGEST = 2048  # of the classes that are proposed, at least: every driver receives into buffers of this size
ONE = SizeClasses((9216,))  # what pools are compared with: one size, which holds any jumbo frame
BAR = 40
EPILOG = f"""A buffer counts with what it takes beside its packet: {OVERHEAD} bytes of mempool header, rte_mbuf and
headroom. "Exact" is a buffer for each frame of just the cache lines that it needs, which no pool can have."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("source", metavar="SOURCE", help="a capture, plain or compressed; - is stdin; or gen:...")
    parser.add_argument("--classes", "-k", type=int, default=4, metavar="K", help="sizes to propose (default 4)")
    parser.add_argument(
        "--largest", type=int, metavar="BYTES", help=f"the largest size (default: of the largest frame, or {LARGEST:,})"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings whose classes are compared")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    if not 1 <= args.classes <= MOST_CLASSES:
        raise UsageError(f"--classes {args.classes}: a pool has 1 to {MOST_CLASSES} sizes", "write --classes 4")
    frames = frame_sizes(args.source)
    if not frames:
        raise UsageError(f"{args.source} has no packets", "give a capture with packets in it")
    largest = args.largest if args.largest is not None else max(LARGEST, *frames)
    chosen = {
        "proposed": propose(frames, args.classes, largest),
        "configured": load(args.config).pools.size_classes if args.config else DEFAULT,
        "one size": ONE,
    }
    if args.json:
        print(json.dumps(as_json(args.source, frames, chosen), indent=2))
    else:
        print("\n".join(lines(args.source, frames, chosen)))
    return 0


def frame_sizes(source: str) -> Histogram:
    """How many frames there are of each length on the wire. Raises CaptureError."""
    from burstline.ports.capture_reader import read_capture
    from burstline.ports.source import open_stream

    progress = ProgressLine()

    def seen() -> Any:
        for count, packet in enumerate(read_capture(stream, "standard input" if source == "-" else source), 1):
            if count % 1024 == 0:
                progress(0, None, count)
            yield packet.length

    with open_stream(source) as stream:
        try:
            return histogram(seen())
        finally:
            progress.clear()


def as_json(source: str, frames: Histogram, chosen: dict[str, SizeClasses]) -> dict[str, Any]:
    """What `--json` prints; memory in bytes, for all frames of the capture at once."""
    return {
        "source": source,
        "frames": sum(frames.values()),
        "sizes": {str(size): count for size, count in frames.items()},
        "exact": clairvoyant(frames),
        "classes": {name: {"sizes": c.sizes, "memory": c.memory(frames)} for name, c in chosen.items()},
    }


def lines(source: str, frames: Histogram, chosen: dict[str, SizeClasses]) -> list[str]:
    """For a terminal."""
    total = sum(frames.values())
    text = [f"{source}: {total:,} frames of {min(frames):,} to {max(frames):,} bytes", ""]
    shares = [(low, high, sum(n for size, n in frames.items() if low <= size <= high)) for low, high in _ranges(frames)]
    most = max(count for *_, count in shares)
    for low, high, count in shares:
        bar = "#" * round(BAR * count / most)
        text.append(f"{low:>7,} - {high:<7,} {count:>12,}  {100 * count / total:5.1f} %  {bar}".rstrip())
    exact, one = clairvoyant(frames), ONE.memory(frames)
    text += ["", f"{'buffers of':<42} {'a frame takes':>13}  {'of exact':>8}  {'of one size':>11}"]
    for name, classes in chosen.items():
        memory = classes.memory(frames)
        sizes = f"{name}: {', '.join(map(str, classes.sizes))}"
        text.append(f"{sizes:<42} {memory / total:>13,.0f}  {memory / exact:>8.2f}  {memory / one:>11.2f}")
    text.append(f"{'exact':<42} {exact / total:>13,.0f}  {1:>8.2f}  {exact / one:>11.2f}")
    return [*text, "", "[pools]", f"classes = {list(chosen['proposed'].sizes)}"]


def _ranges(frames: Histogram) -> list[tuple[int, int]]:
    """Powers of two, from the smallest frame to the largest."""
    bounds, high = list[tuple[int, int]](), STEP
    while not bounds or bounds[-1][1] < max(frames):
        low = bounds[-1][1] + 1 if bounds else 0
        if high >= min(frames):
            bounds.append((low if bounds else (high // 2 + 1 if high > STEP else 0), high))
        high *= 2
    return bounds
