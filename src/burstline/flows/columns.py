"""The columns of `burstline flows`: what they hold, and what NFStream calls the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from burstline.export.shape import Shape
from burstline.flows.records import TUNNELS, Settings
from burstline.state.address_text import address_texts
from burstline.state.flow_rows import reason_texts

TIME, SPAN, TEXT, ADDRESS, BYTES = "time", "span", "text", "address", "bytes"


@dataclass(frozen=True)
class Column:
    """`type` is NumPy's, or one of the words above; `when` says which setting it is there for."""

    name: str
    type: str
    meaning: str
    nfstream: str = ""
    when: str = ""

    @property
    def shown_type(self) -> str:
        """As readers of Parquet see it."""
        words = {TIME: "timestamp, ns, UTC", SPAN: "duration, ns", ADDRESS: "text", BYTES: "bytes", "u1": "uint8",
                 "u2": "uint16", "u4": "uint32", "u8": "uint64"}  # fmt: skip
        return words.get(self.type, self.type)


COLUMNS = (
    Column("capture", TEXT, "the file, where there are several", when="several captures"),
    Column("version", "u1", "of IP: 4 or 6", "ip_version"),
    Column("protocol", "u1", "of IP: 6 for TCP, 17 for UDP", "protocol"),
    Column("src", ADDRESS, "the end that sent the first packet", "src_ip"),
    Column("dst", ADDRESS, "the other end", "dst_ip"),
    Column("sport", "u2", "the source's port; 0 where there are none, and in fragments", "src_port"),
    Column("dport", "u2", "the destination's port", "dst_port"),
    Column("vlan", "u2", "id of the outermost VLAN tag, 0 without one", "vlan_id"),
    Column("inner_vlan", "u2", "id of the one behind it"),
    Column("tunnel", TEXT, "vxlan, geneve, gtpu, gre or ip: what carries the flow; null outside of tunnels",
           when="`--tunnels`"),
    Column("tunnel_id", "u4", "VNI or TEID of the outer tunnel", "tunnel_id (a number of nDPI's)", when="`--tunnels`"),
    Column("first", TIME, "when the first packet came", "bidirectional_first_seen_ms"),
    Column("last", TIME, "when the last packet came", "bidirectional_last_seen_ms"),
    Column("first_back", TIME, "when the first packet of the way back came; null without one", "dst2src_first_seen_ms"),
    Column("last_back", TIME, "when the last one did", "dst2src_last_seen_ms"),
    Column("packets", "u8", "from source to destination", "src2dst_packets"),
    Column("bytes", "u8", "of these packets, on the wire, Ethernet included", "src2dst_bytes"),
    Column("packets_back", "u8", "from destination to source", "dst2src_packets"),
    Column("bytes_back", "u8", "of those", "dst2src_bytes"),
    Column("payload_bytes", "u8", "behind TCP, UDP or whatever is understood last, from source to destination"),
    Column("payload_bytes_back", "u8", "the same of the way back"),
    Column("min_length", "u2", "bytes of the shortest packet, on the wire", "bidirectional_min_ps"),
    Column("max_length", "u2", "bytes of the longest packet; 65535 for longer ones, too", "bidirectional_max_ps"),
    Column("min_ttl", "u1", "the lowest TTL or hop limit"),
    Column("max_ttl", "u1", "the highest one"),
    Column("tcp_flags", "u1", "all flags that the source sent, one or-ed with the other: FIN 1, SYN 2, RST 4, PSH 8, "
           "ACK 16, URG 32, ECE 64, CWR 128", "src2dst_syn_packets > 0, ..."),
    Column("tcp_flags_back", "u1", "all that the destination sent", "dst2src_syn_packets > 0, ..."),
    Column("syn_rtt", SPAN, "from SYN to SYN with ACK: the round trip between here and the destination; null where "
           "they were not seen"),
    Column("ack_rtt", SPAN, "from SYN with ACK to the ACK behind it: the round trip between here and the source"),
    Column("payload", BYTES, "the beginning of the source's first payload", when="`--payload N`"),
    Column("payload_back", BYTES, "the beginning of the destination's first payload", when="`--payload N`"),
    Column("sni", TEXT, "the server that the client asks for, of a ClientHello of TLS or QUIC",
           "requested_server_name"),
    Column("alpn", TEXT, "the protocols that it offers, with commas between them"),
    Column("ja4", TEXT, "the client's fingerprint", "client_fingerprint"),
    Column("dns_name", TEXT, "the name of the first question of DNS", "requested_server_name"),
    Column("dns_type", "u2", "its type: 1 for A, 28 for AAAA; null without a question"),
    Column("dns_code", "u1", "code of the first answer: 0 for none amiss, 3 for a name that does not exist"),
    Column("reason", TEXT, "why the record ends: idle, active, evicted, or end of the capture"),
)  # fmt: skip
_ZERO_IS_NONE = ("first_back", "last_back", "syn_rtt", "ack_rtt")
# And a number that is none of them: type 0 is reserved (RFC 6895, 3.1), and a code has 4 bits (RFC 1035, 4.1.1).
_NUMBERS_OR_NONE = {"dns_type": ("u2", 0), "dns_code": ("u1", 255)}


