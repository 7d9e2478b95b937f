"""The words of a packet (state/steering_words.py) and its flow key (packet/flow_key.py), from what the parser found."""

from __future__ import annotations

from llvmlite import ir

from burstline.state.steering_words import (
    DST,
    DST_MAC,
    FLAGS_AT,
    GENEVE,
    GRE,
    GRE_BEFORE_KEY,
    GRE_KEY,
    GTPU,
    HAS_ID,
    IS_TCP,
    IS_V4,
    IS_V6,
    KIND,
    MACS,
    PORTS,
    SRC,
    SRC_MAC,
    TAG,
    TUNNEL,
    VXLAN,
)
from burstline.steering.xdp.code import Code, number
from burstline.steering.xdp.layout import KEY_AT, WINDOW, WORDS_AT


class Packet:
    """What the parser found of a packet: as values, loaded once."""

    def __init__(self, code: Code, scratch: ir.Value, length: ir.Value, kept: dict[str, ir.Value]) -> None:
        self.code, self.b, self.scratch, self.length = code, code.b, scratch, length
        self.kind, self.proto = kept["kind"], kept["proto"]
        masked = {name: code.b.and_(kept[name], number(WINDOW - 1)) for name in ("l3", "l4")}
        self.l3, self.l4 = (code.beside(scratch, masked[name]) for name in ("l3", "l4"))
        self.l4_offset = masked["l4"]

    def be(self, base: ir.Value, offset: int, size: int) -> ir.Value:
        return self.code.big_endian(self.code.beside(base, offset), size)

    def put(self, word: int, value: ir.Value | int) -> None:
        self.code.store(value, self.code.beside(self.scratch, WORDS_AT + 4 * word), 4, fresh=True)

    def word(self, word: int) -> ir.Value:
        return self.code.load(self.code.beside(self.scratch, WORDS_AT + 4 * word), 4, fresh=True)


def collect(p: Packet, used: int) -> None:
    """Write the words that rules look at, `used` as a bit set."""
    address_words = used >> SRC
    _kind(p)
    if used & (1 << TUNNEL):
        _tunnel(p)
    if used & (1 << PORTS):
        # Where there are none, no condition on them is asked.
        p.put(PORTS, p.b.or_(p.be(p.l4, 0, 2), p.b.shl(p.be(p.l4, 2, 2), number(16))))
    if used & (1 << TAG):
        p.put(TAG, p.be(p.scratch, 14, 2))
    for word, at in ((DST_MAC, 2), (SRC_MAC, 8)):
        if used & (1 << word):
            p.put(word, p.be(p.scratch, at, 4))
    if used & (1 << MACS):
        p.put(MACS, p.b.or_(p.be(p.scratch, 6, 2), p.b.shl(p.be(p.scratch, 0, 2), number(16))))
    if address_words:
        _addresses(p, address_words)


def _kind(p: Packet) -> None:
    b = p.b
    of_ip, of_tcp = p.code.is_set(p.kind, IS_V4 | IS_V6), p.code.is_set(p.kind, IS_TCP)
    proto = b.select(of_ip, b.and_(p.proto, number(0xFF)), number(0))
    flags = b.select(of_tcp, b.shl(p.be(p.l4, 13, 1), number(FLAGS_AT)), number(0))
    p.put(KIND, b.or_(p.kind, b.or_(proto, flags)))


def _tunnel(p: Packet) -> None:
    """The id behind UDP's header, or GRE's key, which need not be there (RFC 2890 section 2)."""
    p.put(TUNNEL, 0)
    with p.code.when(p.code.is_set(p.kind, VXLAN | GENEVE)):
        p.put(TUNNEL, p.b.lshr(p.be(p.l4, 12, 4), number(8)))
    with p.code.when(p.code.is_set(p.kind, GTPU)):
        p.put(TUNNEL, p.be(p.l4, 12, 4))
    with p.code.when(p.code.is_set(p.kind, GRE)):
        flags = p.be(p.l4, 0, 2)
        skipped = p.b.select(p.code.is_set(flags, GRE_BEFORE_KEY), number(8), number(4))
        after = p.b.add(p.b.add(p.l4_offset, skipped), number(4))
        has_key = p.b.and_(p.code.is_set(flags, GRE_KEY), p.b.icmp_unsigned("<=", after, p.length))
        with p.code.when(has_key):
            p.put(TUNNEL, p.code.big_endian(p.code.beside(p.l4, skipped), 4))
            p.put(KIND, p.b.or_(p.word(KIND), number(HAS_ID)))


def _addresses(p: Packet, used: int) -> None:
    with p.b.if_else(p.code.is_set(p.kind, IS_V6)) as (six, four):
        with six:
            for word in (w for w in range(8) if used >> w & 1):
                p.put(SRC + word, p.be(p.l3, 8 + 4 * word, 4))
        with four:
            for word in (w for w in (0, DST - SRC) if used >> w & 1):
                p.put(SRC + word, p.be(p.l3, 12 + word, 4))


def write_key(p: Packet) -> ir.Value:
    """The flow key of a packet of TCP, UDP or SCTP; returns its address."""
    code, b = p.code, p.b
    key = code.beside(p.scratch, KEY_AT)
    six = code.is_set(p.kind, IS_V6)
    version = b.select(six, number(6 << 8), number(4 << 8))
    ports = b.or_(b.shl(p.be(p.l4, 0, 2), number(16)), b.shl(p.be(p.l4, 2, 2), number(32)))
    code.store(b.or_(b.or_(b.and_(p.proto, number(0xFF)), version), ports), key, 8)
    with b.if_else(six) as (is_six, is_four):
        with is_six:
            for at in range(0, 32, 8):
                code.store(code.load(code.beside(p.l3, 8 + at), 8), code.beside(key, 8 + at), 8)
        with is_four:
            code.store(code.load(code.beside(p.l3, 12), 8), code.beside(key, 8), 8)
            for at in range(16, 40, 8):
                code.store(0, code.beside(key, at), 8)
    return key
