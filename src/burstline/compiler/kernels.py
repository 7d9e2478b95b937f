"""The engine's own compiled functions that stages call by name; only those that a pipeline uses are compiled."""

from __future__ import annotations

from collections.abc import Sequence

from numba.core import types

from burstline.compiler.columns import CHECKSUM_SYMBOLS, CHECKSUMS_WRONG, ZEROS
from burstline.compiler.counters import counters_ir, counters_of
from burstline.compiler.entropy_type import ENTROPY
from burstline.compiler.header_type import EXTENSION_SYMBOL
from burstline.compiler.kinds.digest import each_digest
from burstline.compiler.kinds.flow_table import each_table
from burstline.compiler.kinds.match import each_match
from burstline.compiler.state_type import AHEAD, KERNELS, StateKernel
from burstline.native.build import Build, wrapper_ir
from burstline.packet import checksum, entropy, entropy_kernel, extension
from burstline.packet.burst import Burst
from burstline.packet.entropy import MOST_BYTES
from burstline.pipeline.needs import Needs
from burstline.state.base import State

i64 = types.int64
ALL_AHEAD = "burstline_ahead"
# By plain names: compiled code does not look into modules.
are_wrong = checksum.checksums_wrong


def checksums_wrong(data: int, captured: int, present: int, l3: int, l4: int) -> int:
    return 1 if are_wrong(data, captured, present, l3, l4) else 0  # type: ignore[arg-type]


PACKET_KERNELS = (
    StateKernel(EXTENSION_SYMBOL, extension.find_extension, (i64,) * 4),
    StateKernel(CHECKSUM_SYMBOLS["ipv4"], checksum.fix_ipv4, (i64,) * 4),
    StateKernel(CHECKSUM_SYMBOLS["l4"], checksum.fix_l4, (i64,) * 5),
    StateKernel(CHECKSUMS_WRONG, checksums_wrong, (i64,) * 5),
    StateKernel(ENTROPY, entropy_kernel.entropy_of, (i64,) * 2),
)


def ahead_ir(calls: Sequence[tuple[str, str]]) -> str:
    """What is worked out of a whole burst before its stages: `i64 (burst, count, own)`, which calls a kernel for each
    state object."""
    passed = "i64 %burst, i64 %count, i64 %own"
    lines = [
        f"  %r{k} = call i64 @{kernel}(i64 ptrtoint (ptr @{s} to i64), {passed})" for k, (kernel, s) in enumerate(calls)
    ]
    body = "\n".join(lines)
    return f"define i64 @{ALL_AHEAD}({passed}) alwaysinline {{\n{body}\n  ret i64 0\n}}"


def kernel_ir(build: Build, state: Sequence[State], burst: Burst, needs: Needs) -> str:
    """IR for everything that the modules compiled so far refer to, and that the loops call once a burst."""
    parts = [f"@{ZEROS} = constant [8 x i64] zeroinitializer, align 64", "declare i64 @llvm.smin.i64(i64, i64)"]
    counters = counters_of(state)
    parts += [f"@{s.symbol} = external global i64" for s in state if s not in counters]
    parts += [counters_ir(counters), *each_digest(state), *each_table(build, state, burst), *each_match(build, state)]

    def add(kernel: StateKernel) -> None:
        parts.append(wrapper_ir(kernel.name, build.compile(kernel.function, kernel.types(burst)), kernel.inline))  # type: ignore[arg-type]

    worked_out = []
    for kind, kernel, when in AHEAD:
        objects = [s for s in state if isinstance(s, kind)] if when(needs) else []
        if objects:
            add(kernel)
            worked_out += [(kernel.name, s.symbol) for s in objects]
    parts.append(ahead_ir(worked_out))
    text = "\n".join([*build.modules.values(), *parts])
    for kernel in (*KERNELS, *PACKET_KERNELS):
        if f"@{kernel.name}(" in text or f'@"{kernel.name}"(' in text:
            add(kernel)
    if ENTROPY in text:
        numbers = ", ".join(f"i64 {term}" for term in entropy.table())
        parts.append(f"@burstline_entropy_terms = constant [{MOST_BYTES + 1} x i64] [{numbers}]")
    return "\n".join(parts)
