"""What a pipeline needs of packets is found in the code of its stages."""

from __future__ import annotations

from typing import Any

import pytest

import burstline as bl
from burstline.flows.meter import Meter
from burstline.flows.records import Settings
from burstline.pipeline.needs import needs_of


class Seen(bl.Record):
    flags: bl.u8
    length: bl.u64
    note: bl.u8


class Hello(bl.Header):
    note: bl.u8
    rest: bl.u8


flows = bl.FlowTable(Seen, capacity=64)
queries = bl.Digest(Seen)


@bl.protocol(Hello, after="udp", port=7)
def hello(rest: Any) -> Any:
    return 2


def only_ipv4(pkt: Any) -> None:
    pkt.ipv4.ttl -= 1
    pkt.ipv4.fix_checksum()


def transport(pkt: Any) -> None:
    pkt.tcp.dport = 80
    pkt.tcp.fix_checksum()


def every(pkt: Any) -> None:
    pkt.fix_checksums()


def in_a_helper(pkt: Any) -> None:
    every(pkt)


@pytest.mark.parametrize(("stage", "sums"), [(only_ipv4, False), (transport, True), (every, True), (in_a_helper, True)])
def test_payloads_are_summed_where_a_checksum_covers_them(stage: Any, sums: bool) -> None:
    assert needs_of(bl.Pipeline(bl.stage(stage))).sums == sums


def keeps(pkt: Any) -> None:
    flow = flows[pkt]
    flow.flags |= pkt.tcp.flags
    flow.length += pkt.length


def keeps_in_a_helper(pkt: Any) -> None:
    note_flags(flows[pkt], pkt.tcp)


def note_flags(to: Any, of: Any) -> None:
    to.flags |= of.flags


def asks(pkt: Any) -> None:
    query = queries.new()
    query.note, query.flags = hello[pkt].note, 1


def sets_a_mark(pkt: Any) -> None:
    pkt.mark = 7


def counts_down(pkt: Any) -> None:
    header = pkt.inner.ipv4
    if header:
        header.ttl -= 1


def passes_on(pkt: Any) -> None:
    note_flags(pkt.tcp, flows[pkt])


def returns_one(pkt: Any) -> None:
    tcp_of(pkt).flags = 0


def tcp_of(pkt: Any) -> Any:
    return pkt.tcp


def goes_through(pkt: Any) -> None:
    for header in (pkt.tcp, pkt.inner.tcp):  # the values of a loop are not followed
        header.flags = 0


def writes_their_own(pkt: Any) -> None:
    hello[pkt].note = 1


@pytest.mark.parametrize(
    ("stage", "writes"),
    [
        (keeps, False), (keeps_in_a_helper, False), (asks, False), (sets_a_mark, False), (counts_down, True),
        (passes_on, True), (returns_one, True), (goes_through, True), (writes_their_own, True), (only_ipv4, True),
        (in_a_helper, True),
    ],
)  # fmt: skip
def test_what_is_written_to_a_record_is_not_written_to_the_packet(stage: Any, writes: bool) -> None:
    assert needs_of(bl.Pipeline(bl.stage(stage))).writes == writes


def test_captures_are_mapped_for_flows() -> None:
    for settings in (Settings(), Settings(tunnels=True, payload=64)):
        assert not needs_of(Meter(settings).pipeline).writes
