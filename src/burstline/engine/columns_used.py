"""Which columns of a burst a pipeline makes use of, for each packet, and who writes them."""

from __future__ import annotations

from typing import Literal

from burstline.packet.burst import COLUMN, COLUMNS, INNER, LEVEL_COLUMNS, Column
from burstline.pipeline.needs import Needs

Source = Literal["pcap", "pcapng", "ports"]


def columns_used(needs: Needs, source: Source, *, sink: bool = False, bucketed: bool = False) -> dict[str, str]:
    """Columns in the order of the burst, with their writers: "source", "parser" or "stages".

    Those that are written for some packets only are left out: what the fast path leaves to the parser's states, and on
    ports the verdicts, which are written where they differ.
    """
    ports = source == "ports"
    written = {"data": "source", "length": "source"}
    if not ports or needs.full_parse or needs.eth or needs.captured or sink:
        written["captured"] = "source"
    if source == "pcapng" or needs.port or sink:
        written["port"] = "source"
    if source == "pcapng" or (not ports and needs.captured):
        written["link"] = "source"
    if source == "pcapng" or needs.time or sink:
        written["time"] = "source"
    if ports:
        written["mbuf"] = "source"
    if needs.shared:
        written["owner"] = "source"
    columns = {*needs.columns, *(("present",) if needs.eth else ())} - {"l2"}
    written |= dict.fromkeys(columns, "parser")
    if needs.keys:
        written |= {"hash": "parser", "key": "parser"}
    if needs.inner:
        levels = {c.name for c in LEVEL_COLUMNS}
        written |= {f"{INNER}{name}": "parser" for name in (*needs.columns, "present") if name in levels}
    if needs.groups:
        written |= {"decided": "stages"}
    if bucketed:
        written |= {"verdict": "stages"}
    order = [c.name for c in COLUMNS] + [f"{INNER}{c.name}" for c in LEVEL_COLUMNS]
    return {name: written[name] for name in order if name in written}


def column(name: str) -> Column:
    """By its name, those of inner packets included."""
    return COLUMN[name]
