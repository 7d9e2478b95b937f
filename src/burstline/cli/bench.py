"""`burstline bench`: burstline beside its peers, on this machine; the benches themselves lie in `benchmarks/`.

A bench is one Python file there, `NAME.py`. Its docstring says which work is compared, and its `run(options)` yields a
`Row` for each comparison. Peers are found, not bundled: one that is missing is named with what installs it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from burstline.errors import BurstlineError, UsageError

Cell = str | float | int | None

LESS_IS_BETTER = frozenset({
    "s", "ms", "us", "ns", "ns/packet", "cycles/packet", "MB", "%", "lines", "buffers", "max/mean", "packets",
    "core-looks", "moves",
})  # fmt: skip
_HEADINGS = ("bench", "case", "peer", "ours", "theirs", "unit", "ratio", "runs")


@dataclass(frozen=True)
class Row:
    """One comparison: medians of `runs` runs each, in `unit`; without a peer only our figure."""

    bench: str
    case: str
    peer: str | None
    ours: float
    theirs: float | None
    unit: str
    runs: int

    @property
    def ratio(self) -> float | None:
        """Above 1 we are better, whether of the unit more is better or less."""
        if self.theirs is None:
            return None
        if self.ours == self.theirs:  # both may be 0
            return 1.0
        over, under = (self.theirs, self.ours) if self.unit in LESS_IS_BETTER else (self.ours, self.theirs)
        return over / under if under else float("inf")

    def as_json(self) -> dict[str, Cell]:
        ratio = self.ratio
        return {
            "bench": self.bench,
            "case": self.case,
            "peer": self.peer,
            "ours": self.ours,
            "theirs": self.theirs,
            "unit": self.unit,
            "ratio": None if ratio is None or math.isinf(ratio) else float(f"{ratio:.4g}"),  # JSON has no infinity
            "runs": self.runs,
        }


@dataclass(frozen=True)
class Missing:
    """A peer that is not on this machine, and the command that installs it."""

    bench: str
    peer: str
    install: str


@dataclass
class Options:
    """What a bench is told, and where it says what it does and what it could not compare."""

    bench: str
    quick: bool = False
    burst: bool = False
    plot: Path | None = None
    cache: Path = field(default_factory=lambda: cache_directory())
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)
    missing: list[Missing] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def runs(self, full: int) -> int:
        """How many pairs of runs are counted: `full`, or 2 with --quick. One more pair warms up."""
        return 2 if self.quick else full

    def lacks(self, peer: str, install: str) -> None:
        """Leave the peer's row out, and say what installs it."""
        self.missing.append(Missing(self.bench, peer, install))
        self.say(f"{self.bench}: {peer} is missing; install it with: {install}")

    def fails(self, what: str, error: BurstlineError) -> None:
        """Leave a row out that could not be measured; the command ends with an error after the other rows."""
        self.failures.append(what)
        self.say(f"burstline: error: bench {self.bench}, {what}: {error}")


class Bench(Protocol):
    """What a file in `benchmarks/` offers."""

    def run(self, options: Options) -> Iterable[Row]: ...


