"""Probes of what is installed: Python, its packages, DPDK with its drivers, and burstline's extension for DPDK."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import burstline
from burstline.dpdk import available, require
from burstline.engine.probes.finding import Finding, count, no, unknown, yes
from burstline.errors import BurstlineError

OLDEST_PYTHON = (3, 11)
# Drivers that are worth a name in one line: the ones without a NIC, and the most common NICs'.
_WELL_KNOWN = (
    *("af_packet", "af_xdp", "memif", "null", "pcap", "ring", "tap", "virtio"),
    *("e1000", "i40e", "iavf", "ice", "igc", "ixgbe", "mlx5", "bnxt", "ena", "gve", "vmxnet3"),
)
# How the development files of DPDK are installed, by ID or ID_LIKE of os-release(5).
_INSTALL_DPDK = {
    "debian": "apt-get install -y libdpdk-dev pkg-config",
    "ubuntu": "apt-get install -y libdpdk-dev pkg-config",
    "fedora": "dnf install -y dpdk-devel pkgconf-pkg-config",
    "rhel": "dnf install -y dpdk-devel pkgconf-pkg-config",
    "suse": "zypper install -y dpdk-devel pkg-config",
    "alpine": "apk add dpdk-dev pkgconf",
}


def python(root: Path) -> Finding:
    found = f"{platform.python_version()} ({platform.python_implementation()})"
    if platform.python_implementation() != "CPython":
        return no(f"{found}: Numba needs CPython", "run burstline by python3")
    if sys.version_info < OLDEST_PYTHON:
        return no(f"{found}: 3.11 is the oldest that works", "see https://www.python.org/downloads/")
    return yes(found, version=platform.python_version())


def package(name: str, purpose: str) -> Callable[[Path], Finding]:
    """Whether a Python package is installed, without importing it: Numba alone takes half a second."""

    def probe(root: Path) -> Finding:
        try:
            found = version(name)
        except PackageNotFoundError:
            return no(f"not installed: {purpose}", pip(name))
        return yes(found, version=found)

    return probe


def zstd(root: Path) -> Finding:
    if sys.version_info >= (3, 14):
        return yes("in Python's own library")
    return package("zstandard", "captures compressed by zstd cannot be read")(root)


def dpdk(root: Path) -> Finding:
    found = pkg_config("--modversion")
    if found is None and (loaded := loaded_from()):  # without its development files, as in a container
        from burstline.dpdk import _dpdk

        version = _dpdk.VERSION.removeprefix("DPDK ")
        return yes(f"{version}, in {loaded}", version=version)
    if found is None and shutil.which("pkg-config") is None:
        return unknown("pkg-config, which finds DPDK, is not installed", install_dpdk(root))
    if found is None:
        if not sys.platform.startswith(("linux", "freebsd")):
            return no(f"DPDK does not run live ports on {platform.system()}: use capture files")
        return no("not installed: live ports need it, capture files do not", install_dpdk(root))
    return yes(f"{found}, in {pkg_config('--variable=libdir')}", version=found)


def drivers(root: Path) -> Finding:
    libdir = pkg_config("--variable=libdir") or loaded_from()
    if libdir is None:
        return unknown("there is no DPDK to have drivers")
    # EAL loads what lies in RTE_EAL_PMD_PATH: LIBDIR/dpdk/pmds-ABI.
    files = (root / libdir.lstrip("/")).glob("dpdk/pmds-*/librte_net_*.so*")
    names = sorted({match[1] for file in files if (match := re.match(r"librte_net_(\w+)\.so", file.name))})
    if not names:
        return unknown(f"{libdir}/dpdk holds none: a DPDK linked without shared drivers does not list them")
    known = [name for name in _WELL_KNOWN if name in names]
    among = f", among them {', '.join(known)}" if known else ""
    return yes(f"{count(len(names), 'network driver')}{among}", drivers=names)


def extension(root: Path) -> Finding:
    try:
        require()
    except BurstlineError as error:
        return no(error.message, rebuild())
    return yes("built, and it loads")


def loaded_from() -> str | None:
    """The directory of the DPDK that burstline's extension was loaded with; None where it does not load."""
    if not available():
        return None
    with suppress(OSError), open("/proc/self/maps") as maps:
        found = re.search(r"(/\S*)/librte_eal\.so", maps.read())
        return found[1] if found else None
    return None


def pkg_config(option: str) -> str | None:
    """What pkg-config tells of libdpdk; None when it knows nothing of it or is not there."""
    try:
        done = subprocess.run(
            ["pkg-config", option, "libdpdk"], capture_output=True, text=True, timeout=10, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def install_dpdk(root: Path) -> str:
    """The command that installs DPDK's development files on this system."""
    try:
        release = labelled_by_equals(root / "etc/os-release")
    except OSError:
        release = {}
    for system in [release.get("ID", ""), *release.get("ID_LIKE", "").split()]:
        if system in _INSTALL_DPDK:
            return _INSTALL_DPDK[system]
    return "install DPDK with its development files: https://core.dpdk.org/download/"


def labelled_by_equals(path: Path) -> dict[str, str]:
    """os-release(5): NAME=value lines, the value quoted or not."""
    lines = path.read_text(errors="replace").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {label.strip(): value.strip().strip("\"'") for label, _, value in pairs}


def rebuild() -> str:
    """The command that builds burstline again, in its source tree or as installed by pip."""
    tree = Path(burstline.__path__[0]).resolve().parent.parent
    if (tree / "meson.build").is_file() and (tree / "Makefile").is_file():
        return f"make -C {tree} build"
    return pip("--force-reinstall --no-deps --no-binary burstline burstline")


def pip(what: str) -> str:
    return f"{sys.executable} -m pip install {what}"
