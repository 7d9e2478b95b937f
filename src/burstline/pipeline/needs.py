"""What a pipeline needs of each packet, so that nothing else is worked out: which headers, keys, clocks."""

from __future__ import annotations

import dis
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

from burstline.packet.extension import EXTENSION_PROTO
from burstline.packet.fields import HEADER
from burstline.packet.place import columns_for
from burstline.pipeline.match import Match
from burstline.pipeline.pipeline import Pipeline, reachable
from burstline.pipeline.verdict import SENT, Verdict
from burstline.pipeline.written import stored, writes_packets
from burstline.state.count_min import CountMin
from burstline.state.digest import Digest
from burstline.state.flow_keys import TupleKeys
from burstline.state.flow_table import FlowTable
from burstline.state.heavy_hitters import HeavyHitters
from burstline.state.hyper_log_log import HyperLogLog
from burstline.state.meter import Meter
from burstline.state.pattern_set import PatternSet
from burstline.state.prefix_map import PrefixMap
from burstline.state.rule_set import RuleSet
from burstline.state.steering_table import SteeringTable
from burstline.state.template import Template
from burstline.state.toeplitz import Toeplitz

# The parser's columns behind what is no header.
_COLUMNS = {
    "payload": ("payload", "end"),
    "options": ("end",),
    "proto": ("proto", "present"),
    "is_fragment": ("present",),
    "vlan_depth": ("vlan_depth",),
    "mpls_depth": ("mpls_depth",),
    "fix_checksum": ("l3", "l4"),
    "fix_checksums": ("present", "l3", "l4"),
    "checksums_ok": ("present", "l3", "l4"),
}
_TUNNEL_HEADERS = {"vxlan", "geneve", "gtpu"}


@dataclass(frozen=True)
class Needs:
    columns: tuple[str, ...]  # of the parser's, those that stages read
    eth: bool
    tunnels: bool  # what tunnels carry is parsed
    inner: bool  # and read
    keys: bool  # flow keys and their hashes
    time: bool
    port: bool
    captured: bool
    writes: bool  # stages change packets
    digests: bool  # stages hand records to Python, so that a ring may fill up
    shared: bool  # several workers share one source, and each packet has an owner
    groups: bool  # there are burst stages
    ahead: bool  # there is state that is worked out for whole bursts
    literals: bool  # and literals in payloads are
    flows: bool  # there are flow tables
    makes: bool  # stages make packets
    segments: bool  # stages ask what packets were merged of, or say how they are to be cut
    cuts: bool  # they say it
    marks: bool  # they ask for marks, or set them
    marked: bool  # they set them
    checks: bool  # they ask whether checksums are right
    sums: bool  # they compute those of payloads
    sends: bool  # stages choose ports to send to
    addresses: frozenset[tuple[str, str]] = frozenset()  # where there are prefixes: headers and fields that stages read

    @property
    def full_parse(self) -> bool:
        """More than the Ethernet header is looked at."""
        return bool(self.columns) or self.keys or self.tunnels

    @property
    def payloads(self) -> bool:
        """Stages look behind the headers of packets, or copy them: each must lie in one buffer."""
        return bool({"payload", "protocols"} & {*self.columns}) or self.literals or self.makes

    @property
    def bytes(self) -> bool:
        """Stages, or the state that they use, look at the bytes of packets."""
        return self.full_parse or self.eth or self.captured or self.groups or self.ahead


