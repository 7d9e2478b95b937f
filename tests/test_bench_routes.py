"""The route bench's inputs, and that DPDK's tables find in them what ours do."""

from __future__ import annotations

import ipaddress
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import burstline as bl
from benchmarks.harness import install, process
from benchmarks.harness import routes as made
from burstline.packet.checksum import folded, sum16
from dpdk_live import needs_root


def written(path: Path) -> dict[str, int]:
    return {prefix: int(hop) for prefix, hop in (line.split() for line in path.read_text().splitlines())}


def as_addresses(rows: Any) -> list[Any]:
    return [ipaddress.ip_address(row.tobytes()) for row in rows]


@pytest.mark.parametrize("version", [4, 6])
def test_routes_do_not_repeat_and_hold_the_addresses(version: int, tmp_path: Path) -> None:
    listed = made.RouteList(version, 5000)
    listed.write(tmp_path / "routes.txt")
    routes = written(tmp_path / "routes.txt")
    assert len(routes) == 5000
    assert {network.version for network in map(ipaddress.ip_network, routes)} == {version}
    ((most, _),) = Counter(prefix.rpartition("/")[2] for prefix in routes).most_common(1)
    assert most == {4: "24", 6: "48"}[version]
    held = bl.PrefixMap(routes)
    addresses = as_addresses(listed.addresses(300))
    assert len(set(addresses)) == 300 and all(address in held for address in addresses)
    again = made.RouteList(version, 5000)
    assert np.array_equal(again.high, listed.high) and np.array_equal(again.hops, listed.hops)


@pytest.mark.parametrize("version", [4, 6])
def test_packets_go_to_the_addresses(version: int, tmp_path: Path) -> None:
    rows = made.RouteList(version, 8).addresses(50)
    made.write_packets(tmp_path / "packets.pcap", rows)
    frames = np.fromfile(tmp_path / "packets.pcap", "u1", offset=24).reshape(50, 80)[:, 16:]
    at = {4: 30, 6: 38}[version]
    assert np.array_equal(frames[:, at : at + rows.shape[1]], rows)
    if version == 4:
        assert {folded(sum16(frame.tobytes(), 14, 34)) for frame in frames} == {0}


@needs_root
@pytest.mark.parametrize(("version", "table"), [(4, "fib"), (4, "lpm"), (6, "fib6"), (6, "lpm6")])
def test_tables_of_dpdk_find_the_same_next_hops(version: int, table: str, tmp_path: Path) -> None:
    program = install.linked_program("route", tmp_path, "libdpdk", "rte_net_ring")
    if program is None:
        pytest.skip("no DPDK to compile against, or neither clang nor gcc is here")
    listed = made.RouteList(version, 800)
    listed.write(tmp_path / "routes.txt")
    rows = listed.addresses(500)
    made.write_packets(tmp_path / "packets.pcap", rows)
    eal = ["--no-huge", "--no-shconf", "-m", "512", "--no-pci", "--no-telemetry", "--force-max-simd-bitwidth=512"]
    files = [tmp_path / "routes.txt", tmp_path / "packets.pcap", "0", tmp_path / "hops"]
    assert float(process.output([program, table, *files, *eal]).split()[-1]) >= 0
    routes = bl.PrefixMap(written(tmp_path / "routes.txt"))
    assert list((tmp_path / "hops").read_bytes()) == [routes.get(address, 255) for address in as_addresses(rows)]
