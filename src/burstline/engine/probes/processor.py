"""Probes of the processor: vectors, caches, the cores that this process may use, and those kept free of others."""

from __future__ import annotations

from pathlib import Path

from burstline.buffers.classes import DEFAULT
from burstline.buffers.footprint import CacheShare, buffer_bytes, fitting
from burstline.buffers.receive import ORDINARY
from burstline.engine.probes.finding import Finding, count, labelled, no, read, size, unknown, yes
from burstline.errors import UsageError
from burstline.simd import level
from burstline.simd.cpu import detect_cpu_features

_CPU = "sys/devices/system/cpu"


def features(root: Path) -> Finding:
    cpu = detect_cpu_features()
    held = {"SSE4.2": cpu.sse42, "AVX2": cpu.avx2, "AVX-512": cpu.avx512, "NEON": cpu.neon}
    names = [name for name, there in held.items() if there]
    detail = f"{cpu.name}: {', '.join(names) or 'no vector unit that is known'}; vectors of {cpu.vector_bits} bits"
    try:
        chosen = level.used()
    except UsageError as error:
        return no(f"{detail}; {error.message}", f"unset {level.VARIABLE}", name=cpu.name)
    if chosen != level.known()[-1]:
        detail += f", of which {chosen} is used ({level.VARIABLE}): {level.vector_bits()}"
    if cpu.source == "architecture":
        return unknown(f"{detail} at least (neither LLVM nor /proc/cpuinfo told more)")
    if cpu.vector_bits < 256 and not cpu.neon:
        virtual = "hypervisor" in labelled(root / "proc/cpuinfo").get("flags", "").split()
        mend = "start this virtual machine with the CPU of its host: qemu-system-x86_64 -cpu host" if virtual else None
        return no(detail, mend, name=cpu.name, features=sorted(cpu.features), vector_bits=cpu.vector_bits)
    return yes(
        detail, name=cpu.name, features=sorted(cpu.features), vector_bits=cpu.vector_bits, used=chosen,
        used_bits=level.vector_bits(),
    )  # fmt: skip


def caches(root: Path) -> Finding:
    suffix = {"Data": "d", "Instruction": "i"}
    found = {}
    for index in sorted((root / _CPU / "cpu0/cache").glob("index*")):
        name = f"L{read(index / 'level')}{suffix.get(read(index / 'type'), '')}"
        text = read(index / "size")  # always in KiB: drivers/base/cacheinfo.c
        found[name] = int(text.removesuffix("K"))
    if not found:
        return unknown("the kernel does not tell (common in containers, and outside of Linux)")
    return yes(", ".join(f"{name} {size(kib)}" for name, kib in found.items()), kib=found)


def cache_share(core: int, root: Path = Path("/")) -> CacheShare:
    """What a core has of L2 and L3: their sizes, by the CPUs that share each. Zeros where the kernel does not tell."""
    shares = {2: 0, 3: 0}
    for index in sorted((root / _CPU / f"cpu{core}/cache").glob("index*")):
        try:
            level, kind = int(read(index / "level")), read(index / "type")
            kib = int(read(index / "size").removesuffix("K"))
            sharing = len(cores_in(read(index / "shared_cpu_list")))
        except (OSError, ValueError):
            continue
        if level in shares and kind != "Instruction":
            shares[level] = (kib << 10) // max(1, sharing)
    return CacheShare(l2=shares[2], l3=shares[3])


def rings(root: Path) -> Finding:
    """Receive rings and pool caches that fit the caches, for one port of buffers of the usual size."""
    usable = cores_in(labelled(root / "proc/self/status")["Cpus_allowed_list"])
    share = cache_share(usable[0], root)
    if not share.l3:
        return unknown("the kernel does not tell how cores share L3: rings have 1,024 descriptors")
    found = fitting(share, 1, buffer_bytes([DEFAULT.class_for(ORDINARY) or DEFAULT.largest]))
    detail = f"{found.descriptors:,} descriptors a ring, {found.cache} buffers cached by a core"
    return yes(
        f"{detail}; {'; '.join(found.lines())}", descriptors=found.descriptors, cache=found.cache, rings=found.rings,
        l2=share.l2, l3=share.l3,
    )  # fmt: skip


def cores(root: Path) -> Finding:
    usable = cores_in(labelled(root / "proc/self/status")["Cpus_allowed_list"])
    online = cores_in(read(root / _CPU / "online"))
    usable = [core for core in usable if core in online]
    return yes(f"{len(usable)} of {count(len(online), 'core')} may be used: {ranges(usable)}", usable=usable)


def isolated(root: Path) -> Finding:
    found = cores_in(read(root / _CPU / "isolated"))
    if found:
        return yes(f"{ranges(found)}: the scheduler puts nothing else there", cores=found)
    online = cores_in(read(root / _CPU / "online"))
    if len(online) < 2:
        return no("the only core cannot be kept free of other work")
    last = online[-1]
    arguments = f"isolcpus={last} nohz_full={last} rcu_nocbs={last}"
    return no("none: other programs may interrupt a worker", kernel_arguments(arguments))


def kernel_arguments(arguments: str) -> str:
    """The command that adds arguments to the kernel's command line, where GRUB is used as Debian does."""
    edit = f"sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{arguments} /' /etc/default/grub"
    return f"{edit} && update-grub && reboot"


def cores_in(text: str) -> list[int]:
    """`0-2,5` as numbers: the list format of bitmap_parselist() in the kernel."""
    found: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def ranges(numbers: list[int]) -> str:
    """Numbers in the list format of the kernel: `0-2,5`."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
