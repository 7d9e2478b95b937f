"""`burstline doctor --fix`: what is done to a machine, on trees of files like those of one, and to hugepages really."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from burstline.cli.doctor_fix import fix
from burstline.cli.main import main
from burstline.engine.repairs import Run
from burstline.errors import BurstlineError, UsageError

PAGES = "sys/kernel/mm/hugepages/hugepages-2048kB"
NIC = "0000:3b:00.0"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Without a hugepage, and with a NIC of the kernel's."""
    files = {
        f"{PAGES}/nr_hugepages": "4", f"{PAGES}/free_hugepages": "0",
        "proc/mounts": "nodev /dev/hugepages hugetlbfs rw 0 0",
        "proc/net/route": "Iface Destination\neth0 00000000", "sys/bus/pci/drivers_probe": "",
        f"sys/bus/pci/devices/{NIC}/driver_override": "(null)", "sys/bus/pci/drivers/ice/unbind": "",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    nic = tmp_path / "sys/bus/pci/devices" / NIC
    (nic / "driver").symlink_to(tmp_path / "sys/bus/pci/drivers/ice")
    (nic / "iommu_group").mkdir()
    (nic / "net/eth1").mkdir(parents=True)
    (tmp_path / "sys/bus/pci/drivers/vfio-pci").mkdir()
    return tmp_path


def said(root: Path, *sources: str, pages: int | None = None, dry: bool = True) -> list[str]:
    out = io.StringIO()
    assert fix(sources, pages, dry=dry, root=root, out=out) == 0
    return out.getvalue().splitlines()


def contents(root: Path) -> dict[Path, str]:
    return {file: file.read_text() for file in root.rglob("*") if file.is_file()}


def test_a_dry_run_says_all_and_does_nothing(machine: Path) -> None:
    before = contents(machine)
    assert said(machine, f"dpdk:{NIC}") == [
        "0 of 4 hugepages of 2 MiB are free, and 516 are wanted in all",
        f"  would do: echo 516 > /{PAGES}/nr_hugepages",
        f"  undo: echo 4 > /{PAGES}/nr_hugepages",
        f"{NIC} is driven by ice, not by vfio-pci",
        f"  would do: echo vfio-pci > /sys/bus/pci/devices/{NIC}/driver_override",
        f"  would do: echo {NIC} > /sys/bus/pci/devices/{NIC}/driver/unbind",
        f"  would do: echo {NIC} > /sys/bus/pci/drivers_probe",
        f"  undo: echo '' > /sys/bus/pci/devices/{NIC}/driver_override"
        f" && echo {NIC} > /sys/bus/pci/devices/{NIC}/driver/unbind && echo {NIC} > /sys/bus/pci/drivers_probe",
    ]
    assert contents(machine) == before


def test_what_is_said_is_done(machine: Path) -> None:
    assert "  do: echo vfio-pci" in "\n".join(said(machine, f"dpdk:{NIC}", dry=False))
    found = {str(file.relative_to(machine)): text.strip() for file, text in contents(machine).items()}
    assert found[f"{PAGES}/nr_hugepages"] == "516"
    assert found[f"sys/bus/pci/devices/{NIC}/driver_override"] == "vfio-pci"
    assert found["sys/bus/pci/drivers/ice/unbind"] == found["sys/bus/pci/drivers_probe"] == NIC


def test_what_is_there_is_left_alone(machine: Path) -> None:
    (machine / PAGES / "free_hugepages").write_text("3\n")
    assert said(machine) == ["nothing to mend"]
    assert said(machine, pages=4) == ["nothing to mend"]
    assert said(machine, pages=10)[1] == f"  would do: echo 10 > /{PAGES}/nr_hugepages"
    driver = machine / "sys/bus/pci/devices" / NIC / "driver"
    driver.unlink()
    driver.symlink_to(machine / "sys/bus/pci/drivers/vfio-pci")
    assert said(machine, f"dpdk:{NIC}") == ["nothing to mend"]


def test_what_is_not_mounted_or_loaded_is_said(machine: Path) -> None:
    (machine / "proc/mounts").write_text("proc /proc proc rw 0 0\n")
    (machine / "sys/bus/pci/drivers/vfio-pci").rmdir()
    lines = said(machine, f"dpdk:{NIC}")
    assert "  would do: mount -t hugetlbfs nodev /dev/hugepages" in lines and "  undo: umount /dev/hugepages" in lines
    assert "  would do: modprobe vfio-pci" in lines


def test_a_port_with_routes_or_without_an_iommu_is_refused(machine: Path) -> None:
    nic = machine / "sys/bus/pci/devices" / NIC
    (nic / "iommu_group").rmdir()
    with pytest.raises(UsageError, match="no IOMMU group"):
        said(machine, f"dpdk:{NIC}")
    (nic / "net/eth0").mkdir()
    with pytest.raises(UsageError, match="is eth0, which has routes"):
        said(machine, f"dpdk:{NIC}")
    (machine / "proc/net/route").write_text("Iface Destination\n")
    with pytest.raises(UsageError, match="no IOMMU group"):
        said(machine, f"dpdk:{NIC}")
    ways = [f"{first:0<32} 40 {'':0<32} 00 {'':0<32} 00000100 00000001 00000000 00000001     eth0"
            for first in ("fe80", "ff", "20010db8")]  # fmt: skip
    (machine / "proc/net/ipv6_route").write_text("\n".join(ways[:2]))
    with pytest.raises(UsageError, match="no IOMMU group"):
        said(machine, f"dpdk:{NIC}")
    (machine / "proc/net/ipv6_route").write_text("\n".join(ways))
    with pytest.raises(UsageError, match="is eth0, which has routes"):
        said(machine, f"dpdk:{NIC}")
    with pytest.raises(UsageError, match="there is no PCI device"):
        said(machine, "dpdk:0000:00:00.0")
    with pytest.raises(UsageError, match="needs no driver"):
        said(machine, "dpdk:net_null0")


def test_a_kernel_that_gives_fewer_pages_is_told(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burstline.engine.repairs.Write.carry_out", lambda self, root: None)
    with pytest.raises(BurstlineError, match="gave 4 of 516 pages"):
        said(machine, dry=False)


def test_a_program_that_fails_is_told_with_what_it_said() -> None:
    with pytest.raises(OSError, match="nothing"):
        Run(("sh", "-c", "echo nothing >&2; exit 3")).carry_out(Path("/"))


def test_how_without_what_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--dry-run"]) == 2
    assert "--fix" in capsys.readouterr().err


@needs_root
def test_hugepages_are_reserved_really_and_given_back() -> None:
    place = Path("/") / PAGES / "nr_hugepages"
    if not place.is_file() or not os.access(place, os.W_OK):
        pytest.skip("hugepages cannot be reserved here")
    before, was_there = int(place.read_text()), Path("/dev/hugepages").exists()
    out = io.StringIO()
    try:
        try:
            fix([], before + 2, dry=False, out=out)
        except BurstlineError as error:
            if "Read-only" in str(error) or "not permitted" in str(error) or "Permission" in str(error):
                pytest.skip(str(error))
            raise
        assert int(place.read_text()) >= before + 2
    finally:
        place.write_text(f"{before}\n")
        if "mount -t" in out.getvalue():
            subprocess.run(["umount", "/dev/hugepages"], check=True)
            if not was_there:
                Path("/dev/hugepages").rmdir()
    assert f"undo: echo {before} > /{PAGES}/nr_hugepages" in out.getvalue()
