"""A state of the parser: one protocol. Given where its header should start, it says whether it is there, where what
follows starts and ends, and which key selects the next state.

`function(data, at, end) -> (selector, next, end)`, all in bytes from the packet's start; `data[at:end]` may be read.
The same source runs compiled (`data` is an address) and interpreted (`data` is a memoryview). A malformed header is
never an error: the state says `ABSENT` or `OPAQUE`, parsing ends, and the rest is payload.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from burstline.native.words import Words

Step = tuple[int, int, int]
Function = Callable[[Words, int, int], Step]

ABSENT = -1  # as selector: this header is not here
# In the selector, above its key:
OPAQUE = 1 << 32  # the header is here, but nothing behind it can be parsed, whatever the key says
FRAGMENTED = 1 << 33  # what follows is a piece of an IP packet

# What finding a header means for the packet's columns; `machine.py` and `compiler/parser_ir.py` do it.
Layer = Literal[
    "link",  # where a packet, or what a tunnel carries, begins
    "tag",  # VLAN tags: counted, the first two can be read
    "shim",  # between link and network
    "label",  # MPLS: counted, the first two can be read
    "network",  # sets `l3`
    "extension",  # between IP and what it carries
    "transport",  # sets `l4`
    "tunnel",  # in the payload of a transport
]


@dataclass(frozen=True)
class ParserState:
    name: str
    layer: Layer
    selects: str  # the table of `transitions.py` that its selector is a key of; "" where nothing follows
    source: str
    function: Function


def parser_state(name: str, layer: Layer, selects: str, source: str) -> Callable[[Function], ParserState]:
    """Decorator: the parser state of a protocol. A header of the same name is what stages see of it."""
    return lambda function: ParserState(name, layer, selects, source, function)
