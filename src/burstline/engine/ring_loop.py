"""`dpdk:ring-loop,packets=512,size=64`: a preloaded net_ring whose sent packets come back, to measure engines by."""

from __future__ import annotations

from burstline.dpdk.pool import Pool
from burstline.dpdk.ring_port import RingPort
from burstline.errors import UsageError


def open_ring_loop(device: str, pool: Pool, queues: int) -> RingPort:
    """Open the device: `packets` (at most 1023) UDP packets over IPv4 of `size` bytes (at least 64)."""
    options = {"packets": 512, "size": 64}
    for part in device.split(",")[1:]:
        name, _, value = part.partition("=")
        if name not in options or not value.isdecimal():
            raise UsageError(f"ring-loop has no option {part!r}", "write dpdk:ring-loop,packets=512,size=64")
        options[name] = int(value)
    if not 1 <= options["packets"] <= 1023 or not 64 <= options["size"] <= 1514:
        raise UsageError(f"{device}: out of range", "packets is 1 to 1023, size 64 to 1514")
    return RingPort.loop(pool, [_packet(k, options["size"]) for k in range(64)], options["packets"], queues=queues)


def _packet(number: int, size: int) -> bytes:
    eth = bytes.fromhex("020000000001020000000002") + b"\x08\x00"
    total = size - 14
    ip = bytes((0x45, 0)) + total.to_bytes(2, "big") + bytes((0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, number, 10, 0, 1, 1))
    udp = (1024 + number).to_bytes(2, "big") + (9).to_bytes(2, "big") + (total - 20).to_bytes(2, "big") + b"\0\0"
    return (eth + ip + udp).ljust(size, b"\0")
