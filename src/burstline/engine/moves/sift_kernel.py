"""Compiled: which queue packets went to by the rules before, and which by those that come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.engine.moves.phases import FRAME
from burstline.engine.stages_kernel import burst_parser, work_ahead
from burstline.native.memory import clear, copy, load16, load32, load64, store8, store16, swap16
from burstline.offload.mbuf import BUF_ADDR, DATA_LEN, DATA_OFF, PKT_LEN
from burstline.packet.burst_type import burst_address
from burstline.packet.flow_key import KEY_SIZE
from burstline.packet.machine import Machine
from burstline.packet.parser import LINK_ETHERNET
from burstline.pipeline.needs import Needs
from burstline.state.flow_moves import Sifting

ETHERNET, L4 = 14, 20  # bytes
IPV4, IPV6 = 0x0800, 0x86DD


def write_transport(key: int, to: int) -> None:
    """Ports; as TCP a header without options, as UDP one of the same size."""
    head = load64(key)
    store16(to, swap16(head >> 16 & 0xFFFF))
    store16(to + 2, swap16(head >> 32 & 0xFFFF))
    if head & 0xFF == 6:
        store8(to + 12, L4 // 4 << 4)
    else:
        store16(to + 4, swap16(L4))


def write_frame(key: int, frame: int) -> int:
    """A packet of the flow, plain; returns its size."""
    clear(frame, FRAME)
    head = load64(key)
    version, ip = head >> 8 & 0xFF, frame + ETHERNET
    if version == 4:
        store16(frame + 12, swap16(IPV4))
        store8(ip, 0x45)
        store16(ip + 2, swap16(20 + L4))
        store16(ip + 8, 64 | (head & 0xFF) << 8)
        copy(ip + 12, key + 8, 8)
        write_transport(key, ip + 20)
        return ETHERNET + 20 + L4
    if version == 6:
        store16(frame + 12, swap16(IPV6))
        store8(ip, 0x60)
        store16(ip + 4, swap16(L4))
        store16(ip + 6, (head & 0xFF) | 64 << 8)
        copy(ip + 8, key + 8, 32)
        write_transport(key, ip + 40)
        return ETHERNET + 40 + L4
    store16(frame + 12, swap16(head >> 16 & 0xFFFF))
    return 60


def sift_loop(needs: Needs, machine: Machine, burst_at: Any) -> Callable[[Sifting], int]:
    parse_burst = burst_parser(needs, machine)

    def sift(sifting: Sifting) -> int:
        burst, n = burst_at(sifting.burst), sifting.count
        for i in range(n):
            if sifting.mbufs != 0:
                mbuf = load64(sifting.mbufs + 8 * i)
                burst.data[i] = load64(mbuf + BUF_ADDR) + load16(mbuf + DATA_OFF)
                burst.captured[i] = load16(mbuf + DATA_LEN)
                burst.length[i] = load32(mbuf + PKT_LEN)
            else:
                frame = sifting.frames + FRAME * i
                size = write_frame(sifting.keys + KEY_SIZE * i, frame)
                burst.data[i], burst.captured[i], burst.length[i] = frame, size, size
            burst.port[i] = sifting.port
        parse_burst(burst, 0, n, LINK_ETHERNET)
        work_ahead(burst_address(burst), n, 0)
        return 0

    return sift
