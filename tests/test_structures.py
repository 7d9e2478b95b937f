"""The engine's own structures lie as they should: nothing that others wait for in a line with what a kernel stores."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import burstline
import burstline as bl
from both_modes import pcap_of, stage_of
from burstline.engine import offline, structures
from burstline.engine.columns_used import column, columns_used
from burstline.engine.offline import CAPACITY, FileRun
from burstline.engine.structure_report import cache_report, structure_report, structures_of
from burstline.engine.structures import falsely_shared, lines_of, shared_fields, stored_fields, uses_of
from burstline.engine.worker import FileWorker, PortWorker, Worker
from burstline.native.fieldtypes import i64, shared
from burstline.native.struct import LINE, Struct
from burstline.packet.burst import COLUMN, Burst
from burstline.pipeline.needs import needs_of
from burstline.ports.capture_file import Capture, Chunk
from burstline.ports.capture_sink import Sink
from burstline.state.digest import DigestHead
from burstline.state.record import Record
from burstline.state.region import Region
from scapy_frames import ARP4, ICMP6, IN_VXLAN, TCP4, UDP4


def own_structures() -> list[type[Struct]]:
    """All of the package."""
    for room in pkgutil.iter_modules(burstline.__path__):
        if room.ispkg and room.name not in ("dpdk", "cli"):
            for module in pkgutil.iter_modules([str(Path(str(burstline.__file__)).parent / room.name)]):
                importlib.import_module(f"burstline.{room.name}.{module.name}")

    def below(struct: type[Struct]) -> Iterator[type[Struct]]:
        for each in struct.__subclasses__():
            if each.__module__.startswith("burstline."):
                yield each
            yield from below(each)

    return [struct for struct in below(Struct) if not issubclass(struct, Record)]


OWN = own_structures()


@pytest.mark.parametrize("struct", OWN, ids=lambda s: s.__name__)
def test_what_others_wait_for_lies_apart_from_what_is_stored(struct: type[Struct]) -> None:
    assert falsely_shared(struct) == []


def test_what_is_shared_is_known() -> None:
    assert shared_fields(FileWorker) == shared_fields(PortWorker) == {"code"}
    assert shared_fields(DigestHead) == {"tail"}
    assert shared_fields(Capture) == {"turn", "last", "swaps", "switch"}
    assert shared_fields(Chunk) == {"ready", "remaining"}
    assert shared_fields(Sink) == {"turn"}
    assert {"packets_in", "packets_out", "budget", "next_run"} <= stored_fields(FileWorker)
    assert {"pending", "lost"} <= stored_fields(DigestHead)


KERNEL = """
from burstline.native.memory import load_acquire, store_release
from burstline.native.struct_type import reference

box_at = reference(Box)
DOOR = Box.layout.offset("door")


def look(box: Box, address: int) -> int:
    if load_acquire(address + DOOR) == 0:
        box.seen = 1
    for i in range(9):
        bump(box)
    return box_at(address).other


def bump(box: Box) -> None:
    box.count += 1


def tell(address: int) -> None:
    store_release(address + DOOR, 1)
