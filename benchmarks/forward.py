"""Swapping the MAC addresses of 64-byte packets on one core, on devices of DPDK; packets/s, more is better.

Two devices: `net_null`, which makes and frees a packet for each one, so that half of the time is the device's own; and
a `net_ring` whose transmit side is its receive side, with 512 packets going round, which leaves the engine's own work.
Beside `dpdk-testpmd --forward-mode=macswap`: the same device, one forwarding core, the same burst (32 is testpmd's
default), hugepages. A second set of rows puts us without hugepages beside us with them. Runs alternate; rates are those
of a few seconds of forwarding, the start left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.harness import engine
from benchmarks.harness.install import program
from benchmarks.harness.process import cores
from benchmarks.harness.testpmd import NULL, RING, Device, macswap_rate
from burstline.cli.bench import Options, Row, alternate
from burstline.errors import BurstlineError

UNIT = "packets/s"
BURSTS = (32, 64)
OURS = {NULL: engine.NULL_DEVICE, RING: engine.RING_LOOP}


def run(options: Options) -> Iterator[Row]:
    testpmd = program("dpdk-testpmd")
    huge = free_hugepages() > 0
    if not huge:
        options.lacks("free hugepages", "sysctl -w vm.nr_hugepages=512")
    if testpmd is None:
        options.lacks("dpdk-testpmd", "apt-get install dpdk-dev")
    elif len(cores()) < 2:
        options.lacks("dpdk-testpmd, which wants a second core for its prompt", "a machine with two cores")
        testpmd = None
    seconds = 0.6 if options.quick else 3.0
    runs = options.runs(5)

    def ours(device: Device, burst: int, hugepages: bool = True) -> Callable[[], float]:
        words = engine.forward(OURS[device], burst=burst, seconds=seconds, hugepages=hugepages)
        return lambda: engine.forwarding_rate(words)

    def theirs(program: str, device: Device, burst: int) -> Callable[[], float]:
        return lambda: macswap_rate(program, device, burst, seconds)

    for device in (NULL, RING):
        for burst in BURSTS[1:] if options.quick else BURSTS:
            case = f"MAC swap, {device.name}, burst {burst}"
            try:
                if testpmd and huge:
                    a, b = alternate(ours(device, burst), theirs(testpmd, device, burst), runs)
                    yield Row("forward", case, "testpmd macswap", a, b, UNIT, runs)
                if huge:
                    a, b = alternate(ours(device, burst, hugepages=False), ours(device, burst), runs)
                    yield Row("forward", f"{case}, --no-huge", "ours with hugepages", a, b, UNIT, runs)
            except BurstlineError as error:
                options.fails(case, error)


def free_hugepages() -> int:
    """Free 2 MiB (or whatever the default size is) hugepages."""
    try:
        with open("/proc/meminfo") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("HugePages_Free")), 0)
    except OSError:
        return 0
