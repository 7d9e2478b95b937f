"""What is told of this CPU: by LLVM, and by /proc/cpuinfo where LLVM is not there."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from burstline.simd import cpu
from burstline.simd.cpu import detect_cpu_features


def test_the_features_of_this_cpu_are_found_without_numba() -> None:
    found = detect_cpu_features()
    assert found.name
    assert found.vector_bits in (64, 128, 256, 512)
    assert found is detect_cpu_features(), "asked once per process"


@pytest.mark.parametrize(
    ("flags", "sse42", "avx2", "avx512", "bits"),
    [
        ("fpu", False, False, False, 64),
        ("sse2 sse4_2", True, False, False, 128),
        ("sse2 sse4_2 avx avx2", True, True, False, 256),
        ("sse2 sse4_2 avx2 avx512f", True, True, False, 256),
        ("sse2 sse4_2 avx2 avx512f avx512bw avx512dq avx512vl avx512_vnni", True, True, True, 512),
        ("fp asimd crc32", False, False, False, 128),
    ],
)
def test_the_names_of_proc_cpuinfo_mean_the_same_as_llvms(
    flags: str, sse42: bool, avx2: bool, avx512: bool, bits: int, tmp_path: Path
) -> None:
    label = "Features" if "asimd" in flags else "flags"
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor\t: 0\nmodel name\t: Some CPU\n{label}\t\t: {flags}\n")
    found = cpu.from_cpuinfo(tmp_path)
    assert found is not None
    assert (found.name, found.sse42, found.avx2, found.avx512, found.vector_bits) == (
        "Some CPU",
        sse42,
        avx2,
        avx512,
        bits,
    )


@pytest.mark.skipif(
    not Path("/proc/cpuinfo").exists() or platform.machine() != "x86_64", reason="needs Linux on x86-64"
)
def test_proc_cpuinfo_and_llvm_agree_on_this_machine() -> None:
    theirs = cpu.from_cpuinfo(Path("/"))
    ours = cpu.from_llvm()
    assert ours is not None
    assert theirs is not None
    assert (ours.sse42, ours.avx2, ours.avx512, ours.vector_bits) == (
        theirs.sse42,
        theirs.avx2,
        theirs.avx512,
        theirs.vector_bits,
    )


def test_without_llvm_and_proc_only_the_architecture_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    assert cpu.from_llvm() is None
    assert cpu.from_cpuinfo(tmp_path) is None
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert cpu.from_architecture().vector_bits == 128
    monkeypatch.setattr(platform, "machine", lambda: "")
    assert (cpu.from_architecture().name, cpu.from_architecture().vector_bits) == ("unknown", 64)
