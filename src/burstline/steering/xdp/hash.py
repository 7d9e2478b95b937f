"""The Toeplitz hash in the program, by tables of bytes: the same number as `bl.Toeplitz` gives.

The hash is linear: each input byte adds what its place and value say (Microsoft, "RSS hashing functions").
"""

from __future__ import annotations

from llvmlite import ir

from burstline.state.steering_words import HAS_PORTS, IS_V4, IS_V6
from burstline.state.toeplitz import toeplitz
from burstline.steering.xdp.code import number
from burstline.steering.xdp.layout import FRAGMENT_BIT, PLACES
from burstline.steering.xdp.words import Packet


def byte_tables(key: bytes) -> bytes:
    """Of each place of the input, what each value of its byte adds: 32 bits each."""
    import numpy as np

    made = np.zeros((PLACES, 256), "<u4")
    for place in range(PLACES):
        for bit in range(8):
            made[place, 1 << bit] = toeplitz(key, bytes(place) + bytes((1 << bit,)))
        for value in range(1, 256):
            made[place, value] = made[place, value & value - 1] ^ made[place, value & -value]
    return made.tobytes()


def write_hash(p: Packet, tables: ir.Value, *, with_ports: bool) -> ir.Value:
    """Of the addresses, and of the ports where the packet is no piece of one; 0 without IP."""
    code, b = p.code, p.b
    with b.goto_entry_block():
        made = b.alloca(number(0).type)
    b.store(number(0), made)

    def add(base: ir.Value, offset: int, size: int, place: int) -> None:
        found = b.load(made)
        for k in range(size):
            octet = p.be(base, offset + k, 1)
            at = code.beside(tables, b.shl(octet, number(2)))
            found = b.xor(found, code.load(code.beside(at, 1024 * (place + k)), 4))
        b.store(found, made)

    whole = b.xor(code.is_set(p.kind, FRAGMENT_BIT), ir.IntType(1)(1))
    ports = b.and_(code.is_set(p.kind, HAS_PORTS), whole)
    for bit, at, size in ((IS_V4, 12, 8), (IS_V6, 8, 32)):
        with code.when(code.is_set(p.kind, bit)):
            add(p.l3, at, size, 0)
            if with_ports:
                with code.when(ports):
                    add(p.l4, 0, 4, size)
    return b.load(made)
