"""Branches: a table of where packets go, by a number or by the headers that they have."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias

from burstline.errors import UsageError
from burstline.packet.fields import HEADER
from burstline.pipeline.chain import Chain
from burstline.pipeline.verdict import PASS, Verdict

if TYPE_CHECKING:
    from burstline.packet.packet import Level

Way: TypeAlias = Chain | Verdict
KEYS = range(-(1 << 63), 1 << 63)  # the numbers that stages have


class Branch:
    """Where packets go, by a number: `bl.Branch({53: dns, 80: web})`, `return by_port[pkt.udp.dport]`;
    or by protocol: `bl.Branch({"tcp": web, "udp": dns})`, `return by_protocol[pkt]`, the first header that is there.

    Each way is a chain or a verdict; `None` is `PASS`. `default` is for all other packets. It cannot be changed later.
    """

    def __init__(self, ways: Mapping[int, Way | None] | Mapping[str, Way | None], default: Way | None = PASS) -> None:
        if not isinstance(ways, Mapping) or not ways:
            raise UsageError(f"a branch is made of a dict with entries, not of {ways!r}", "bl.Branch({53: dns})")
        self.by_header = all(isinstance(key, str) for key in ways)
        self.ways: dict[int | str, Way] = {
            _header(key) if self.by_header else _number(key): _way(f"the way of {key!r}", way)
            for key, way in ways.items()
        }
        self.default = _way("the default", default)

    @property
    def targets(self) -> tuple[Way, ...]:
        """Every way that a packet can go, once."""
        return tuple(dict.fromkeys((*self.ways.values(), self.default)))

    def __getitem__(self, key: int | Level) -> Way:
        if self.by_header:
            return next((way for name, way in self.ways.items() if getattr(key, str(name))), self.default)
        if not isinstance(key, int):
            raise TypeError(f"a branch by number looks at an integer, not at {key!r}")
        return self.ways.get(key, self.default)

    def __repr__(self) -> str:
        return f"<branch by {', '.join(map(str, self.ways))}>"


def _header(key: object) -> str:
    name = str(key)
    if name not in HEADER:
        close = get_close_matches(name, HEADER, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(HEADER)}"
        raise UsageError(f"a branch by protocol: there is no header {name!r}", hint)
    return name


def _number(key: object) -> int:
    if isinstance(key, str):
        raise UsageError(
            f"a branch is either by number or by protocol, and {key!r} stands among numbers",
            "make two branches, one for each",
        )
    if isinstance(key, bool) or not isinstance(key, int):
        raise UsageError(
            f"{key!r} is no key of a branch: keys are integers or names of headers",
            "for addresses, give each prefix a number in a PrefixMap, and branch by that number",
        )
    if key not in KEYS:
        raise UsageError(f"the key {key} has more than 64 bits", "stages count in 64 bits with a sign")
    return int(key)


def _way(what: str, way: object) -> Way:
    if way is None:
        return PASS
    if not isinstance(way, (Chain, Verdict)):
        raise UsageError(
            f"{what} in a branch is {way!r}, which is no chain and no verdict",
            'use bl.Chain(...), bl.PASS, bl.DROP, bl.drop("why"), bl.send(1) or bl.CONSUME',
        )
    return way
