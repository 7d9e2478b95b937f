"""The route bench's pipeline: the stage of examples/router.py, with sixteen next hops on one port and routes from a
file, which the environment names; a line has a prefix and the number of its next hop."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import burstline as bl

HOPS = 16
EXAMPLE = Path(__file__).parents[2] / "examples" / "router.py"


def lines(path: Path) -> Iterator[tuple[str, int]]:
    for line in path.read_text().splitlines():
        prefix, _, hop = line.partition(" ")
        yield prefix, int(hop)


def example() -> Any:
    """The example, with what it names replaced before it is compiled."""
    spec: Any = importlib.util.spec_from_file_location("router_example", EXAMPLE)
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.routes = bl.PrefixMap(lines(Path(os.environ["BURSTLINE_BENCH_ROUTES"])))
    module.PORT = (0,) * HOPS
    module.OURS = tuple(bl.mac(f"02:00:00:00:{k:02x}:01") for k in range(HOPS))
    module.THEIRS = tuple(bl.mac(f"02:00:00:00:{k:02x}:02") for k in range(HOPS))
    return module


pipeline = bl.Pipeline(example().route)
