"""A packet's first bytes, into working memory: as many as plain packets need at once, more only for others.

Not by the helper alone: its memcpy is `rep movsb` on many CPUs, from which loads that follow are not forwarded.
"""

from __future__ import annotations

from llvmlite import ir

from burstline.steering.xdp.code import I32, LOAD_BYTES, POINTER, Code, number
from burstline.steering.xdp.layout import WINDOW

DATA, DATA_END = 0, 4  # in struct xdp_md
PLAIN = 80  # bytes, of which the headers of plain packets have 74
WORD = 8


def copy_head(code: Code, scratch: ir.Value, length: ir.Value) -> None:
    """The first `PLAIN` bytes, or all of a packet that is shorter."""
    b = code.b
    data, end = (
        b.inttoptr(code.load(code.beside(code.context, at), 4, fresh=True), POINTER) for at in (DATA, DATA_END)
    )
    done, rest = code.block("copied"), code.block("rest")
    long, short = code.block("long"), code.block("short")
    b.cbranch(_within(code, data, PLAIN, end), long, short)
    b.position_at_end(long)
    for at in range(0, PLAIN, WORD):
        _copy(code, scratch, data, at)
    b.branch(done)
    b.position_at_end(short)
    for at in range(0, PLAIN - WORD, WORD):
        there = code.block("there")
        b.cbranch(_within(code, data, at + WORD, end), there, rest)
        b.position_at_end(there)
        _copy(code, scratch, data, at)
    b.branch(rest)
    b.position_at_end(rest)
    # The last bytes once more, since the length need be no multiple of eight; a packet has at least 14.
    last = b.and_(b.sub(length, number(WORD)), number(127))
    tail, here = code.beside(data, last), code.block("tail")
    b.cbranch(_within(code, tail, WORD, end), here, done)
    b.position_at_end(here)
    code.store(code.load(tail, WORD), code.beside(scratch, last), WORD)
    b.branch(done)
    b.position_at_end(done)


def copy_window(code: Code, scratch: ir.Value, length: ir.Value, failed: ir.Block) -> None:
    """All that is looked at of a packet that is no plain one; execution goes to `failed` if the kernel cannot."""
    b = code.b
    size = b.select(b.icmp_unsigned("<", length, number(WINDOW)), length, number(WINDOW))
    wrong = code.call(LOAD_BYTES, code.context, I32(0), scratch, b.trunc(size, I32))
    copied = code.block("all_copied")
    b.cbranch(b.icmp_unsigned("==", wrong, number(0)), copied, failed)
    b.position_at_end(copied)


def _copy(code: Code, scratch: ir.Value, data: ir.Value, at: int) -> None:
    code.store(code.load(code.beside(data, at), WORD), code.beside(scratch, at), WORD)


def _within(code: Code, data: ir.Value, size: int, end: ir.Value) -> ir.Value:
    return code.b.icmp_unsigned("<=", code.beside(data, size), end)
