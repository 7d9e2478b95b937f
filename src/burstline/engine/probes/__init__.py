"""What this machine offers to burstline: every probe, in the order in which they are shown."""

from __future__ import annotations

from burstline.engine.probes import devices, memory, privilege, processor, software
from burstline.engine.probes.finding import Finding, Outcome, Probe

__all__ = ["GROUPS", "PROBES", "Finding", "Outcome", "Probe"]

GROUPS = {
    "offline": "Capture files",
    "machine": "The machine",
    "live": "Live ports",
}

PROBES = (
    Probe("offline", "Python", software.python, essential=True),
    Probe("offline", "Numba", software.package("numba", "it compiles the stages"), essential=True),
    Probe("offline", "llvmlite", software.package("llvmlite", "it makes the machine code"), essential=True),
    Probe("offline", "NumPy", software.package("numpy", "tables are read out as its arrays"), essential=True),
    Probe("offline", "pyarrow", software.package("pyarrow", "tables cannot be written as Parquet")),
    Probe("offline", "zstd", software.zstd),
    Probe("machine", "CPU features", processor.features),
    Probe("machine", "caches", processor.caches),
    Probe("machine", "cores", processor.cores),
    Probe("machine", "isolated cores", processor.isolated),
    Probe("machine", "NUMA nodes", memory.numa),
    Probe("machine", "transparent hugepages", memory.transparent),
    Probe("live", "DPDK", software.dpdk),
    Probe("live", "DPDK drivers", software.drivers),
    Probe("live", "DPDK extension", software.extension),
    Probe("live", "receive rings", processor.rings),
    Probe("live", "hugepages", memory.hugepages),
    Probe("live", "hugetlbfs", memory.hugetlbfs),
    Probe("live", "privileges", privilege.capabilities),
    Probe("live", "locked memory", memory.locked),
    Probe("live", "AF_XDP", privilege.af_xdp),
    Probe("live", "IOMMU", devices.iommu),
    Probe("live", "VFIO", devices.vfio),
)
