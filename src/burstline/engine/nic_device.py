"""`dpdk:nic-model,driver=e810,pcap=packets.pcap,times=10`: a NIC in software as the port of a run, to try steering.

`driver` is that of a NIC (`net_mlx5`, `mlx5`) or a card (`e810`), whose rules it takes, as they are recorded; without,
one that can do all that DPDK knows. It has a queue for each worker (`queues` may say so). `reta` is how many buckets it
has, `key=symmetric` puts both directions of a flow into one, `capacity` is how many rules there is room for, and
`latency`, `window` and `apart` are seconds of its faults (steering/model/faults.py).

Packets are those of a capture file, `times` over, or come by the `wire`, which is said last: `wire=gen:packets=1e5`, or
a port of DPDK, `wire=net_af_packet0,iface=eth1`. `rate` is packets a second of those that are in memory: what then
finds its queue full is lost, as by a NIC; without, the wire waits. `stamp=42` has the time when each was due written
there (NicPort.over). `by=workers` has no thread of its own: whoever polls a queue plays the NIC, one at a time.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from burstline.dpdk.pool import Pool
from burstline.errors import BurstlineError, UsageError
from burstline.ports.capture_reader import read_capture
from burstline.state.toeplitz import DEFAULT_KEY, SYMMETRIC_KEY
from burstline.steering.hardware.driver import find, recorded
from burstline.steering.model.faults import Faults
from burstline.steering.model.nic import NicModel

if TYPE_CHECKING:
    from burstline.dpdk.clock import Clock
    from burstline.dpdk.port import Port
    from burstline.steering.model.nic_port import NicPort

CARDS = {
    "connectx": "net_mlx5", "e810": "net_ice", "x710": "net_i40e", "xl710": "net_i40e", "x520": "net_ixgbe",
    "x540": "net_ixgbe", "i350": "net_igb", "i225": "net_igc",
}  # fmt: skip
NUMBERS = ("queues", "reta", "times", "capacity", "stamp")
SECONDS = ("latency", "window", "apart")
TEXTS = ("driver", "pcap", "key", "by")
VALUES = {"key": ("symmetric", "default"), "by": ("workers", "thread")}
MOST_FRAMES, LARGEST = 1 << 20, 1514  # of a wire whose frames are not known before
RETA, RING, BURST = 128, 1024, 32
WRITE = (
    "write dpdk:nic-model,driver=mlx5,pcap=packets.pcap or dpdk:nic-model,driver=mlx5,wire=net_af_packet0,iface=eth1"
)


def open_nic(device: str, pool: Pool, queues: int, clock: Clock | None = None) -> NicPort:
    """Open the device, which works by itself from when it starts on. Raises UsageError."""
    from burstline.dpdk.port import Port
    from burstline.steering.model.nic_port import NicPort

    options = options_of(device)
    if int(options.get("queues", queues)) != queues:
        raise UsageError(f"{device}: the run has {queues} queues", f"leave queues out, or use --workers {queues}")
    model = model_of(options, queues)
    frames, by_workers = _frames(options), options.get("by") == "workers"
    _frames_of.cache_clear()
    wire: Port | None = None
    if not frames:
        wire = Port.open(options["wire"], pool)
    return NicPort.over(
        model, pool, wire, frames=frames, times=int(options.get("times", 1)), rate=float(options.get("rate", 0)),
        own_thread=not by_workers, by_workers=by_workers, owns_wire=wire is not None, ring_size=RING,
        stamp=int(options["stamp"]) if "stamp" in options else None, clock=clock,
    )  # fmt: skip


def model_of(options: dict[str, str], queues: int) -> NicModel:
    """The NIC that the options say. Raises UsageError."""
    given = options.get("driver", "model")
    names = (CARDS.get(given, given), f"net_{given}")
    driver = next((name for name in names if name in recorded()), None)
    if driver is None:
        known = ", ".join(sorted({*CARDS, *recorded()}))
        raise UsageError(f"no rules are recorded of a NIC {given!r}", f"write one of {known}")
    latency, window, apart = (float(options.get(name, 0)) for name in SECONDS)
    capacity = int(options["capacity"]) if "capacity" in options else None
    faults = Faults(latency=latency, window=window, apart=apart, capacity=capacity)
    key = SYMMETRIC_KEY[: len(DEFAULT_KEY)] if options.get("key") == "symmetric" else DEFAULT_KEY
    return NicModel(find(driver), queues=queues, reta_size=int(options.get("reta", RETA)), key=key, faults=faults)


def sizes_held(device: str) -> list[int]:
    """Sizes of the packets that each queue may hold: those of its two rings, and those in between."""
    frames = _frames(options_of(device))
    return [max(map(len, frames), default=LARGEST)] * (2 * RING + 4 * BURST)


def options_of(device: str) -> dict[str, str]:
    """What is written behind `nic-model`. Raises UsageError."""
    found = dict[str, str]()
    rest = device.partition(",")[2]
    while rest:
        name, _, value = rest.partition("=")
        value, _, rest = (value, "", "") if name == "wire" else value.partition(",")
        if not _is_right(name, value):
            raise UsageError(f"nic-model has no option {f'{name}={value}'!r}", WRITE)
        found[name] = value
    if ("pcap" in found) == ("wire" in found):
        raise UsageError(f"{device}: it needs one place that packets come from", WRITE)
    if found.keys() & {"times", "rate", "stamp"} and "wire" in found and not found["wire"].startswith("gen:"):
        raise UsageError(f"{device}: packets of a port come as they come", "leave times, rate and stamp out")
    return found


def _is_right(name: str, value: str) -> bool:
    if name in NUMBERS:
        return value.isdecimal() and (int(value) > 0 or name in ("capacity", "stamp"))
    if name in SECONDS or name == "rate":
        try:
            return 0 <= float(value) < 1e12
        except ValueError:
            return False
    return bool(value) and (name in (*TEXTS, "wire")) and value in VALUES.get(name, (value,))


def _frames(options: dict[str, str]) -> list[bytes]:
    """The packets that are in memory; none of a wire that is a port. Raises BurstlineError."""
    wire = options.get("wire", "")
    if wire and not wire.startswith("gen:"):
        return []
    return _frames_of(options.get("pcap", wire))


@functools.lru_cache(maxsize=1)  # they are counted before there is a pool for them
def _frames_of(source: str) -> list[bytes]:
    try:
        with _opened(source) as stream:
            found = [bytes(packet.data) for packet in read_capture(stream, source)]
    except OSError as error:
        raise BurstlineError(f"cannot read {source}: {error.strerror}") from None
    if not 1 <= len(found) <= MOST_FRAMES:
        raise UsageError(f"{source}: {len(found):,} packets", f"give 1 to {MOST_FRAMES:,}, and times=N for more")
    return found


def _opened(source: str) -> BinaryIO:
    from burstline.ports.generator_feeder import GeneratorStream

    return cast(BinaryIO, GeneratorStream(source)) if source.startswith("gen:") else Path(source).open("rb")
