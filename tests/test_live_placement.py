"""A plan carried out by a live run, and a worker that moves while packets flow: all of it works on one node, too."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from burstline import dpdk
from burstline.cli.doctor import examine_runs, run_lines
from burstline.cli.main import main
from burstline.engine.config import Config, Engine, Numa
from burstline.engine.placement.live_placement import LivePlacement
from burstline.engine.placement.placement import Placement
from burstline.errors import UsageError
from burstline.numa import memory_policy
from burstline.numa.find import find_topology
from burstline.numa.usable import usable
from dpdk_live import alone

pytestmark = pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
PATIENCE = 120.0


class Flow(bl.Record):
    packets: bl.u64


flows = bl.FlowTable(Flow, capacity=100_000)
blocked = bl.PrefixSet([f"10.{k}.{j}.0/24" for k in range(64, 128) for j in range(64)])


@bl.stage
def count(pkt: Any) -> Any:
    if pkt.ipv4 and pkt.ipv4.src in blocked:
        return bl.DROP
    flows[pkt].packets += 1
    return bl.send(0)


def wait(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.01)


def moved(stats: str) -> dict[str, Any]:
    """One worker from the first CPU to the last, by the command that users have; then what cannot be."""
    from burstline.engine.live import LiveRun
    from burstline.engine.publisher import LIVE_ROUNDS, Publisher
    from burstline.view.question_server import QuestionServer

    os.environ["BURSTLINE_STATS"] = stats
    cpus = sorted(os.sched_getaffinity(0))
    engine = Engine(workers=1, cores=(cpus[0],), duration=PATIENCE)
    publisher = Publisher("app.py", "dpdk:ring-loop", 0.1, LIVE_ROUNDS)
    config = Config(engine=engine, numa=Numa(plan="auto", irqs=False))
    run = LiveRun(bl.Pipeline(count), ["ring-loop,packets=64"], None, config, publisher=publisher)
    publisher.questions = QuestionServer(run)
    found: dict[str, Any] = {"cpus": cpus, "refused": []}

    def drive() -> None:
        try:
            wait(lambda: bool(run.placement.where.threads))
            found["before"] = run.placement.as_json()
            found["code"] = main(["move", "worker0", "--cpu", str(cpus[-1])])
            packets = published(stats)
            wait(lambda: published(stats) > packets)
            found["after"] = run.placement.as_json()
            found["doctor"] = [line for one in examine_runs() for line in run_lines(one)]
            for worker, cpu in ((7, cpus[0]), (0, 4095)):
                try:
                    run.move_worker(worker, cpu)
                except UsageError as error:
                    found["refused"].append(error.message)
        finally:
            run.stop()

    thread = threading.Thread(target=drive)
    thread.start()
    report = run.run()
    thread.join()
    found["afterwards"] = sorted(os.sched_getaffinity(0))
    try:
        run.move_worker(0, cpus[0])
    except UsageError as error:
        found["refused"].append(error.message)
    return found | {"report": report.as_json(), "balanced": report.balanced, "lines": report.lines()}


def published(stats: str) -> int:
    from burstline.engine.stats_reader import open_runs

    (run,) = open_runs()
    try:
        return run.read().workers[0].received.packets
    finally:
        run.close()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    result: dict[str, Any] = alone(moved, str(tmp_path_factory.mktemp("stats")))
    return result


def worker_of(told: dict[str, Any]) -> dict[str, Any]:
    (thread,) = (each for each in told["where"]["threads"] if each["worker"] == 0)
    return thread  # type: ignore[no-any-return]


def test_the_worker_is_where_the_plan_has_it_and_then_where_it_was_moved(found: dict[str, Any]) -> None:
    assert list(worker_of(found["before"])["cpus"]) == [found["cpus"][0]]
    assert found["code"] == 0
    assert list(worker_of(found["after"])["cpus"]) == [found["cpus"][-1]]


def test_other_threads_keep_off_the_worker_where_there_are_other_cpus(found: dict[str, Any]) -> None:
    if len(found["cpus"]) < 2:
        pytest.skip("one CPU")
    for told in (found["before"], found["after"]):
        (cpu,) = worker_of(told)["cpus"]
        others = [each for each in told["where"]["threads"] if each["worker"] is None]
        assert others
        assert all(cpu not in each["cpus"] for each in others)


def test_the_threads_of_the_process_have_their_cpus_again(found: dict[str, Any]) -> None:
    assert found["afterwards"] == found["cpus"]


def test_others_keep_off_the_director_where_there_are_other_cpus() -> None:
    machine = find_topology("xeon-6248-2s")
    for cpus, taken in ((machine.core_of, [2, 3, 5]), ((2, 3, 5), [2, 3])):
        part = usable(machine, cpus)
        live = LivePlacement(Placement(part, (2, 3)), Config(numa=Numa(irqs=False)), [2, 3])
        with live.carried_out(tuple, (), [5]):
            assert list(live.taken) == taken


def test_memory_of_all_kinds_is_found_on_its_node(found: dict[str, Any]) -> None:
    if not memory_policy.is_supported():
        pytest.skip("the system takes no memory policy")
    memories = {each["name"]: each for each in found["after"]["where"]["memories"]}
    assert {"table flows of worker 0", "table blocked", "memory of worker 0", "code of worker 0"} <= set(memories)
    assert memories["pool dpdk:ring-loop,packets=64"]["kind"] == "pool"
    for name, each in memories.items():
        assert set(each["pages"]) == {each["planned"]} or name.startswith("stack"), name
    (move,) = found["after"]["moves"]
    assert sum(each["stayed"] for each in move["memory"].values()) == 0


def test_no_packet_is_lost_and_the_report_tells_the_move(found: dict[str, Any]) -> None:
    report = found["report"]
    assert found["balanced"]
    assert report["packets_in"] == report["packets_out"] > 0
    (line,) = (line for line in found["lines"] if line.startswith("placement"))
    assert line == f"placement as planned (auto): workers on CPUs {found['cpus'][-1]}; 1 move of workers"
    assert found["doctor"][0].startswith("app.py over dpdk:ring-loop (process ")
    assert report["placement"]["moves"][0]["cpu"] == found["cpus"][-1]


def test_moves_that_cannot_be_are_refused(found: dict[str, Any]) -> None:
    refused = ["there is no worker 7", "there is no CPU 4095 that the run may use"]
    assert found["refused"] == [*refused, "no worker can be moved: the run has ended"]


def test_commands_for_no_run_and_no_worker_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURSTLINE_STATS", str(tmp_path))
    assert main(["move", "everything", "--cpu", "1"]) == 2
    assert "everything is no worker" in capsys.readouterr().err
    assert main(["move", "worker0", "--cpu", "1"]) == 1
    assert "no pipeline is running" in capsys.readouterr().err
    assert main(["move", "worker0", "--cpu", "1", "bridge.py"]) == 1, "as its help has it"
    assert "no running pipeline is called bridge.py" in capsys.readouterr().err


def test_a_plan_is_for_ports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = tmp_path / "app.py"
    app.write_text("import burstline as bl\n@bl.stage\ndef s(pkt): pass\npipeline = bl.Pipeline(s)\n")
    assert main(["run", str(app), "gen:packets=10", "--plan", "auto"]) == 2
    assert "--plan is for compiled runs between ports" in capsys.readouterr().err
    assert main(["run", str(app), "gen:packets=10", "--plan", "off"]) == 0
