"""Who does an offload of a port, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

# The port's hardware, or its driver where it has none; whoever is behind a virtual link; software compiled in; nobody.
By = Literal["hardware", "peer", "software", "off"]


@dataclass(frozen=True)
class Choice:
    """`asked` is what was written, `why` a sentence without its stop."""

    name: str
    asked: str
    by: By
    why: str

    @property
    def active(self) -> bool:
        return self.by != "off"

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "asked": self.asked, "by": self.by, "why": self.why}


@dataclass(frozen=True)
class PortUse:
    """What a run does with a port, as far as offloads go by it. `port` is what messages call it."""

    port: str
    mtu: int = 1500
    mtu_asked: bool = False  # it was set, so that the port must have it
    queues: int = 1
    receives: bool = True
    sends: bool = True
    receive_offloads: tuple[str, ...] = ()  # as the receive plan wants them (buffers.receive)
    chains: bool = False  # packets in several mbufs may be sent on it
    emits: bool = False  # stages make packets with a segment size
    merges: bool = False  # packets may be sent on it that LRO or GRO of some port merged
    partials: bool = False  # packets may be sent on it whose checksums are to be filled in: they came from a peer
    pools: int = 2  # from which the mbufs come that are sent
    shared: bool = False  # mbufs that are sent may be referred to twice
    merged_stuck: str = ""  # why merged packets could not leave again; nothing where they can, or need not
    partials_stuck: str = ""  # why packets with partial checksums could not leave
    peer_segments: bool = False  # net_vhost with tso=1: its peer takes large packets, of which no offload tells
