"""`burstline plan`: the demand is what the application and its settings say, and pins of all kinds are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import burstline as bl
from burstline.cli.main import main
from burstline.engine.app import load_app
from burstline.engine.config import Config, Port
from burstline.engine.learned_costs import file_of
from burstline.engine.plan_demand import Traffic, app_demand
from burstline.engine.state_size import size_of_state
from burstline.errors import UsageError
from burstline.numa.find import find_topology
from burstline.numa.learned.model import CostOfPackets
from burstline.numa.learned.store import save

APP = """
import burstline as bl


class Flow(bl.Record):
    packets: bl.u64


flows = bl.FlowTable(Flow, capacity=1_000_000)
blocked = bl.PrefixSet(["10.0.0.0/8"])
seen = bl.Counter("seen")


@bl.stage
def count(pkt):
    if pkt.ipv4 and pkt.ipv4.src in blocked:
        return bl.DROP
    flows[pkt].packets += 1
    seen.add()


pipeline = bl.Pipeline(count)
"""
MACHINE = "xeon-8180-4s-mesh"


@pytest.fixture
def app(tmp_path: Path) -> str:
    file = tmp_path / "app.py"
    file.write_text(APP)
    return str(file)


def planned(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main(["plan", *words, "--json", "--seconds", "0.5", "--method", "search"]) == 0
    told: dict[str, object] = json.loads(capsys.readouterr().out)
    return told


def test_the_demand_is_what_the_application_and_the_ports_ask(app: str) -> None:
    from burstline.engine.app import load_app

    machine = find_topology(MACHINE)
    config = Config(ports=(Port("dpdk:0000:17:00.0", queues=2),)).with_overrides(workers=4)
    demand = app_demand(
        load_app(app), config, machine, ["dpdk:0000:17:00.0", "dpdk:0000:85:00.0"], Traffic(2e6, 200, 0.0, 100)
    )
    assert [t.name for t in demand.threads] == ["worker 0", "worker 1", "worker 2", "worker 3", "control 0"]
    pools = [m for m in demand.memories if m.kind == "pool"]
    assert [(m.port, m.port_node) for m in pools].count(("0000:17:00.0", 0)) == 2
    assert [(m.port, m.port_node) for m in pools].count(("0000:85:00.0", 2)) == 4
    assert sum(m.dma_in for m in pools) == pytest.approx(2 * 2e6 * 200 / 1e9)
    assert sum(t.packets for t in demand.threads) == pytest.approx(4e6)
    assert demand.threads[0].packets == pytest.approx(1.5e6)
    flows = [m for m in demand.memories if m.name.startswith("table flows")]
    assert len(flows) == 4 and all(m.size > 40_000_000 for m in flows)
    lines = sum(a.lines for a in demand.accesses if demand.memories[a.memory].name.startswith("table flows"))
    assert 4e6 < lines <= 2 * 4e6  # a line of the index and one of the record, of which some are in L3


def test_the_sizes_of_state_are_those_of_a_run() -> None:
    class Flow(bl.Record):
        packets: bl.u64

    small, large = (size_of_state(bl.FlowTable(Flow, capacity=n)) for n in (1_000, 1_000_000))
    assert large.own > 300 * small.own and large.own > 48 * 1_000_000
    prefixes = size_of_state(bl.PrefixMap({"10.0.0.0/8": 1}))
    assert prefixes.shared > 0 and prefixes.own < prefixes.shared


def test_pins_of_the_command_line_and_of_the_settings_are_kept(
    app: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = planned(capsys, app, "--topology", MACHINE, "--workers", "3", "--cores", "30,60,90", "--pin", "flows=node:3")
    assert told["cores"] == [30, 60, 90]
    memories = told["memories"]
    assert isinstance(memories, list)
    assert {m["node"] for m in memories if "flows" in m["name"]} == {3}
    (tmp_path / "burstline.toml").write_text("[engine]\nworkers = 2\ncores = [5, 6]\n[numa]\nnode = 1\n")
    told = planned(capsys, app, "--topology", MACHINE)
    assert told["cores"] == [5, 6]
    memories = told["memories"]
    assert isinstance(memories, list)
    assert {m["node"] for m in memories if m["kind"] == "pool"} == {1}


def test_contradictions_name_both(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", app, "--topology", MACHINE, "--workers", "2", "--cores", "5,6", "--pin", "worker1=cpu:7"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "[engine] cores (worker 1 on 6)" in said and "--pin worker1=cpu:7" in said


def test_the_plan_is_printed_with_what_to_run(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", app, "dpdk:0000:17:00.0", "--topology", MACHINE, "-w", "2", "--seconds", "0.5"]
    assert main([*words, "--method", "search"]) == 0
    said = capsys.readouterr().out
    assert "nothing costs less than" in said and "beside 0000:17:00.0" in said
    assert "--workers 2 --cores " in said


def test_what_was_learned_of_distances_on_this_host_weighs_in_its_plans(
    app: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURSTLINE_CACHE", str(tmp_path / "cache"))
    model = replace(CostOfPackets(), is_on=True)
    save(model, file_of(load_app(app)), 1.5)
    words = ["--workers", "1", "--method", "search", "--seconds", "0.2"]
    here = ["plan", app, "dpdk:net_null0", *words]
    said = "memory of other nodes counts 1.50 times its distance"
    assert main(here) == 0 and said not in capsys.readouterr().out
    Path(app).with_name("burstline.toml").write_text("[numa_balance]\ntune = true\n")
    assert main(here) == 0 and said in capsys.readouterr().out
    assert main(["plan", app, *words, "--topology", "epyc-7763-2s-nps4"]) == 0 and said not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["capture.pcap"], "capture.pcap is no port"),
        (["dpdk:net_null0", "--topology", MACHINE], "does not tell the node of dpdk:net_null0"),
        (["--topology", "core:4"], "has no network device"),
        (["--topology", MACHINE, "--rate", "much"], "--rate much"),
        (["--topology", MACHINE, "--packet", "2"], "--packet 2"),
        (["--topology", MACHINE, "--workers", "9999"], "threads are more than"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_told(
    app: str, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", app, *words]) == 2
    told = capsys.readouterr().err
    assert said in told and "hint:" in told


def test_a_port_gets_no_more_than_its_link_carries(app: str) -> None:
    from burstline.engine.app import load_app

    machine = find_topology("opteron-6276-4s")  # PCIe 2.0 x8: 4 GB/s
    demand = app_demand(load_app(app), Config(), machine, ["dpdk:0000:02:00.0"], Traffic(50e6, 1000))
    assert sum(m.dma_in for m in demand.memories) == pytest.approx(4.0)
    with pytest.raises(UsageError, match="does not tell the node"):
        app_demand(load_app(app), Config(), machine, ["dpdk:0000:99:00.0"], Traffic())