def columns_of(settings: Settings, several: bool = False) -> list[Column]:
    """Those that are there with these settings."""
    there = {"": True, "several captures": several, "`--tunnels`": settings.tunnels,
             "`--payload N`": settings.payload > 0}  # fmt: skip
    named = ("sni", "alpn", "ja4", "dns_name", "dns_type", "dns_code")
    return [c for c in COLUMNS if there[c.when] and (settings.names or c.name not in named)]


def row_type(columns: list[Column], settings: Settings) -> Any:
    """A structured array's. Texts are Python's, so that a row can be made before it is known how long they are."""
    import numpy as np

    types: dict[str, Any] = {TIME: "i8", SPAN: "u8", ADDRESS: ("u1", (16,)), TEXT: "O", BYTES: f"S{settings.payload}"}
    parts: list[Any] = []
    for column in columns:
        kind = types.get(column.type, column.type)
        if column.name == "reason":
            kind = "S7"
        elif column.name in _NUMBERS_OR_NONE or column.type == BYTES:
            kind = "O"
        parts.append((column.name, *(kind if isinstance(kind, tuple) else (kind,))))
    return np.dtype(parts)


def shape_of(columns: list[Column], settings: Settings) -> Shape:
    """For exporters."""
    kinds = {column.name: column.type if column.type in (TEXT, BYTES) else "uint" for column in columns}
    numbers = {column.name: _NUMBERS_OR_NONE[column.name] for column in columns if column.name in _NUMBERS_OR_NONE}
    return Shape(
        "Metered", row_type(columns, settings), kinds, lambda rows: arrow(columns, rows), settings.both_ways, numbers
    )


def arrow(columns: list[Column], rows: Any) -> Any:
    """Rows as a pyarrow.Table."""
    import pyarrow as pa

    types = {TEXT: pa.string(), BYTES: pa.binary(), "dns_type": pa.uint16(), "dns_code": pa.uint8()}
    found: dict[str, Any] = {}
    for column in columns:
        name, values = column.name, rows[column.name]
        if column.type == ADDRESS:
            found[name] = address_texts(values, rows["version"])
        elif name == "reason":
            found[name] = reason_texts(values)
        elif values.dtype.kind == "O":
            found[name] = pa.array(values, types.get(name) or types[column.type])
        elif column.type in (TIME, SPAN):
            kind = pa.timestamp("ns", "UTC") if column.type == TIME else pa.duration("ns")
            absent = values == 0 if name in _ZERO_IS_NONE else None
            found[name] = pa.array(values.astype("i8"), kind, mask=absent)
        else:
            found[name] = pa.array(values.copy())
    return pa.table(found)


def tunnel_names(numbers: Any) -> Any:
    """Texts of a record's tunnel numbers."""
    import numpy as np

    return np.array([None, *TUNNELS[1:]], "O")[numbers]
