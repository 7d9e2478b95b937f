"""Topologies: whoever tells of a machine, the same comes out; recorded machines are read as hwloc reads them."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.cli.main import main
from burstline.errors import BurstlineError, UsageError
from burstline.numa.find import find_topology, names
from burstline.numa.hwloc_xml import cpu_set, read_hwloc_xml
from burstline.numa.interconnect import Interconnect, assumed_links
from burstline.numa.machine_file import read_machine
from burstline.numa.synthetic import is_synthetic, read_synthetic, size_of, synthetic_of
from burstline.numa.sysfs import cpu_list, cpu_mask, read_sysfs
from burstline.numa.topology import Link, Topology
from sysfs_tree import write_tree

RECORDED = Path(__file__).parent / "recorded_machines"
# packages, nodes, cores, threads, distances of the first node: what their names and hwloc's own tests say of them.
TREES = {
    "16amd64-8n2c": (8, 8, 16, 16, (10, 20, 20, 20, 20, 20, 20, 20)),
    "64amd64-4s2n4ca2co": (4, 8, 32, 64, (10, 16, 16, 22, 16, 22, 16, 22)),
    "96em64t-4no4pa3ca2co": (16, 4, 96, 96, (10, 26, 26, 26)),
    "128ia64-17n4s2c": (64, 17, 128, 128, (10, *3 * (17,), *12 * (20,), 14)),
    "memorysidecaches": (2, 4, 40, 80, (10, 21, 11, 21)),
}


@st.composite
def descriptions(draw: st.DrawFn) -> str:
    words = []
    if draw(st.booleans()):
        words.append(f"pack:{draw(st.integers(1, 4))}")
    memory = draw(st.sampled_from(["", "(memory=64GB)", "(memory=1536MB)"]))
    words.append(draw(st.sampled_from([f"numa:{draw(st.integers(1, 4))}{memory}", f"[numa{memory}]"])))
    if draw(st.booleans()):
        words.append(f"group:{draw(st.integers(1, 2))}")
    if draw(st.booleans()):
        words.append(f"l3:{draw(st.integers(1, 3))}{draw(st.sampled_from(['', '(size=32MB)']))}")
    words.append(f"core:{draw(st.integers(1, 4))}")
    if draw(st.booleans()):
        words.append(f"pu:{draw(st.integers(1, 4))}")
    return " ".join(words)


def shape(machine: Topology) -> tuple[object, ...]:
    nodes = [(n.number, n.package, n.memory, n.bandwidth, n.latency) for n in machine.nodes]
    return nodes, machine.caches, machine.cores, machine.distances


@given(descriptions(), st.sampled_from(["next", "last"]))
def test_a_synthetic_machine_is_described_by_a_line_that_describes_it(text: str, siblings: str) -> None:
    machine = read_synthetic(text, siblings)  # type: ignore[arg-type]
    assert is_synthetic(text)
    again = read_synthetic(synthetic_of(machine))
    assert (again.cores, again.caches, [n.memory for n in again.nodes]) == (
        machine.cores, machine.caches, [n.memory for n in machine.nodes],
    )  # fmt: skip
    assert sorted(machine.core_of) == list(range(machine.threads))


@settings(max_examples=40, deadline=None)
@given(descriptions(), st.sampled_from(["next", "last"]))
def test_linux_tells_the_same_of_a_machine_as_its_description(text: str, siblings: str) -> None:
    machine = read_synthetic(text, siblings)  # type: ignore[arg-type]
    with TemporaryDirectory() as root:
        assert shape(read_sysfs(write_tree(Path(root), machine))) == shape(machine)


@pytest.mark.parametrize("name", names())
def test_each_machine_that_ships_says_where_it_is_from_and_is_as_linux_would_tell(name: str, tmp_path: Path) -> None:
    machine = find_topology(name)
    assert len(machine.source.split()) > 15
    told = read_sysfs(write_tree(tmp_path, machine))
    assert shape(told)[1:] == shape(machine)[1:]
    assert [(d.address, d.node) for d in told.devices] == [(d.address, d.node) for d in machine.devices]
    graph = Interconnect.of(machine)
    assert all(graph.width(a, b) > 0 for a in range(len(machine.nodes)) for b in range(len(machine.nodes)))


def test_the_corpus_has_one_to_sixteen_nodes_and_all_that_is_odd() -> None:
    machines = [find_topology(name) for name in names()]
    assert len(machines) >= 12
    assert {len(machine.nodes) for machine in machines} >= {1, 2, 4, 8, 16}
    assert any(node.package is None for machine in machines for node in machine.nodes)  # CXL
    assert any(node.package is not None and not node.memory for machine in machines for node in machine.nodes)


@pytest.mark.parametrize("name", TREES)
def test_recorded_trees_are_read_as_hwloc_reads_them(name: str, tmp_path: Path) -> None:
    with tarfile.open(RECORDED / f"{name}.tar.bz2") as packed:
        # Debian 12's Python 3.11.2 has no `filter=` (3.11.4 has); 3.12 warns without one.
        packed.extraction_filter = getattr(tarfile, "data_filter", None)
        packed.extractall(tmp_path)
    machine = find_topology(str(next(tmp_path.iterdir())))
    packages, nodes, cores, threads, distances = TREES[name]
    assert (len(machine.packages), len(machine.nodes), len(machine.cores), machine.threads) == (
        packages, nodes, cores, threads,
    )  # fmt: skip
    assert machine.distances[0] == distances
    Interconnect.of(machine)
    if name == "64amd64-4s2n4ca2co":
        assert machine.distances == find_topology("opteron-6276-4s").distances


def test_hwloc_files_of_three_versions_are_read() -> None:
    hetero = read_hwloc_xml(RECORDED / "64intel64-heteromem.xml")
    assert [node.kind for node in hetero.nodes] == ["DRAM"] * 4 + ["HBM"] * 4
    assert [node.package for node in hetero.nodes] == [0] * 4 + [None] * 4
    assert hetero.nodes[7].bandwidth == pytest.approx(94.37184)
    assert (len(hetero.cores), hetero.threads) == (16, 64)
    cxl = read_hwloc_xml(RECORDED / "cxlmem+dax.v3.xml")
    assert [(d.address, d.name, d.node) for d in cxl.devices] == [("0000:00:02.0", "enp0s2", 0)]
    pci = read_hwloc_xml(RECORDED / "32em64t-2n8c2t-pci-normalio.xml")
    assert {d.address: d.node for d in pci.devices} == {"0000:04:00.0": 1, "0000:81:00.0": 1, "0000:81:00.1": 1}
    latencies = read_hwloc_xml(RECORDED / "16amd64-4distances.xml")
    assert latencies.distances[0] == (10, *7 * (20,))
    assert [node.package for node in latencies.nodes[:2]] == [1, 0]


def test_an_overlay_tells_what_firmware_does_not(tmp_path: Path) -> None:
    over = tmp_path / "over.toml"
    over.write_text(
        "distances = [[10, 21, 24], [21, 10, 34], [24, 34, 10]]\n"
        '[[node]]\nnumber = 0\nbandwidth = 100.0\n[[node]]\nnumber = 2\nmemory = "8GB"\nkind = "CXL"\n'
        '[[link]]\nbetween = ["n0", "n1"]\nbandwidth = 20.0\n[[link]]\nbetween = ["n0", "n2"]\nbandwidth = 10.0\n'
        '[[device]]\naddress = "0000:01:00.0"\nnode = 1\n'
    )
    machine = find_topology("pack:2 [numa] core:4 pu:2", over)
    assert [(n.bandwidth, n.kind, n.package) for n in machine.nodes] == [
        (100.0, "DRAM", 0), (None, "DRAM", 1), (None, "CXL", None),
    ]  # fmt: skip
    assert Interconnect.of(machine).width(1, 2) == 10.0
    assert machine.device("01:00.0") == machine.devices[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("synthetic = 'core:2'\ndistances = [[10, 20], [20, 10]]", ":2: there are 1 nodes, and distances of 2"),
        ("synthetic = 'core:2'\ndistances = [[11]]", ":2: distances is not 10 from a node to itself"),
        ("synthetic = 'numa:2 core:2'\n[[link]]\nbetween = ['n0', 'n7']\nbandwidth = 1.0", "has no node 7"),
        ("synthetic = 'numa:3 core:2'\n[[link]]\nbetween = ['n0', 'n1']\nbandwidth = 1.0", "no link leads from n0"),
        ("synthetic = 'numa:2 core:2'\n[[node]]\nnumber = 5", "has no node 5"),
        ("synthetic = 'numa:2 core:2'\n[[device]]\naddress = '1'\nnode = 3", "has no node 3"),
        ("synthetic = 'numa:2 cor:2'", ":1: cor of 'numa:2 cor:2' is no part of a machine"),
        ("source = 'nothing'", "describes no machine of its own"),
    ],
)  # fmt: skip
def test_mistakes_in_a_file_are_told_with_their_line(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "machine.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        read_machine(file)
    assert said in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    "text",
    ["pack:0", "pu:2 core:2", "pack:2 pack:2", "core:2 [l3]", "core:99999999", "[numa core:2", "core", "core:2 x"],
)
def test_descriptions_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_synthetic(text)


def test_numbers_are_read_as_linux_and_hwloc_write_them() -> None:
    assert cpu_list("0-2,8,10-11") == [0, 1, 2, 8, 10, 11] and cpu_list("") == []
    assert cpu_mask("1,80000001") == [0, 31, 32]
    assert cpu_set("0x00000001,0x80000001") == {0, 31, 32} and cpu_set(None) == frozenset()
    assert [size_of(text) for text in ("512", "1KB", "2 MiB", "1.5GB")] == [512, 1024, 2 << 20, 3 << 29]


def test_routes_take_the_fewest_hops_and_of_those_the_widest_or_the_widest_if_the_machine_says_so() -> None:
    links = [("n0", "n1", 8.0), ("n1", "n2", 8.0), ("n0", "n3", 5.0), ("n3", "n2", 9.0), ("n0", "n2", 1.0)]
    ring = replace(read_synthetic("pack:4 numa:1 core:1"), links=tuple(Link(*link) for link in links))
    graph = Interconnect.of(ring)
    assert graph.hops[0].tolist() == [0, 1, 1, 1] and graph.width(0, 2) == 1.0
    assert [graph.arc_name(arc) for arc in graph.routes[1][3]] == ["n1 -> n2", "n2 -> n3"]
    widest = Interconnect.of(replace(ring, routing="widest"))
    assert [widest.arc_name(arc) for arc in widest.routes[0][2]] == ["n0 -> n1", "n1 -> n2"]
    assert widest.width(0, 3) == 8.0 and widest.hops[0, 3] == 3


@given(descriptions())
def test_assumed_links_reach_every_node_without_a_detour(text: str) -> None:
    machine = read_synthetic(text)
    graph = Interconnect.of(machine)
    assert all(link.assumed for link in assumed_links(machine))
    for a, row in enumerate(graph.routes):
        for b, route in enumerate(row):
            points = [graph.arc_name(arc).split(" -> ") for arc in route]
            assert (a == b) == (not route)
            if route:
                assert points[0][0] == graph.points[a] and points[-1][1] == graph.points[b]
                assert all(left[1] == right[0] for left, right in pairwise(points))
                assert graph.hops[a, b] == graph.hops[b, a]


def test_the_ring_is_found_in_its_distances() -> None:
    ring = replace(find_topology("xeon-e5-4650-4s-ring"), links=())
    assert {(link.a, link.b) for link in assumed_links(ring)} == {
        ("n0", "n1"),
        ("n1", "n2"),
        ("n2", "n3"),
        ("n0", "n3"),
    }


@pytest.mark.parametrize("name", [*names(), "core:2"])
def test_every_machine_is_drawn(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from xml.etree import ElementTree

    file = tmp_path / "machine.svg"
    assert main(["topology", name, "--svg", str(file)]) == 0
    machine = find_topology(name)
    said = capsys.readouterr().out
    assert all(f"node {node.number}:" in said for node in machine.nodes)
    assert all(device.address in said for device in machine.devices)
    drawn = ElementTree.parse(file).getroot()
    titles = [title.text or "" for title in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert sum(title.startswith("core ") for title in titles) == len(machine.cores)
    assert sum("GB/s each way" in title for title in titles) == len(Interconnect.of(machine).links)


def test_the_command_tells_as_json_and_names_what_is_near(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topology", "xeon-8480-2s-cxl", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [node["kind"] for node in told["nodes"]] == ["DRAM", "DRAM", "CXL"] and len(told["links"]) == 2
    assert main(["topology", "--from", "numa:2 core:2"]) == 0
    assert "2 nodes" in capsys.readouterr().out
    assert main(["topology", "--topology", "numa:2 core:2"]) == 0
    assert main(["topology", "numa:2 core:2", "--from", "core:2"]) == 2
    assert main(["topology"]) == 0
    assert main(["topology", "--list"]) == 0
    assert capsys.readouterr().out.split()[-len(names()) :] == names()
    assert main(["topology", "xeon-6248-4s"]) == 2
    assert "did you mean xeon-6248-2s?" in capsys.readouterr().err


def test_hwloc_is_asked_through_its_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BurstlineError, match="needs lstopo") as missing:
        find_topology("hwloc:")
    assert missing.value.hint == "apt-get install hwloc-nox"
    program = tmp_path / "lstopo-no-graphics"
    recorded = RECORDED / "16amd64-4distances.xml"
    program.write_text(f"#!/bin/sh\nexec /bin/cp '{recorded}' \"$1\"\n")
    program.chmod(0o755)
    assert find_topology("hwloc:").cores == read_hwloc_xml(recorded).cores
    program.write_text("#!/bin/sh\necho no such machine >&2; exit 1\n")
    with pytest.raises(BurstlineError, match="no such machine"):
        find_topology("hwloc:")