def needs_of(pipeline: Pipeline, workers: int = 1) -> Needs:
    """By the names in the stages' code: a name that is none of the packet's costs time, never correctness.

    Several workers over one file need keys to know whose packet it is.
    """
    names: set[str] = set()
    codes = list[CodeType]()
    handed_on = False
    for chain in pipeline.chains:
        for stage in chain.stages:
            handed_on = handed_on or _hands_on(stage.function.__code__)
            for function in reachable(stage.function):
                codes.append(function.__code__)
                names.update(function.__code__.co_names)
    tables = [s for s in pipeline.state if isinstance(s, FlowTable)]
    for table in tables:
        names |= table.keys.needs
    inner = "inner" in names
    by_header = {name for branch in pipeline.branches for name in branch.headers}
    columns = {"present"} if by_header - {"eth"} or (by_header and inner) else set()
    columns |= {column for name in by_header & EXTENSION_PROTO.keys() for column in columns_for(name)}
    columns |= {column for name in names for column in _columns(name, inner)}
    columns |= {"protocols"} if pipeline.protocols else set()
    ahead = any(isinstance(s, (RuleSet, SteeringTable, Toeplitz)) for s in pipeline.state)
    columns |= {"present", "l3", "l4", "proto"} if ahead else set()
    steers = any(isinstance(s, SteeringTable) for s in pipeline.state)
    prefixes = any(isinstance(s, PrefixMap) for s in pipeline.state)
    addresses = {pair for code in codes for pair in _addresses(code)} if prefixes else set()
    columns |= {"present", "l3"} if addresses else set()
    literals = "first_in" in names and any(isinstance(s, PatternSet) for s in pipeline.state)
    columns |= {"payload", "end"} if literals else set()
    makes = makes_packets(pipeline)
    sketches = any(isinstance(s, (CountMin, HyperLogLog, HeavyHitters)) for s in pipeline.state)
    timed = any(isinstance(s, (Meter, HeavyHitters)) for s in pipeline.state)
    return Needs(
        columns=tuple(sorted(columns)),
        eth="eth" in names or "eth" in by_header,
        tunnels=inner or steers or bool((names | by_header) & _TUNNEL_HEADERS),
        inner=inner,
        keys=workers > 1 or steers or any(isinstance(t.keys, TupleKeys) for t in tables) or (sketches and handed_on),
        time="time" in names or timed or makes or any(t.times for t in tables),
        port="port" in names or makes or steers,
        captured="captured" in names or makes or steers or any(isinstance(s, Match) for s in pipeline.state),
        writes=writes_packets(pipeline),
        digests=any(isinstance(s, Digest) for s in pipeline.state),
        shared=workers > 1,
        groups=bool(pipeline.burst_stages),
        ahead=ahead or literals or bool(addresses),
        literals=literals,
        flows=bool(tables),
        makes=makes,
        segments=bool(names & {"segments", "segment_size"}),
        cuts=any("segment_size" in stored(code) for code in codes),
        marks="mark" in names,
        marked=any("mark" in stored(code) for code in codes),
        checks="checksums_ok" in names,
        sums=any(_sums(code) for code in codes),
        sends="send" in names or any(isinstance(v, Verdict) and v.kind == SENT for v in pipeline.named()),
        addresses=frozenset(addresses),
    )


def makes_packets(pipeline: Pipeline) -> bool:
    """Its stages clone packets, or emit some."""
    if any(isinstance(s, Template) for s in pipeline.state):
        return True
    stages = [stage for chain in pipeline.chains for stage in chain.stages]
    return any("clone" in f.__code__.co_names for stage in stages for f in reachable(stage.function))


def _hands_on(code: CodeType) -> bool:
    """A stage does more with the packet than to look at its attributes: it may give it to a sketch, which asks for its
    flow."""
    packet, loaded = code.co_varnames[0], False
    for i in dis.get_instructions(code):
        if loaded and not i.opname.startswith(("LOAD_ATTR", "LOAD_METHOD")):
            return True
        names = i.argval if isinstance(i.argval, tuple) else (i.argval,)  # some load two names at once
        loads = "LOAD_FAST" in i.opname
        if loads and packet in names[:-1]:
            return True
        loaded = loads and names[-1] == packet
    return "outer" in code.co_names


def _columns(name: str, inner: bool) -> tuple[str, ...]:
    if name == "eth" and not inner:  # a test of the packet's size tells
        return ()
    if name in HEADER:
        return ("present", *columns_for(name))
    return _COLUMNS.get(name, ())


def _addresses(code: CodeType) -> Iterator[tuple[str, str]]:
    """Where it reads an address right out of a packet: `pkt.ipv4.dst`, not `pkt.inner.ipv4.dst`. Fetching others'
    routes is not worth guessing."""
    found = [(i.opname, str(i.argval)) for i in dis.get_instructions(code) if i.opname != "CACHE"]
    for before, (one, header), (two, field) in zip(found, found[1:], found[2:], strict=False):
        if (
            one == two == "LOAD_ATTR"
            and header in ("ipv4", "ipv6")
            and field in ("src", "dst")
            and before[1] != "inner"
        ):
            yield header, field


def _sums(code: CodeType) -> bool:
    """It fixes checksums, and not only those of IPv4 headers."""
    found = [str(i.argval) for i in dis.get_instructions(code) if i.opname != "CACHE"]
    return "fix_checksums" in found or any(
        name == "fix_checksum" and of != "ipv4" for of, name in itertools.pairwise(found)
    )
