"""What compiled views read of one packet: the columns of the burst, and the functions that are linked by name."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from burstline.native.memory import I64
from burstline.packet.burst import Burst
from burstline.packet.burst_type import read

ZEROS = "burstline_zeros"  # 64 bytes, defined by kernels.py
CHECKSUM_SYMBOLS = {"ipv4": "burstline_fix_ipv4", "l4": "burstline_fix_l4"}
CHECKSUMS_WRONG = "burstline_checksums_wrong"


class Columns:
    """The columns of one packet, or of its inner one."""

    def __init__(self, builder: Any, kind: Any, base: Any, index: Any) -> None:
        self.builder, self.level = builder, kind.level
        self.burst: Burst = kind.burst
        self.base, self.index = base, index

    def read(self, name: str) -> Any:
        """A column of the packet as a whole."""
        return read(self.builder, self.burst, self.base, name, self.index)

    def found(self, name: str) -> Any:
        """A column of what the parser found of this level."""
        if name == "l2" and not self.level:
            return I64(0)  # no other link layer shows headers that are found by it
        return self.read(self.level + name)

    def has(self, bits: int) -> Any:
        found = self.builder.and_(self.found("present"), I64(bits))
        return self.builder.icmp_unsigned("!=", found, I64(0))


def zeros(builder: Any) -> Any:
    """The address that absent headers are read from."""
    block = builder.module.globals.get(ZEROS)
    if block is None:
        block = ir.GlobalVariable(builder.module, ir.ArrayType(I64, 8), ZEROS)
        block.linkage = "external"
        block.global_constant = True
    return builder.ptrtoint(block, I64)


def call(builder: Any, symbol: str, args: list[Any]) -> Any:
    """A function over numbers that kernels.py links."""
    function = builder.module.globals.get(symbol) or ir.Function(
        builder.module, ir.FunctionType(I64, [I64] * len(args)), symbol
    )
    return builder.call(function, args)


def fix(columns: Columns, what: str, bits: int) -> None:
    """Call the checksum function when one of the headers in `bits` is there."""
    with columns.builder.if_then(columns.has(bits)):
        found = [columns.found(c) for c in (["present", "l3", "l4"] if what == "l4" else ["present", "l3"])]
        call(columns.builder, CHECKSUM_SYMBOLS[what], [columns.read("data"), columns.read("captured"), *found])
