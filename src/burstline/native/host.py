"""The host that code is made for: its LLVM target, and which of its vector instructions are used.

`BURSTLINE_SIMD` restricts them, or the setting `simd`: `scalar` (vectors are taken apart, lane by lane), `sse`
(x86-64-v2), `avx2` (x86-64-v3), `avx512`, `neon`. Unset, it is all that the CPU has.
"""

from __future__ import annotations

import functools
import os

import llvmlite.binding as llvm

from burstline.errors import UsageError
from burstline.simd.cpu import CpuFeatures, detect_cpu_features

# x86-64 psABI 1.0, table 3.1: a CPU for LLVM, and what the kernels ask for by name.
_V2 = frozenset({"sse", "sse2", "sse3", "ssse3", "sse4.1", "sse4.2", "popcnt"})
_V3 = _V2 | {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"}
_LEVELS = {"scalar": ("x86-64", frozenset({"sse", "sse2"})), "sse": ("x86-64-v2", _V2), "avx2": ("x86-64-v3", _V3)}
_forced: str | None = None


@functools.cache
def initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@functools.cache
def levels() -> tuple[str, ...]:
    """What `BURSTLINE_SIMD` can be here, the widest one last."""
    found = detect_cpu_features()
    has = {"sse": found.sse42, "avx2": found.avx2, "avx512": found.avx512, "neon": found.neon}
    return ("scalar", *(level for level, there in has.items() if there))


def force_level(level: str | None) -> None:
    """For this process, before anything is compiled: the setting of a file. The environment has the last word."""
    global _forced
    if level is not None:
        _checked(level, "simd")
    _forced = level


def level() -> str:
    """The vector instructions that code is compiled to. Raises UsageError for those that this CPU does not have."""
    asked = os.environ.get("BURSTLINE_SIMD")
    return _checked(asked, "BURSTLINE_SIMD") if asked else _forced or levels()[-1]


def _checked(asked: str, where: str) -> str:
    if asked not in levels():
        raise UsageError(
            f"{where} is {asked!r}: this CPU has {', '.join(levels())}", "write one of these, or leave it out"
        )
    return asked


def is_forced() -> bool:
    return level() != levels()[-1]


def cpu() -> tuple[str, str]:
    """LLVM's name of the CPU that code is made for, and the features that it may use."""
    chosen = level()
    if chosen in _LEVELS and is_forced():
        return _LEVELS[chosen][0], ""
    return _host()


@functools.cache
def _host() -> tuple[str, str]:
    """This CPU, and the features that it (maybe a virtual machine) really lets us use."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def features() -> frozenset[str]:
    """What code may rely on, as LLVM spells it."""
    chosen = level()
    return _LEVELS[chosen][1] if chosen in _LEVELS and is_forced() else detect_cpu_features().features


def vector_bits() -> int:
    """Bits of the registers that vectors are put into."""
    return CpuFeatures("", features(), "").vector_bits if level() != "scalar" else 64


def target_machine() -> llvm.TargetMachine:
    """Small code model, position independent: hops become direct jumps, and the object can be cached and moved."""
    initialise()
    name, flags = cpu()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=name, features=flags, opt=3, reloc="pic", codemodel="small", jit=True
    )
