"""What the lab needs of the system: QEMU, a kernel with modules, busybox, and virtme-ng, which has an environment of
its own. Installed where it is missing, as root with apt-get."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "modprobe": "kmod",
}
KERNEL = "linux-image-amd64"
ENVIRONMENT = Path(__file__).parents[2] / "build" / "lab" / "virtme-ng"


class Missing(Exception):
    """Says what to install."""


def vng() -> Path:
    """virtme-ng's command."""
    packages = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    _install([*packages, *([] if _kernels() else [KERNEL])])
    command = ENVIRONMENT / "bin" / "vng"
    if not command.exists():
        print("lab: installing virtme-ng", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, "install", "virtme-ng>=1.32"], check=False).returncode:
            raise Missing(f"virtme-ng is missing: pip install virtme-ng, into {ENVIRONMENT}")
    return command


def kernel() -> Path:
    """The newest kernel that has modules here."""
    if not (found := _kernels()):
        raise Missing(f"there is no kernel with modules: apt-get install {KERNEL}")
    return found[-1]


def _kernels() -> list[Path]:
    found = [path for path in Path("/boot").glob("vmlinuz-*") if (Path("/lib/modules") / path.name[8:]).is_dir()]
    return sorted(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)])


def _install(packages: list[str]) -> None:
    if not packages:
        return
    words = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if not shutil.which("apt-get"):
        raise Missing(f"missing of the system: {' '.join(packages)}")
    print(f"lab: {words}", flush=True)
    update = ["apt-get", "update", "-qq"]
    subprocess.run(update, check=False)  # a source may be out of reach that none of them is in
    if subprocess.run([*words.split(), "-yqq"], stdout=subprocess.DEVNULL, check=False).returncode:
        raise Missing(f"as root: {words}")
