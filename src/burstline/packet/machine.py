"""The parser's state machine: which states a pipeline needs, how they are joined, and the machine in plain Python.

`compiler/parser_ir.py` makes LLVM code of the same machine; both keep the same registers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from burstline.native.bytes_view import Bytes
from burstline.native.words import Words
from burstline.packet.fields import FRAGMENT, OPAQUE, PRESENT
from burstline.packet.parser_state import ABSENT, FRAGMENTED, ParserState
from burstline.packet.parser_state import OPAQUE as OPAQUE_KEY
from burstline.packet.protocol import Protocol
from burstline.packet.transitions import IN_UDP, LINKS, PORTS, STATES, TABLES, Table, enters_tunnel

KEY = (1 << 32) - 1
MOST_PROTOCOLS = 8  # of the user's own: room in the burst's `protocols` column


class Parsed(NamedTuple):
    """What the parser found of the outer or the inner packet: headers as a bit set (`fields.PRESENT`), offsets in bytes
    from the first byte of the whole."""

    present: int
    vlan_depth: int
    mpls_depth: int
    l2: int  # 14 bytes before what follows the Ethernet header
    l3: int
    l4: int
    payload: int
    end: int  # where the payload ends: lengths in headers say so, never past the captured bytes
    proto: int  # the IP protocol after all extension headers; without IP, the EtherType
    protocols: tuple[tuple[str, int, int], ...] = ()  # the user's own: name, offset, where what follows starts


class Levels(NamedTuple):
    """The packet itself, and the innermost one that tunnels carry."""

    outer: Parsed
    inner: Parsed | None


@dataclass(frozen=True)
class TunnelPorts:
    """`[parser]`: the UDP ports that tunnels are found at."""

    vxlan: tuple[int, ...] = IN_UDP["vxlan"]
    geneve: tuple[int, ...] = IN_UDP["geneve"]
    gtpu: tuple[int, ...] = IN_UDP["gtpu"]


USUAL_PORTS = TunnelPorts()


@dataclass(frozen=True)
class Machine:
    """States by name and the tables between them. `tunnels` says whether what tunnels carry is parsed, too."""

    tunnels: bool = True
    ports: TunnelPorts = USUAL_PORTS
    protocols: tuple[Protocol, ...] = ()

    @cached_property
    def tables(self) -> dict[str, Table]:
        """All tables, with the ports of tunnels, without the ways into tunnels where those are not wanted."""
        found: dict[str, dict[int, str]] = {}
        for name, table in TABLES.items():
            found[name] = {k: t for k, t in table.items() if self.tunnels or not enters_tunnel(name, t)}
        if self.tunnels:
            for name in IN_UDP:
                found["udp port"] |= dict.fromkeys(getattr(self.ports, name), name)
        for own in self.protocols:
            found.setdefault(own.table, {})[own.key] = own.name
        return {name: table for name, table in found.items() if table}

    @cached_property
    def own(self) -> dict[str, Protocol]:
        """The user's protocols by name."""
        return {p.name: p for p in self.protocols}

    @cached_property
    def states(self) -> dict[str, ParserState]:
        """The built-in states that can be reached."""
        reached, waiting = dict[str, ParserState](), list(LINKS.values())
        while waiting:
            name = waiting.pop(0)
            if name in STATES and name not in reached:
                reached[name] = STATES[name]
                waiting += self.tables.get(STATES[name].selects, {}).values()
        return reached

    def following(self, table: str, key: int) -> str | None:
        """The state that a selector leads to."""
        found = self.tables.get(table, {})
        if table in PORTS:
            return found.get(key & 0xFFFF) or found.get(key >> 16)
        return found.get(key)

    def parse(self, data: Words, captured: int, link: int) -> Levels:
        """Headers of `captured` bytes that start with the link layer `link` (a LINK_ number)."""
        found, at, end = _Registers(), 0, captured
        levels: list[Parsed] = []
        name: str | None = LINKS.get(link)
        while name is not None:
            if name in self.own:
                selector, after, limit = found.own(self.own[name], data, at, end)
                layer, table = "tunnel", f"key of {name}"
            else:
                state = STATES[name]
                selector, after, limit = state.function(data, at, end)
                layer, table = state.layer, state.selects
                if selector != ABSENT:
                    found.take(state, selector, at)
            if selector == ABSENT:
                break
            name = None if selector & OPAQUE_KEY else self.following(table, selector & KEY)
            end = end if layer == "tunnel" else limit
            if name is not None and enters_tunnel(table, name):
                levels.append(found.finished(after, end))
                found, end = _Registers(), limit
            at = after
        levels.append(found.finished(at, end))
        return Levels(levels[0], levels[-1] if len(levels) > 1 else None)


class _Registers:
    """What is known of a packet while it is parsed."""

    def __init__(self) -> None:
        self.present = self.vlan_depth = self.mpls_depth = self.l2 = self.proto = 0
        self.l3 = self.l4 = self.payload = -1  # not found
        self.protocols: list[tuple[str, int, int]] = []

    def take(self, state: ParserState, selector: int, at: int) -> None:
        """The header of a state is there."""
        name, layer, key = state.name, state.layer, selector & KEY
        of_ethernet = self.present & PRESENT["eth"]  # tags behind other link layers are stepped over, not shown
        if layer == "tag":
            self.present |= PRESENT["inner_vlan" if self.vlan_depth else "vlan"] if of_ethernet else 0
            self.vlan_depth += 1
        elif layer == "label":
            self.present |= PRESENT["inner_mpls" if self.mpls_depth else "mpls"]
            self.mpls_depth += 1
        elif name not in ("llc", "snap") or of_ethernet:
            self.present |= PRESENT.get(name, 0)
        if layer == "link":
            self.l2 = at
        elif layer == "network":
            self.l3 = at
        elif layer == "transport":
            self.l4 = at
        elif layer == "tunnel" and self.payload < 0:
            self.payload = at
        if layer in ("network", "extension"):
            self.present |= FRAGMENT if selector & FRAGMENTED else 0
            self.present |= OPAQUE if selector & OPAQUE_KEY and state.selects else 0
        if (layer in ("network", "extension") and state.selects) or state.selects == "ethertype":
            self.proto = key

    def own(self, protocol: Protocol, data: Words, at: int, end: int) -> tuple[int, int, int]:
        """The step of a protocol of the user's own."""
        try:
            said = protocol.function(Bytes(memoryview(data)[at:end]))  # type: ignore[arg-type]
            size, key = (said[0], said[1] & KEY) if isinstance(said, tuple) else (said, OPAQUE_KEY)
            here = protocol.fields.size <= size <= end - at
        except Exception:
            here = False
        if not here:
            return ABSENT, at, end
        if self.payload < 0:
            self.payload = at
        self.protocols.append((protocol.name, at, at + size))
        return key, at + size, end

    def finished(self, at: int, end: int) -> Parsed:
        """Parsing ended at `at`: what was not found lies there."""
        l3 = at if self.l3 < 0 else self.l3
        l4 = at if self.l4 < 0 else self.l4
        payload = at if self.payload < 0 else self.payload
        return Parsed(
            self.present, self.vlan_depth, self.mpls_depth, self.l2, l3, l4, payload, end, self.proto,
            tuple(self.protocols),
        )  # fmt: skip
