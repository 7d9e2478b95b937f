"""`burstline doctor --fix`: says what it does and why, does it, and says what takes it back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from burstline.engine.repairs import repairs
from burstline.errors import UsageError


def fix(
    sources: Sequence[str], pages: int | None, *, dry: bool, root: Path = Path("/"), out: TextIO | None = None
) -> int:
    """`sources` as the command has them, dpdk:0000:3b:00.0. Raises BurstlineError at the first step that fails; what
    was done before stays done, and was told."""
    out = out or sys.stdout
    other = next((source for source in sources if not _is_pci(source)), None)
    if other is not None:
        raise UsageError(f"{other} is no PCI device, and needs no driver", "write dpdk:0000:3b:00.0")
    found = list(repairs(root, [source.removeprefix("dpdk:") for source in sources], pages))
    if not found:
        print("nothing to mend", file=out)
    for each in found:
        print(f"{each.reason}", file=out)
        for step in each.steps:
            print(f"  {'would do' if dry else 'do'}: {step}", file=out)
        print(f"  undo: {' && '.join(map(str, each.undo))}", file=out, flush=True)
        if not dry:
            each.carry_out(root)
    return 0


def _is_pci(source: str) -> bool:
    address = source.removeprefix("dpdk:").partition(",")[0]
    return source.startswith("dpdk:") and address.count(":") == 2 and "." in address