def alternate(ours: Callable[[], float], theirs: Callable[[], float], runs: int) -> tuple[float, float]:
    """The medians of `runs` pairs, run A B A B so that the machine's moods hit both; a first pair is dropped."""
    ours()
    theirs()
    pairs = [(ours(), theirs()) for _ in range(runs)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def cache_directory() -> Path:
    """Where captures, compiled yardsticks and peers are kept from one bench to the next; it is there."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    found = Path(base) / "burstline" / "bench"
    found.mkdir(parents=True, exist_ok=True)
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="the benches to run; all of them when none is named")
    parser.add_argument("--list", action="store_true", help="say which benches there are and what they compare")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output, nothing else")
    parser.add_argument("--quick", action="store_true", help="smaller inputs and fewer runs: a smoke test, no figures")
    parser.add_argument("--burst", action="store_true", help="of bench buffers only what is under loads that change")
    parser.add_argument(
        "--plot", type=Path, nargs="?", const=Path("."), metavar="DIRECTORY", help="draw what can be drawn, as SVG"
    )
    parser.add_argument("--dir", type=Path, help="where the benches lie; otherwise `benchmarks` of the checkout")


def run(args: argparse.Namespace) -> int:
    directory = find_directory(args.dir)
    known = bench_names(directory)
    if args.list:
        for name in known:
            about = (load(directory, name).__doc__ or "").strip()
            print(f"{name}\n    " + about.replace("\n", "\n    ").replace("\n    \n", "\n\n"))
        return 0
    names: list[str] = args.names or known
    for name in names:
        if name not in known:
            raise UsageError(f"there is no bench {name!r} in {directory}", f"the benches are {', '.join(known)}")
    rows, missing, failed = measure(directory, names, args.quick, args.burst, args.plot)
    if args.json:
        print(json.dumps(document(rows, missing), indent=2))
    else:
        print(table(rows))
        for lack in missing:
            print(f"missing: {lack.peer} ({lack.bench}); install it with: {lack.install}")
    return 1 if failed else 0


def measure(
    directory: Path, names: Sequence[str], quick: bool, burst: bool = False, plot: Path | None = None
) -> tuple[list[Row], list[Missing], bool]:
    """Run the benches. One that fails says so and leaves the rows that it had; the last value tells whether any did."""
    rows: list[Row] = []
    missing: list[Missing] = []
    failed = False
    for name in names:
        options = Options(name, quick, burst, plot)
        try:
            for row in load(directory, name).run(options):
                options.say(progress(row))
                rows.append(row)
        except BurstlineError as error:
            options.fails("the whole bench", error)
        failed = failed or bool(options.failures)
        missing += options.missing
    return rows, missing, failed


def find_directory(given: Path | None = None) -> Path:
    """The directory of the benches: the one given, or `benchmarks` beside `src` of the checkout, or in this one."""
    if given is not None:
        if bench_names(given):
            return given.resolve()
        raise UsageError(f"there are no benches in {given}", "give the `benchmarks` directory of a checkout")
    for root in (Path(__file__).resolve().parents[3], Path.cwd()):
        if (root / "benchmarks" / "harness").is_dir():
            return root / "benchmarks"
    raise UsageError(
        "the benches are not installed with the package", "run from a checkout of burstline, or give --dir BENCHMARKS"
    )


def bench_names(directory: Path) -> list[str]:
    return sorted(p.stem for p in directory.glob("*.py") if not p.stem.startswith("_"))


def load(directory: Path, name: str) -> Bench:
    """Import `benchmarks.NAME` from the checkout: the benches are a package, so that they can share a harness."""
    root = str(directory.parent)
    if root not in sys.path:
        sys.path.insert(0, root)
    return cast(Bench, importlib.import_module(f"{directory.name}.{name}"))


def document(rows: Iterable[Row], missing: Iterable[Missing]) -> dict[str, object]:
    """What `--json` prints."""
    return {
        "rows": [row.as_json() for row in rows],
        "missing": [{"bench": m.bench, "peer": m.peer, "install": m.install} for m in missing],
    }


def table(rows: Sequence[Row]) -> str:
    """The rows in aligned columns; texts to the left, figures to the right."""
    lines = [_HEADINGS, *(cells(row) for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(_HEADINGS))]
    left = {"bench", "case", "peer", "unit"}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if heading in left else cell.rjust(width)
            for heading, cell, width in zip(_HEADINGS, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def cells(row: Row) -> tuple[str, ...]:
    ratio = "-" if row.ratio is None else f"{row.ratio:,.2f}" if row.ratio < 100 else f"{row.ratio:,.0f}"
    theirs = "-" if row.theirs is None else figure(row.theirs)
    return (row.bench, row.case, row.peer or "-", figure(row.ours), theirs, row.unit, ratio, str(row.runs))


def figure(value: float) -> str:
    """Three or four digits that count: 15.72 M, 107.3 k, 0.214."""
    for factor, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:.4g}{letter}"
    return f"{value:.3g}"


def progress(row: Row) -> str:
    """What a person who waits wants to see when a row is done."""
    theirs = "" if row.theirs is None else f" against {row.peer}'s {figure(row.theirs)}: {cells(row)[6]} times as good"
    return f"{row.bench}: {row.case}: {figure(row.ours)} {row.unit}{theirs}"
