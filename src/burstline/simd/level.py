"""Which vector instructions code is made of: all that the CPU has, or fewer.

`BURSTLINE_SIMD` says so, or the setting `simd`: `scalar` (vectors are taken apart, lane by lane), `sse` (x86-64-v2),
`avx2` (x86-64-v3), `avx512`, `neon`.
"""

from __future__ import annotations

import functools
import os

from burstline.errors import UsageError
from burstline.simd.cpu import CpuFeatures, detect_cpu_features

VARIABLE = "BURSTLINE_SIMD"
# x86-64 psABI 1.0, table 3.1: a CPU for LLVM, and what the kernels ask for by name.
_V1 = frozenset({"sse", "sse2"})
_V2 = _V1 | {"sse3", "ssse3", "sse4.1", "sse4.2", "popcnt"}
_V3 = _V2 | {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"}
_CPUS = {"scalar": ("x86-64", _V1), "sse": ("x86-64-v2", _V2), "avx2": ("x86-64-v3", _V3)}
_forced: str | None = None


@functools.cache
def known() -> tuple[str, ...]:
    """What the level can be on this CPU, the one with the widest vectors last."""
    found = detect_cpu_features()
    has = {"sse": found.sse42, "avx2": found.avx2, "avx512": found.avx512, "neon": found.neon}
    return ("scalar", *(level for level, there in has.items() if there))


def force(level: str | None) -> None:
    """For this process, before anything is compiled; None lifts it. The environment has the last word."""
    global _forced
    _forced = None if level is None else _checked(level, "simd")


def used() -> str:
    """The level that code is made for. Raises UsageError for one that this CPU does not have."""
    asked = os.environ.get(VARIABLE)
    return _checked(asked, VARIABLE) if asked else _forced or known()[-1]


def _checked(asked: str, where: str) -> str:
    if asked not in known():
        there = ", ".join(known())
        raise UsageError(f"{where} is {asked!r}: this CPU has {there}", "write one of these, or leave it out")
    return asked


def cpu() -> str | None:
    """LLVM's name of a CPU that has no more than the level; None where it is this one, with all that it has."""
    level = used()
    return _CPUS[level][0] if level in _CPUS and level != known()[-1] else None


def features() -> frozenset[str]:
    """What code may rely on, as LLVM spells it."""
    return _CPUS[used()][1] if cpu() else detect_cpu_features().features


def vector_bits() -> int:
    """Bits of the registers that vectors are put into."""
    return 64 if used() == "scalar" else CpuFeatures("", features(), "").vector_bits
