"""`bl.match("tcp port 443")`: a pcap filter as a stage, and as something that other stages ask with `pkt in web`."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

from burstline.filter.program import FilterProgram
from burstline.packet.packet import Packet, data_of, link_of
from burstline.pipeline.stage import Stage
from burstline.pipeline.verdict import DROP
from burstline.state.base import State
from burstline.state.region import Region


class Match(Stage, State):
    """A filter over the packet's bytes as they are, with libpcap's meaning. As a stage, it drops what does not match,
    under its name, which is the expression. A packet of a link layer that the filter has no meaning for matches not."""

    def __init__(self, expression: str) -> None:
        self.program = FilterProgram(expression)
        super().__init__(cast(FunctionType, _stage(self)))
        self.name = expression.strip() or "everything"
        self._workers: list[Region] = []

    def __contains__(self, packet: Packet) -> bool:
        matches = self.program.interpreted.get(link_of(packet))
        return matches is not None and matches(data_of(packet), packet.captured, packet.length) != 0

    def __repr__(self) -> str:
        return f"<match {self.name}>"

    def signature(self) -> tuple[Any, ...]:
        return tuple(sorted(self.program.sources.items()))

    def attach(self) -> int:
        """There is nothing to keep: a worker's copy is an address that nobody reads."""
        self._workers.append(Region(64))
        return self._workers[-1].address

    def addresses(self) -> list[int]:
        return [region.address for region in self._workers]

    def reset(self) -> None:
        self._workers = []


def match(expression: str) -> Match:
    """A filter in the language of tcpdump, pcap-filter(7). Raises `UsageError`, with the column, for one that libpcap
    would refuse or that is not supported."""
    return Match(expression)


def _stage(filter: Match) -> Callable[[Any], Any]:
    def matched(pkt):  # type: ignore[no-untyped-def]
        if pkt in filter:
            return None
        return DROP

    return matched
