"""Branches: where a packet goes by a number that it brings, or by the headers that it has."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from burstline.errors import UsageError
from burstline.packet.fields import HEADER
from burstline.packet.packet import Level
from burstline.pipeline.chain import Chain
from burstline.pipeline.verdict import PASS, Verdict

Way = Chain | Verdict
MANY = range(-(1 << 63), 1 << 63)


class Branch:
    """`by_port = bl.Branch({53: dns, 80: web}, default=other)`; in a stage, `return by_port[pkt.udp.dport]`.

    With names of headers as keys, `bl.Branch({"tcp": web, "arp": bl.DROP})`, it is asked by the packet, or by its inner
    one: `return by_protocol[pkt]`. The first header that is there decides. Ways are chains and verdicts; what has no
    key goes `default`, which is on to the next stage unless told otherwise.
    """

    def __init__(self, ways: Mapping[int | str, Way | None], default: Way | None = PASS) -> None:
        if not isinstance(ways, Mapping) or not ways:
            raise UsageError("a branch needs at least one way", "bl.Branch({53: dns}, default=other)")
        self.by_header = isinstance(next(iter(ways)), str)
        for key in ways:
            self._check_key(key)
        self.ways = {key if isinstance(key, str) else int(key): _way(repr(key), way) for key, way in ways.items()}
        self.default = _way("default", default)

    def _check_key(self, key: object) -> None:
        if isinstance(key, str) != self.by_header:
            raise UsageError("a branch goes by numbers or by headers, not by both", "make one of each")
        if isinstance(key, str) and key not in HEADER:
            close = get_close_matches(key, HEADER, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(HEADER)}"
            raise UsageError(f"a branch cannot go by {key!r}: there is no such header", hint)
        if not isinstance(key, str) and (isinstance(key, bool) or not isinstance(key, int) or int(key) not in MANY):
            hint = "keys are whole numbers of 64 bits, or names of headers; for addresses, a PrefixMap gives the number"
            raise UsageError(f"{key!r} is no key of a branch", hint)

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers that it goes by, in order."""
        return tuple(key for key in self.ways if isinstance(key, str))

    @property
    def chains(self) -> list[Chain]:
        """The chains that it leads to."""
        return [way for way in (*self.ways.values(), self.default) if isinstance(way, Chain)]

    def __getitem__(self, asked: int | Level) -> Way:
        if self.by_header:
            if not isinstance(asked, Level):
                raise TypeError("this branch goes by headers: ask it by the packet, `branch[pkt]`")
            return next((way for key, way in self.ways.items() if getattr(asked, str(key))), self.default)
        if isinstance(asked, Level) or not hasattr(asked, "__index__"):
            raise TypeError("this branch goes by numbers: ask it by one, e.g. `branch[pkt.udp.dport]`")
        return self.ways.get(asked, self.default)

    def __repr__(self) -> str:
        return f"<branch by {', '.join(map(str, self.ways))}>"


def _way(key: str, way: object) -> Way:
    if way is None:
        return PASS
    if not isinstance(way, (Chain, Verdict)):
        raise UsageError(
            f"a branch, {key}: {way!r} is nowhere to go",
            "a way is a chain or a verdict: bl.DROP, bl.drop('why'), bl.send(1)",
        )
    return way
