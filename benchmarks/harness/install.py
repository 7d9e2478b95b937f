"""Where the peers are, and what installs them: programs of the system, Python packages, our own C.

Python peers may live in an environment of their own, which `benchmarks/install_peers.sh` makes: NFStream's needs must
not decide which NumPy burstline runs with.
"""

from __future__ import annotations

import functools
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.harness.process import output

BENCHMARKS = Path(__file__).parent.parent
INSTALL = "sh benchmarks/install_peers.sh"
C_FLAGS = ("-std=gnu11", "-O3", "-march=native", "-Wall", "-Wextra", "-Werror")


def program(name: str) -> str | None:
    """The path of a program of the system; sbin directories count too."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin")


def python_with(module: str, cache: Path) -> str | None:
    """A Python that can import `module`: the peers' own environment, or the one that runs this."""
    for python in (str(cache / "venv" / "bin" / "python"), sys.executable):
        if _imports(python, module):
            return python
    return None


@functools.cache
def _imports(python: str, module: str) -> bool:
    try:
        found = subprocess.run([python, "-c", f"import {module}"], capture_output=True, timeout=120, check=False)
    except OSError:
        return False
    return found.returncode == 0


def c_compiler() -> str | None:
    """clang, as `install_peers.sh` installs it; else gcc, with which tests can run and ratios are others."""
    return program("clang") or program("gcc")


def yardstick(name: str, cache: Path) -> Path | None:
    """`c/flows.c` with `c/NAME.c`, compiled for this machine when older than its source; None without a compiler."""
    compiler = c_compiler()
    if compiler is None:
        return None
    sources = [BENCHMARKS / "c" / "flows.c", BENCHMARKS / "c" / f"{name}.c"]
    newest = max(p.stat().st_mtime for p in (*sources, BENCHMARKS / "c" / "flows.h"))
    binary = cache / name
    if not binary.exists() or binary.stat().st_mtime < newest:
        cache.mkdir(parents=True, exist_ok=True)
        output([compiler, *C_FLAGS, *sources, "-o", binary])
    return binary


def shared_library(name: str, cache: Path, needs: str | None = None, compiler: str = "") -> Path | None:
    """`c/NAME.c` as a shared library, compiled for this machine when older than its source; None without a
    compiler (this one, where it is named), or without the library `needs` that pkg-config is asked for."""
    found = program(compiler) if compiler else c_compiler()
    flags = package_flags(needs) if needs else []
    if found is None or flags is None:
        return None
    source = BENCHMARKS / "c" / f"{name}.c"
    library = cache / (f"{name}-{compiler}.so" if compiler else f"{name}.so")
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        cache.mkdir(parents=True, exist_ok=True)
        output([found, *C_FLAGS, "-shared", "-fPIC", source, "-o", library, *flags])
    return library


def bpf_object(name: str, cache: Path) -> Path | None:
    """`c/NAME.c` for the kernel's BPF; None without clang."""
    compiler = program("clang")
    if compiler is None:
        return None
    source, made = BENCHMARKS / "c" / f"{name}.c", cache / f"{name}.bpf.o"
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        cache.mkdir(parents=True, exist_ok=True)
        headers = f"-I/usr/include/{platform.machine()}-linux-gnu"  # Debian's place of <asm/types.h>
        output([compiler, "-O2", "-target", "bpf", "-mcpu=v3", headers, "-c", source, "-o", made])
    return made


def linked_program(name: str, cache: Path, needs: str, *libraries: str) -> Path | None:
    """`c/NAME.c` as a program that is linked to the library `needs` of pkg-config and to others beside it; as
    `shared_library`."""
    compiler, flags = c_compiler(), package_flags(needs)
    if compiler is None or flags is None:
        return None
    source, binary = BENCHMARKS / "c" / f"{name}.c", cache / name
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        cache.mkdir(parents=True, exist_ok=True)
        output([compiler, *C_FLAGS, source, "-o", binary, *flags, *(f"-l{library}" for library in libraries)])
    return binary


def package_flags(package: str) -> list[str] | None:
    """What pkg-config says that a compiler needs for a library; None where it is not installed."""
    if program("pkg-config") is None:
        return None
    found = subprocess.run(["pkg-config", "--cflags", "--libs", package], capture_output=True, text=True, check=False)
    # DPDK names the CPU that it was built for; we compile for this one.
    flags = [flag for flag in found.stdout.split() if not flag.startswith("-march=")]
    return flags if found.returncode == 0 else None
