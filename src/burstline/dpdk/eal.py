"""DPDK's environment abstraction layer (EAL): started once in a process, with arguments that suit the machine.

https://doc.dpdk.org/guides/linux_gsg/linux_eal_parameters.html
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from burstline.dpdk import hugepages
from burstline.dpdk.binding import native
from burstline.dpdk.device import Device
from burstline.dpdk.log import Captured, captured
from burstline.errors import BurstlineError, UsageError

# Options of EAL by what they settle: whoever gives one of a group settles it, and ours of that group are left out.
MEMORY_MODE = ("--in-memory", "--no-huge", "--no-shconf", "--huge-dir", "--file-prefix", "--proc-type", "--legacy-mem")
AMOUNT = ("-m", "--socket-mem", "--numa-mem")
PCI = ("-a", "--allow", "-b", "--block", "--no-pci")
CORES = ("-l", "-c", "--lcores", "-s", "-S")
TELEMETRY = ("--telemetry", "--no-telemetry")


@dataclass(frozen=True)
class Eal:
    """The running EAL: the arguments it was started with, whether packet memory is in huge pages, whether PCI devices
    can be opened."""

    arguments: tuple[str, ...]
    hugepages: bool
    pci: bool


_running: Eal | None = None
_failed: BurstlineError | None = None


def running() -> Eal | None:
    """The EAL of this process, if it was started."""
    return _running


def start(
    args: Sequence[str] | None = None,
    *,
    devices: Iterable[str] = (),
    huge: bool | None = None,
    memory: int = 512,
) -> Eal:
    """Start EAL, or return the one that runs: DPDK allows one start in a process's life.

    `args` are EAL options that override ours. `devices` are the devices that will be opened, as written after `dpdk:`.
    `huge` demands huge pages or does without; None takes them when `memory` MiB of them are free. Without them,
    `memory` MiB is the most that pools and rings together can take. Raises BurstlineError, with what EAL said.
    """
    global _running, _failed
    if _running is not None:
        if huge is not None and huge != _running.hugepages:
            raise BurstlineError(
                f"DPDK runs in this process already, {'with' if _running.hugepages else 'without'} huge pages",
                "start another process",
            )
        return _running
    if _failed is not None:
        raise _failed
    chosen = arguments(args or (), [Device.parse(d) for d in devices], huge, memory)
    before = os.sched_getaffinity(0)
    try:
        with captured() as said:
            native.eal_init(["burstline", *chosen])
    except OSError as error:
        _failed = _explained(error, said, chosen)
        raise _failed from None
    finally:
        os.sched_setaffinity(0, before)  # EAL pins whoever starts it
    _running = Eal(tuple(chosen), native.has_hugepages(), "--no-pci" not in chosen)
    return _running


def arguments(given: Sequence[str], devices: Sequence[Device], huge: bool | None, memory: int) -> list[str]:
    """EAL's command line for this machine: ours where `given` settles nothing, then `given`."""

    def settled(group: Sequence[str]) -> bool:
        return any(g.split("=")[0] in group or (g[:2] in group and g[1:2] != "-") for g in given)

    ours: list[str] = []
    if not settled(CORES):
        # One lcore that is not pinned: the thread that starts us; workers pin themselves and register.
        ours += ["--lcores", f"0@({','.join(map(str, sorted(os.sched_getaffinity(0))))})"]
    without = "--no-huge" in given
    if not settled(MEMORY_MODE):
        if huge is None:
            huge = hugepages.usable(memory)
        elif huge and not hugepages.usable(memory):
            raise BurstlineError(f"{memory} MiB of free huge pages were asked for, and are not there", hugepages_hint())
        without = not huge
        ours += ["--no-huge", "--no-shconf"] if without else ["--in-memory"]
    elif without and not settled(MEMORY_MODE[2:]):
        ours += ["--no-shconf"]
    if without and not settled(AMOUNT):
        ours += ["-m", str(memory)]
    if not settled(PCI):
        allowed = [d.allowed for d in devices if d.bus != "vdev"]
        ours += [part for a in allowed for part in ("--allow", a)] or ["--no-pci"]
    if not settled(TELEMETRY):
        ours += ["--no-telemetry"]
    return [*ours, *given]


def hugepages_hint(node: int = -1) -> str:
    """The command that gives this machine huge pages, or a node of it beyond the first."""
    if node > 0:
        return f"echo 512 > /sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages   (as root)"
    return "echo 512 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages   (as root; 512 pages of 2 MiB)"


def _explained(error: OSError, said: Captured, chosen: Sequence[str]) -> BurstlineError:
    text = said.text
    if "another primary process running" in text:
        return BurstlineError(
            "DPDK is already in use by another process that shares its memory files",
            "stop that process, or leave --file-prefix and --proc-type to burstline",
        )
    if "invalid option" in text or "unrecognized option" in text or "requires an argument" in text:
        wrong = next((line for line in text.splitlines() if "option" in line), "").rpartition(": ")[2]
        return UsageError(f"EAL refuses its arguments: {wrong}", f"they were: {' '.join(chosen)}")
    if "hugepage" in text.lower() and "--no-huge" not in chosen:
        return BurstlineError(f"DPDK found no huge pages to use:{said.indented()}", hugepages_hint())
    if "ermission denied" in text or "not permitted" in text:
        return BurstlineError(f"DPDK was not permitted to start:{said.indented()}", "run as root")
    reason = f"{native.strerror(error.errno or 0)}{said.indented()}"
    return BurstlineError(f"DPDK did not start: {reason}", f"its arguments were: {' '.join(chosen)}")
