"""The probes of the machine, against machines made of files, and against this one."""

from __future__ import annotations

import errno
import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from burstline.engine.probes import (
    GROUPS,
    PROBES,
    Finding,
    Outcome,
    Probe,
    devices,
    memory,
    privilege,
    processor,
)
from burstline.simd.cpu import CpuFeatures

YES, NO, UNKNOWN = Outcome.YES, Outcome.NO, Outcome.UNKNOWN
SMALL = "sys/kernel/mm/hugepages/hugepages-2048kB"
LARGE = "sys/kernel/mm/hugepages/hugepages-1048576kB"
ALL_CAPABILITIES = "CapEff:\t000001ffffffffff\n"
Machine = Callable[[Mapping[str, str | None]], Path]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Makes a root directory from paths and the text of the files; a text of None makes a directory."""

    def make(files: Mapping[str, str | None]) -> Path:
        for name, text in files.items():
            place = tmp_path / name
            (place if text is None else place.parent).mkdir(parents=True, exist_ok=True)
            if text is not None:
                place.write_text(text)
        return tmp_path

    return make


def pages(pool: str, total: int, free: int) -> dict[str, str | None]:
    return {f"{pool}/nr_hugepages": f"{total}\n", f"{pool}/free_hugepages": f"{free}\n"}


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_no_probe_fails_on_a_machine_without_files(probe: Probe, tmp_path: Path) -> None:
    finding = probe.ask(tmp_path)
    assert finding.outcome in Outcome
    assert "the probe failed" not in finding.detail


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_every_probe_answers_on_this_machine(probe: Probe) -> None:
    finding = probe.ask()
    assert finding.detail
    assert "the probe failed" not in finding.detail
    assert finding.outcome is not YES or finding.mend is None
    json.dumps(dict(finding.facts))


def test_names_are_unique_and_groups_known() -> None:
    assert len({probe.name for probe in PROBES}) == len(PROBES)
    assert {probe.group for probe in PROBES} == set(GROUPS)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/sys/x"), "/sys/x: Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/sys/x"), "there is no /sys/x here"),
        (ValueError("what is this"), "the probe failed: ValueError: what is this"),
    ],
)
def test_a_probe_that_cannot_look_could_not_tell(error: Exception, says: str) -> None:
    def look(root: Path) -> Finding:
        raise error

    finding = Probe("live", "x", look).ask()
    assert (finding.outcome, finding.detail) == (UNKNOWN, says)


def test_free_hugepages_of_any_size_are_a_yes(machine: Machine) -> None:
    finding = memory.hugepages(machine(pages(SMALL, 512, 500) | pages(LARGE, 0, 0)))
    assert (finding.outcome, finding.detail) == (YES, "500 of 512 of 2 MiB free; none of 1 GiB")
    assert finding.facts["kib"] == {2048: {"total": 512, "free": 500}, 1048576: {"total": 0, "free": 0}}


def test_hugepages_are_told_by_node(machine: Machine) -> None:
    node = "sys/devices/system/node/node{}/hugepages/hugepages-2048kB"
    root = machine(pages(SMALL, 512, 500) | pages(node.format(0), 256, 244) | pages(node.format(1), 256, 256))
    assert memory.hugepages(root).detail == "500 of 512 of 2 MiB free (node 0: 244, node 1: 256)"


def test_no_hugepages_are_mended_by_the_command_of_their_size(machine: Machine) -> None:
    root = machine(pages(SMALL, 0, 0) | pages(LARGE, 0, 0) | {"proc/meminfo": "Hugepagesize:       2048 kB\n"})
    finding = memory.hugepages(root)
    assert (finding.outcome, finding.mend) == (NO, "echo 512 > /proc/sys/vm/nr_hugepages")
    machine({"proc/meminfo": "Hugepagesize:    1048576 kB\n"})
    assert memory.hugepages(root).mend == f"echo 512 > /{SMALL}/nr_hugepages"


def test_hugepages_all_in_use_are_mended_by_more_of_them(machine: Machine) -> None:
    finding = memory.hugepages(machine(pages(SMALL, 64, 0) | {"proc/meminfo": "Hugepagesize: 2048 kB\n"}))
    assert (finding.outcome, finding.mend) == (NO, "echo 576 > /proc/sys/vm/nr_hugepages")
    assert "all in use" in finding.detail


def test_the_mount_of_hugepages_is_found(machine: Machine) -> None:
    root = machine({"proc/mounts": "proc /proc proc rw 0 0\nnodev /mnt/huge\\040pages hugetlbfs rw 0 0\n"})
    assert memory.hugetlbfs(root).detail == "mounted on /mnt/huge pages"
    machine({"proc/mounts": "proc /proc proc rw 0 0\n"})
    assert memory.hugetlbfs(root).outcome is NO
    assert "mount -t hugetlbfs" in str(memory.hugetlbfs(root).mend)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("[always] madvise never", YES), ("always [madvise] never", YES), ("always madvise [never]", NO), ("", UNKNOWN)],
)
def test_transparent_hugepages(text: str, outcome: Outcome, machine: Machine) -> None:
    root = machine({"sys/kernel/mm/transparent_hugepage/enabled": f"{text}\n"})
    assert memory.transparent(root).outcome is outcome


@pytest.mark.parametrize(
    ("limit", "capabilities", "outcome"),
    [("unlimited", "0", YES), ("8388608", "0", NO), ("134217728", "0", YES), ("65536", "4000", YES)],
)
def test_locked_memory(limit: str, capabilities: str, outcome: Outcome, machine: Machine) -> None:
    row = f"Max locked memory         {limit}              {limit}              bytes\n"
    root = machine({"proc/self/limits": row, "proc/self/status": f"CapEff:\t{capabilities}\n"})
    assert memory.locked(root).outcome is outcome


def test_numa_nodes_are_told_with_their_cores(machine: Machine) -> None:
    node = "sys/devices/system/node/node{}/{}"
    root = machine(
        {
            node.format(0, "cpulist"): "0-3\n",
            node.format(0, "meminfo"): "Node 0 MemTotal:       16777216 kB\n",
            node.format(10, "cpulist"): "\n",
            node.format(10, "meminfo"): "Node 10 MemTotal:       1048576 kB\n",
        }
    )
    assert memory.numa(root).detail == "2 nodes (node 0: cores 0-3, 16 GiB; node 10: no cores, 1 GiB)"


def test_caches_are_told_by_level(machine: Machine) -> None:
    rows = [("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "1280K"), ("3", "Unified", "55296K")]
    files: dict[str, str | None] = {}
    for number, row in enumerate(rows):
        place = f"sys/devices/system/cpu/cpu0/cache/index{number}"
        files |= {f"{place}/{name}": f"{text}\n" for name, text in zip(("level", "type", "size"), row, strict=True)}
    assert processor.caches(machine(files)).detail == "L1d 48 KiB, L1i 32 KiB, L2 1.2 MiB, L3 54 MiB"


def test_cores_are_those_online_and_allowed(machine: Machine) -> None:
    root = machine({"proc/self/status": "Cpus_allowed_list:\t0-1,4-9\n", "sys/devices/system/cpu/online": "0-5\n"})
    assert processor.cores(root).detail == "4 of 6 cores may be used: 0-1,4-5"


def test_isolated_cores(machine: Machine) -> None:
    files = {"sys/devices/system/cpu/isolated": "\n", "sys/devices/system/cpu/online": "0-7\n"}
    finding = processor.isolated(machine(files))
    assert finding.outcome is NO
    assert "isolcpus=7 " in str(finding.mend)
    assert processor.isolated(machine(files | {"sys/devices/system/cpu/isolated": "2-3,6\n"})).facts["cores"] == [
        2,
        3,
        6,
    ]
    assert (
        processor.isolated(
            machine(files | {"sys/devices/system/cpu/isolated": "", "sys/devices/system/cpu/online": "0"})
        ).mend
        is None
    )


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (CpuFeatures("x", frozenset({"sse2"}), "llvm"), NO),
        (CpuFeatures("x", frozenset({"sse2", "avx2"}), "llvm"), YES),
        (CpuFeatures("x", frozenset({"neon"}), "llvm"), YES),
        (CpuFeatures("x86_64", frozenset({"sse2"}), "architecture"), UNKNOWN),
    ],
)
def test_vectors_that_a_virtual_machine_hides_are_mended(
    found: CpuFeatures, outcome: Outcome, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "detect_cpu_features", lambda: found)
    finding = processor.features(machine({"proc/cpuinfo": "flags : sse2 hypervisor\n"}))
    assert finding.outcome is outcome
    assert (finding.mend is not None) == (outcome is NO)


def test_missing_capabilities_are_named(machine: Machine) -> None:
    finding = privilege.capabilities(machine({"proc/self/status": "CapEff:\t0000000000002000\n"}))
    assert finding.outcome is NO
    assert finding.facts["missing"] == ["CAP_NET_ADMIN", "CAP_IPC_LOCK"]
    assert str(finding.mend).startswith("sudo ")


def test_capabilities_of_a_user_namespace_do_not_count_as_a_yes(machine: Machine) -> None:
    root = machine({"proc/self/status": ALL_CAPABILITIES, "proc/self/uid_map": "         0          0 4294967295\n"})
    assert privilege.capabilities(root).outcome is YES
    machine({"proc/self/uid_map": "         0       1000          1\n"})
    assert privilege.capabilities(root).outcome is UNKNOWN


@pytest.mark.parametrize(
    ("number", "outcome"),
    [(None, YES), (errno.EPERM, NO), (errno.EAFNOSUPPORT, NO), (errno.ENOMEM, UNKNOWN)],
)
def test_af_xdp(number: int | None, outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_socket() -> None:
        if number is not None:
            raise OSError(number, "as the kernel says")

    monkeypatch.setattr(privilege, "open_af_xdp", open_socket)
    assert Probe("live", "AF_XDP", privilege.af_xdp).ask(tmp_path).outcome is outcome


@pytest.mark.parametrize(
    ("cpuinfo", "mend"),
    [
        ("vendor_id : GenuineIntel\nflags : vmx\n", "intel_iommu=on"),
        ("vendor_id : AuthenticAMD\nflags : svm\n", "iommu=pt"),
        ("vendor_id : GenuineIntel\nflags : vmx hypervisor\n", "enable_unsafe_noiommu_mode"),
    ],
)
def test_an_iommu_that_is_switched_off_is_mended_by_vendor(cpuinfo: str, mend: str, machine: Machine) -> None:
    finding = devices.iommu(machine({"sys/kernel/iommu_groups": None, "proc/cpuinfo": cpuinfo}))
    assert finding.outcome is NO
    assert mend in str(finding.mend)


def test_iommu_groups_are_counted(machine: Machine) -> None:
    root = machine({"sys/kernel/iommu_groups/0": None, "sys/kernel/iommu_groups/1": None})
    assert (devices.iommu(root).outcome, devices.iommu(root).detail) == (YES, "2 groups")


def test_vfio_tells_what_is_bound_to_it(machine: Machine) -> None:
    root = machine({"sys/bus/pci/drivers/vfio-pci/0000:3b:00.0": None, "sys/bus/pci/drivers/vfio-pci/bind": ""})
    assert devices.vfio(root).facts["bound"] == ["0000:3b:00.0"]


def test_vfio_that_is_not_loaded_is_mended(machine: Machine) -> None:
    root = machine({"sys/bus/pci/drivers/ice": None, f"lib/modules/{platform.release()}": None})
    assert (devices.vfio(root).outcome, devices.vfio(root).mend) == (NO, "modprobe vfio-pci")
