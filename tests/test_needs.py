"""What a pipeline needs of packets is found in the code of its stages."""

from __future__ import annotations

from typing import Any

import pytest

import burstline as bl
from burstline.pipeline.needs import needs_of


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
