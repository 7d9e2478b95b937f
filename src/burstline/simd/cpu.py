"""The CPU that this process runs on: its name, its features, how wide its vectors are.

LLVM is asked first: it knows what a virtual machine hides. Without llvmlite, Linux's /proc/cpuinfo tells the same under
other names; elsewhere only what every CPU of the architecture has is known.
"""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass
from pathlib import Path

# /proc/cpuinfo's names (arch/x86/include/asm/cpufeatures.h, arch/arm64/kernel/cpuinfo.c) that are not LLVM's.
_LLVM_NAMES = {
    "pni": "sse3",
    "sse4_1": "sse4.1",
    "sse4_2": "sse4.2",
    "abm": "lzcnt",
    "bmi1": "bmi",
    "pclmulqdq": "pclmul",
    "rdrand": "rdrnd",
    "sha_ni": "sha",
    "lahf_lm": "sahf",
    "3dnowprefetch": "prfchw",
    "avx_vnni": "avxvnni",
    "asimd": "neon",
    "crc32": "crc",
}
# AVX-512 is of use from Skylake-SP's set on: bytes and words, all widths, and the instructions on doubles.
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})
# What the architecture itself promises: AMD64 ABI chapter 3.1, Arm's A-profile with floating point.
_BASELINE = {
    "x86_64": frozenset({"sse", "sse2"}),
    "amd64": frozenset({"sse", "sse2"}),
    "aarch64": frozenset({"neon"}),
    "arm64": frozenset({"neon"}),
}


@dataclass(frozen=True)
class CpuFeatures:
    """`name` and `features` as LLVM spells them; `source` tells who said so: llvm, /proc/cpuinfo or architecture."""

    name: str
    features: frozenset[str]
    source: str

    @property
    def sse42(self) -> bool:
        return "sse4.2" in self.features

    @property
    def avx2(self) -> bool:
        return "avx2" in self.features

    @property
    def avx512(self) -> bool:
        """AVX-512 with F, BW, DQ and VL."""
        return self.features >= _AVX512

    @property
    def neon(self) -> bool:
        return "neon" in self.features

    @property
    def vector_bits(self) -> int:
        """Bits in the widest integer vector that code may rely on; 64 where there are no vectors."""
        if self.avx512:
            return 512
        if self.avx2:
            return 256
        return 128 if self.neon or "sse2" in self.features else 64


@functools.cache
def detect_cpu_features() -> CpuFeatures:
    """The features of this host's CPU, asked once per process."""
    return from_llvm() or from_cpuinfo(Path("/")) or from_architecture()


def from_llvm() -> CpuFeatures | None:
    try:
        import llvmlite.binding as llvm

        features = llvm.get_host_cpu_features()
        name = llvm.get_host_cpu_name()
    except (ImportError, OSError, RuntimeError):  # not installed, does not load, or does not know this CPU
        return None
    return CpuFeatures(name, frozenset(flag for flag, there in features.items() if there), "llvm")


def from_cpuinfo(root: Path) -> CpuFeatures | None:
    try:
        lines = (root / "proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return None
    first: dict[str, str] = {}
    for line in lines:
        label, _, value = line.partition(":")
        first.setdefault(label.strip().lower(), value.strip())
    flags = first.get("flags") or first.get("features")
    if not flags:
        return None
    name = first.get("model name") or first.get("cpu part") or platform.machine()
    return CpuFeatures(name, frozenset(map(_llvm_name, flags.split())), "/proc/cpuinfo")


def from_architecture() -> CpuFeatures:
    machine = platform.machine()
    return CpuFeatures(machine or "unknown", _BASELINE.get(machine.lower(), frozenset()), "architecture")


def _llvm_name(flag: str) -> str:
    if flag.startswith("avx512"):
        return flag.replace("_", "")
    return _LLVM_NAMES.get(flag, flag)
