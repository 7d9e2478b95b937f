"""`dpdk:ring-loop,packets=512,size=64`: a preloaded net_ring whose sent packets come back, to measure engines by.

`dpdk:ring-loop,capture=packets.pcap` holds the packets of a capture file, each once. With `checksums=good` it is a
wire, whose packets are received as from a port that found their checksums right; with `checksums=unknown`, from one
that looked at none.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from burstline.dpdk.pool import Pool
from burstline.dpdk.ring_port import RingPort
from burstline.errors import BurstlineError, UsageError
from burstline.offload.mbuf import RX_IP_CKSUM_GOOD, RX_L4_CKSUM_GOOD
from burstline.ports.capture_reader import read_capture

PACKETS, SIZE = 512, 64
RING = 1024
LARGEST_RING = 1 << 22
WRITE = "write dpdk:ring-loop,packets=512,size=64 or dpdk:ring-loop,capture=packets.pcap"
FLAGS = {"good": RX_IP_CKSUM_GOOD | RX_L4_CKSUM_GOOD, "unknown": 0}  # what an mbuf says, by `checksums`


def open_ring_loop(device: str, pool: Pool, queues: int, tx_offloads: Sequence[str] = ()) -> RingPort:
    """Open the device: `packets` (at most 1023) UDP packets over IPv4 of `size` bytes (at least 64), or those of a
    capture file. Raises UsageError."""
    options = _options(device)
    flags = FLAGS[options["checksums"]] if "checksums" in options else None
    if "capture" in options:
        held = _captured(options["capture"])
        _captured.cache_clear()
        size = max(RING, 1 << len(held).bit_length())
        if not held or size > LARGEST_RING:
            raise UsageError(f"{device}: {len(held)} packets", f"give 1 to {LARGEST_RING - 1:,}")
        return RingPort.loop(pool, held, len(held), queues=queues, ring_size=size, tx_offloads=tx_offloads, flags=flags)
    packets, size = int(options.get("packets", PACKETS)), int(options.get("size", SIZE))
    if not 1 <= packets <= RING - 1 or not 64 <= size <= 1514:
        raise UsageError(f"{device}: out of range", f"packets is 1 to {RING - 1}, size 64 to 1514")
    held = [_packet(k, size) for k in range(64)]
    return RingPort.loop(pool, held, packets, queues=queues, tx_offloads=tx_offloads, flags=flags)


def sizes_held(device: str) -> list[int]:
    """The sizes of the packets that each queue of the device keeps; there is room for `RING` at least."""
    options = _options(device)
    sizes = [len(packet) for packet in _captured(options["capture"])] if "capture" in options else []
    return sizes + [int(options.get("size", SIZE))] * (RING - len(sizes))


@functools.lru_cache(maxsize=1)  # they are counted before there is a pool for them
def _captured(path: str) -> list[bytes]:
    try:
        with Path(path).open("rb") as stream:
            return [bytes(packet.data) for packet in read_capture(stream, path)]
    except OSError as error:
        raise BurstlineError(f"cannot read {path}: {error.strerror}") from None


def verifies(device: str) -> bool:
    """Whether packets are received as from a port that verifies checksums."""
    return _options(device).get("checksums") == "good"


def _options(device: str) -> dict[str, str]:
    options = dict[str, str]()
    for part in device.split(",")[1:]:
        name, _, value = part.partition("=")
        number = name in {"packets", "size"} and value.isdecimal()
        if not number and not (name == "capture" and value) and not (name == "checksums" and value in FLAGS):
            raise UsageError(f"ring-loop has no option {part!r}", WRITE)
        options[name] = value
    if "capture" in options and options.keys() & {"packets", "size"}:
        raise UsageError(f"{device}: a capture has its own packets", WRITE)
    return options


def _packet(number: int, size: int) -> bytes:
    eth = bytes.fromhex("020000000001020000000002") + b"\x08\x00"
    total = size - 14
    ip = bytes((0x45, 0)) + total.to_bytes(2, "big") + bytes((0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, number, 10, 0, 1, 1))
    udp = (1024 + number).to_bytes(2, "big") + (9).to_bytes(2, "big") + (total - 20).to_bytes(2, "big") + b"\0\0"
    return (eth + ip + udp).ljust(size, b"\0")
