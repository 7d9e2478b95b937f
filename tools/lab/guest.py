"""What runs inside a machine of the lab, as root: huge pages, kernel modules, cards for DPDK, then pytest.

python -m tools.lab.guest MACHINE RESULTS [PYTEST ARGUMENTS]   writes pytest's exit status to RESULTS/status
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.lab.machines import MACHINES, Machine

PCI = Path("/sys/bus/pci")
DRIVER = "uio_pci_generic"


def hugepages(wanted: int) -> None:
    place = Path("/proc/sys/vm/nr_hugepages")
    place.write_text(str(wanted))
    if (got := int(place.read_text())) < wanted:
        raise SystemExit(f"the machine has {got} huge pages of the {wanted} that it is to have: give it more memory")


def bind(address: str) -> None:
    """Give a card to DPDK (driver_override: Documentation/ABI/testing/sysfs-bus-pci of the kernel)."""
    place = PCI / "devices" / address
    if (place / "driver").exists():
        (place / "driver" / "unbind").write_text(address)
    (place / "driver_override").write_text(DRIVER)
    (PCI / "drivers_probe").write_text(address)
    if (place / "driver").resolve().name != DRIVER:
        raise SystemExit(f"{address} was not bound to {DRIVER}")


def prepare(machine: Machine) -> None:
    for module in (DRIVER, *machine.modules):
        subprocess.run(["modprobe", module], check=True)
    hugepages(machine.hugepages)
    for number, nic in enumerate(machine.nics):
        if nic.dpdk:
            bind(machine.address(number))


def main(name: str, results: str, *arguments: str) -> None:
    prepare(MACHINES[name])
    environment = {
        **os.environ,
        "BURSTLINE_LAB": name,
        "BURSTLINE_LAB_RESULTS": results,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    print("lab: booted, cards bound; importing what the tests need", flush=True)
    words = ["-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", f"--junitxml={results}/junit.xml"]
    # A pipeline that is compiled within a test takes ten minutes and more.
    words += ["-o", f"faulthandler_timeout={MACHINES[name].minutes * 60:.0f}", *arguments]
    done = subprocess.run([sys.executable, *words], env=environment, check=False)
    Path(results, "status").write_text(str(done.returncode))


if __name__ == "__main__":
    main(*sys.argv[1:])
