"""A burst given by its address, put on a tape; to be compiled."""

from __future__ import annotations

from burstline.packet.burst import Burst
from burstline.packet.burst_type import burst_reference
from burstline.ports.tape_kernel import put_pcap, put_pcapng, tape_at, tell

PACKETS = 64
burst_at = burst_reference(Burst(PACKETS))


def put_packets(tape: int, burst: int, count: int, is_pcapng: int) -> int:
    """How many there was room for."""
    done = 0
    for i in range(count):
        if is_pcapng == 1:
            done += int(put_pcapng(tape_at(tape), burst_at(burst), i))
        else:
            done += int(put_pcap(tape_at(tape), burst_at(burst), i))
    tell(tape_at(tape))
    return done
