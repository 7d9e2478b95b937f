"""Flows by what a person looks for: searched, sorted, and the first few of them as JSON has them."""

from __future__ import annotations

import ipaddress
import math
import socket
from dataclasses import dataclass
from typing import Any

from burstline.errors import UsageError
from burstline.state.flow_keys import FieldKeys
from burstline.state.flow_table import FlowTable

MOST = 1000  # rows of an answer
HIDDEN = ("version",)
ADDRESSES, PORTS = ("src", "dst"), ("sport", "dport")
PROTOCOLS = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "icmpv6": 58, "sctp": 132}


@dataclass(frozen=True)
class FlowQuery:
    """`search` is words that must all be true of a flow: an address, a prefix (10.0.0.0/8), a number, which is that of
    a port or of the protocol, the name of a protocol, or `field>number`, `field<number`, `field=number`. Without
    `sort` it is by the field that looks most like an amount."""

    search: str = ""
    sort: str = ""
    descending: bool = True
    limit: int = 50
    offset: int = 0


def select(table: FlowTable[Any], rows: Any, query: FlowQuery) -> dict[str, Any]:
    """Of `rows`, as `to_numpy` gives them. Raises UsageError for words that are not understood."""
    import numpy as np

    names = [name for name in rows.dtype.names if name not in HIDDEN]
    chosen = np.ones(len(rows), bool)
    for word in query.search.split():
        chosen &= _matches(table, rows, word)
    (found,) = np.nonzero(chosen)
    sort = query.sort or _amount(table)
    if sort and sort not in names:
        raise UsageError(f"flows have no field {sort!r}", f"sort by {', '.join(names)}")
    limit, first = max(0, min(query.limit, MOST)), max(0, query.offset)
    if sort and len(found):
        column = rows[sort][found]
        order = np.lexsort(column.T[::-1]) if column.ndim > 1 else np.argsort(column, kind="stable")
        found = found[order[::-1] if query.descending else order]
    shown = rows[found[first : first + limit]]
    text = _texts(table, shown)
    columns = [_column(table, name, text.get(name), shown) for name in names]
    return {
        "columns": [{"name": name, "kind": kind} for name, (kind, _) in zip(names, columns, strict=True)],
        "rows": [list(row) for row in zip(*(values for _, values in columns), strict=True)],
        "total": len(rows),
        "matched": len(found),
        "sort": sort,
        "descending": query.descending,
    }


def _amount(table: FlowTable[Any]) -> str:
    fields = [slot.name for slot in table.record.layout]
    for wanted in ("bytes", "octets", "packets"):
        if wanted in fields:
            return wanted
    return fields[0] if fields else ""


def _texts(table: FlowTable[Any], shown: Any) -> dict[str, list[str | None]]:
    """Addresses of the key. Not by pyarrow: a run may be without it."""
    if isinstance(table.keys, FieldKeys):
        parts = {part.name: part.kind for part in table.keys.parts}
        return {name: [_address(kind, raw) for raw in shown[name]] for name, kind in parts.items() if kind != "uint"}
    kinds = {4: "ipv4", 6: "ipv6"}
    versions = [kinds.get(version) for version in shown["version"].tolist()]
    return {
        name: [kind and _address(kind, raw) for kind, raw in zip(versions, shown[name], strict=True)]
        for name in ADDRESSES
    }


def _address(kind: str, raw: Any) -> str:
    """Of 16 bytes, or of a number that is an IPv4 address."""
    if kind == "ipv6":
        return socket.inet_ntop(socket.AF_INET6, raw.tobytes())
    return socket.inet_ntoa(raw[:4].tobytes() if raw.ndim else int(raw).to_bytes(4, "big"))


def _column(table: FlowTable[Any], name: str, text: list[str | None] | None, shown: Any) -> tuple[str, list[Any]]:
    """Its kind, text or number, and its values; None for what is no number in JSON."""
    slot = table.record.layout.slot(name)
    kind = slot.type.kind if slot is not None else ""
    if text is not None:
        return "text", text
    if kind in ("ipv4", "ipv6"):
        return "text", [_address(kind, value) for value in shown[name]]
    if kind == "bytes" or shown[name].ndim > 1 or shown.dtype[name].kind == "S":
        return "text", [bytes(value).hex() for value in shown[name]]
    values = shown[name].tolist()
    return "number", [None if value != value or abs(value) == math.inf else value for value in values]


def _matches(table: FlowTable[Any], rows: Any, word: str) -> Any:
    import numpy as np

    for sign in (">", "<", "="):
        name, found, number = word.partition(sign)
        if found and name in rows.dtype.names and rows[name].ndim == 1:
            try:
                value = float(number)
            except ValueError:
                raise UsageError(f"{word}: {number!r} is no number", "write bytes>1000") from None
            column = rows[name]
            return column > value if sign == ">" else column < value if sign == "<" else column == value
    if isinstance(table.keys, FieldKeys):
        raise UsageError(f"{word!r} is not understood", "the table has fields of its own: write field=number")
    if word.lower() in PROTOCOLS:
        return rows["protocol"] == PROTOCOLS[word.lower()]
    if word.isdecimal():
        number_of = int(word)
        return (rows["sport"] == number_of) | (rows["dport"] == number_of) | (rows["protocol"] == number_of)
    try:
        network = ipaddress.ip_network(word, strict=False)
    except ValueError:
        hint = "write an address, 10.0.0.0/8, a port, tcp, or bytes>1000"
        raise UsageError(f"{word!r} is nothing that flows are searched by", hint) from None
    whole, rest = divmod(network.prefixlen, 8)
    prefix = np.frombuffer(network.network_address.packed, "u1")
    either = np.zeros(len(rows), bool)
    for end in ADDRESSES:
        same = (rows[end][:, :whole] == prefix[:whole]).all(axis=1)
        if rest:
            same &= rows[end][:, whole] >> (8 - rest) == prefix[whole] >> (8 - rest)
        either |= same
    return either & (rows["version"] == network.version)
