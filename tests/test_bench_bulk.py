"""The bulk bench: its packets are those of senders, and both sides send what they received."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from benchmarks import bulk
from benchmarks.harness import engine, trains
from burstline.cli.bench import Options
from burstline.dpdk.hugepages import usable
from burstline.errors import BurstlineError
from dpdk_live import needs_root


def written(path: Path, flows: int, train: int, count: int) -> list[Any]:
    trains.write_trains(path, flows, train, count)
    records = np.fromfile(path, "u1", offset=24).reshape(count, 16 + trains.FRAME)
    return [Ether(record[16:].tobytes()) for record in records]


def test_flows_take_turns_and_each_goes_on_where_it_was(tmp_path: Path) -> None:
    packets = written(tmp_path / "trains.pcap", 7, 5, 7 * 5 * 3 + 11)
    flows = [(packet[IP].src, packet[TCP].sport) for packet in packets]
    assert len(set(flows)) == 7
    assert all(len(set(flows[at : at + 5])) == 1 for at in range(0, len(flows), 5))
    assert flows[:35:5] != flows[35:70:5]  # in another order
    of = defaultdict(list)
    for flow, packet in zip(flows, packets, strict=True):
        of[flow].append(packet)
    for sent in of.values():
        first = sent[0][TCP].seq
        assert [p[TCP].seq for p in sent] == [(first + 1448 * k) % 2**32 for k in range(len(sent))]
        assert [p[IP].id for p in sent] == list(range(len(sent)))
        assert [str(p[TCP].flags) for p in sent] == ["PA" if k % 5 == 4 else "A" for k in range(len(sent))]
        assert len({bytes(p[TCP].payload) for p in sent}) == len(sent)


def test_checksums_are_those_of_scapy(tmp_path: Path) -> None:
    for packet in written(tmp_path / "trains.pcap", 16, 2, 64):
        again = Ether(bytes(packet))
        del again[IP].chksum, again[TCP].chksum
        assert bytes(again) == bytes(packet)


@pytest.mark.parametrize("did", [{"gro_segments": 44, "gro_merged": 1, "gso_segments": 43}, {}])
def test_a_side_that_loses_packets_gets_no_figure(did: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    lost = 1 - bool(did)
    found = {"packets_in": 10, "packets_out": 10 - lost, "seconds": 2.0, "ports": [{"offloads": {"did": did}}]}
    monkeypatch.setattr(engine, "report", lambda words, env: found)
    with pytest.raises(BurstlineError, match="sent back"):
        engine.forwarding_bytes(["burstline"], 1514)


def test_merged_packets_count_for_all_that_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    did = {"gro_segments": 44, "gro_merged": 2, "gso_segments": 44}
    found = {"packets_in": 10, "packets_out": 10, "seconds": 2.0, "ports": [{"offloads": {"did": did}}]}
    monkeypatch.setattr(engine, "report", lambda words, env: found)
    assert engine.forwarding_bytes(["burstline"], 100) == 100 * (10 + 42) / 2


@needs_root
@pytest.mark.skipif(not usable(bulk.MEMORY), reason="needs free huge pages")
def test_each_case_has_its_row(tmp_path: Path) -> None:
    options = Options("bulk", quick=True, cache=tmp_path, say=lambda text: None)
    rows = list(bulk.run(options))
    assert (options.missing, options.failures) == ([], [])
    assert [(row.case, row.peer) for row in rows] == [(case.name, "without GRO") for case in bulk.QUICK]
    assert all(row.ours > 0 and (row.theirs or 0) > 0 for row in rows)