"""


@pytest.fixture
def boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "box_kernel.py").write_text(KERNEL)
    monkeypatch.setattr(structures, "ROOT", tmp_path)
    structures._kernels.cache_clear()
    yield
    structures._kernels.cache_clear()


@pytest.mark.usefixtures("boxes")
def test_false_sharing_is_found_and_apart_it_is_none() -> None:
    class Box(Struct):
        door: i64
        seen: i64
        count: i64
        other: i64

    assert falsely_shared(Box) == [("door", "count"), ("door", "seen")]
    uses = {field: [(u.kernel, u.how, u.each_packet) for u in found] for field, found in uses_of(Box).items()}
    assert uses == {
        "door": [("look", "waits for", False), ("tell", "publishes", False)],
        "seen": [("look", "writes", False)],
        "count": [("bump", "writes", True), ("bump", "reads", True)],
        "other": [("look", "reads", False)],
    }
    apart = type("Box", (Struct,), {"__annotations__": {"door": shared, "seen": i64, "count": i64, "other": i64}})
    assert falsely_shared(apart) == []


@pytest.mark.parametrize(("struct", "most"), [(FileWorker, 1), (PortWorker, 2)])
def test_what_a_worker_touches_for_each_packet_lies_in_few_lines(struct: type[Struct], most: int) -> None:
    """Where all go one way, and one line more where they are sent to ports one by one."""
    fields = [f for f, uses in uses_of(struct).items() if any(u.each_packet for u in uses)]
    assert len(fields) >= 6
    assert len({line for field in fields for line in lines_of(struct.layout, field)}) <= most


def test_all_workers_have_the_same_way_to_code() -> None:
    for name in (slot.name for slot in Worker.layout):
        assert FileWorker.layout.offset(name) == PortWorker.layout.offset(name) == Worker.layout.offset(name)
    assert lines_of(Worker.layout, "code") == range(1)


@pytest.mark.parametrize("struct", OWN, ids=lambda s: s.__name__)
def test_the_report_has_every_byte_once(struct: type[Struct]) -> None:
    (drawn,) = structure_report([struct])
    at = 0
    for line in drawn["lines"]:
        for piece in line["pieces"]:
            assert line["line"] * LINE + piece["offset"] == at
            at += piece["bytes"]
    assert drawn["bytes"] - at < 64
    assert {p["field"] for line in drawn["lines"] for p in line["pieces"]} - {None} == {s.name for s in struct.layout}


def test_the_structures_of_a_pipeline_are_found() -> None:
    state = (bl.FlowTable(type("R", (bl.Record,), {"__annotations__": {"a": bl.u64}})), bl.Counter("c"))
    names = [s.__name__ for s in structures_of(state, "pcap")]
    assert names[:4] == ["FileWorker", "Capture", "Chunk", "Sink"]
    assert "TableHead" in names
    assert {s.__name__ for s in structures_of((), "ports")} == {"PortWorker", "PortQueue", "Sink"}


# ---- the burst's columns ----


class Flow(bl.Record):
    packets: bl.u64


FLOWS = bl.FlowTable(Flow, capacity=1000)
STAGES = {
    "nothing": "def s(pkt):\n    return bl.DROP",
    "length": "def s(pkt):\n    if pkt.length > 80:\n        return bl.DROP",
    "time": "def s(pkt):\n    if pkt.time & 1:\n        return bl.DROP",
    "port": "def s(pkt):\n    if pkt.port:\n        return bl.DROP",
    "ethernet": "def s(pkt):\n    if pkt.eth.type == 0x800:\n        return bl.DROP",
    "headers": "def s(pkt):\n    if pkt.tcp.dport == 80 or pkt.ipv4.ttl == 1:\n        return bl.DROP",
    "payload": "def s(pkt):\n    if len(pkt.payload) > 3:\n        return bl.DROP",
    "tags": "def s(pkt):\n    if pkt.vlan_depth or pkt.mpls_depth or pkt.proto == 6:\n        return bl.DROP",
    "inner": "def s(pkt):\n    if pkt.inner.ipv4.ttl == 1:\n        return bl.DROP",
    "flows": "def s(pkt):\n    FLOWS[pkt].packets += 1",
}
FILL = 0xA5


@pytest.mark.parametrize("sink", [False, True], ids=["", "written"])
@pytest.mark.parametrize("name", list(STAGES))
def test_the_columns_that_a_run_writes_are_those_of_the_report(
    name: str, sink: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Region] = []

    def region(size: int) -> Region:
        found = Region(size)
        if size == Burst(CAPACITY).size:
            found.write(0, bytes([FILL]) * size)
            made.append(found)
        return found

    monkeypatch.setattr(offline, "Region", region)
    packets = [bytes(frame) for frame in (TCP4, UDP4, ICMP6, ARP4, IN_VXLAN) * 8]
    (tmp_path / "in.pcap").write_bytes(pcap_of(packets))
    pipeline = bl.Pipeline(stage_of(STAGES[name], FLOWS=FLOWS))
    FileRun(pipeline, str(tmp_path / "in.pcap"), str(tmp_path / "out.pcap") if sink else None).run()
    (burst,) = made
    offsets = Burst(CAPACITY).offsets
    seldom = {"slow", "unusual", "buckets", "early", "protocols", "inner_protocols"}
    written = {
        each
        for each, about in COLUMN.items()
        if any(byte != FILL for byte in burst.read(offsets[each], about.width * len(packets))) and each not in seldom
    }
    assert written == set(columns_used(needs_of(pipeline), "pcap", sink=sink))


def test_columns_come_in_the_order_of_the_burst_and_begin_lines() -> None:
    needs = needs_of(bl.Pipeline(stage_of(STAGES["inner"])), workers=2)
    for source in ("pcap", "pcapng", "ports"):
        used = columns_used(needs, source, sink=True, bucketed=True)  # type: ignore[arg-type]
        offsets = [Burst(CAPACITY).offsets[name] for name in used]
        assert offsets == sorted(offsets)
        assert all(at % LINE == 0 for at in offsets)
        assert all(
            b - a >= column(name).width * CAPACITY
            for name, (a, b) in zip(used, itertools.pairwise(offsets), strict=False)
        )


def test_a_burst_is_held_against_the_caches() -> None:
    found: dict[str, Any] = cache_report(64, 64, "ports")
    assert (found["cache"], found["packets"], found["taken"]) == ("L1d", 64, 8192)
    if found["cache_bytes"]:
        assert found["share"] == 8192 / found["cache_bytes"]
    assert cache_report(64, 64, "pcap")["cache"] == "L2"
