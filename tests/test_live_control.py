"""The steering controller beside live ports: it finds an elephant among mice and places it; a dry run says so and
changes nothing."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import pcap_of, run_both
from burstline import dpdk
from burstline.cli.main import main
from burstline.engine.config import Config, Engine, load
from burstline.engine.live_steering import steering_of
from burstline.state.toeplitz import DEFAULT_KEY, toeplitz
from burstline.steering.control.settings import Settings
from dpdk_live import alone, python

needs_dpdk = pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
LOOK = 0.05  # seconds: threads that share a core take turns, which should be even by then
LOOKS = 600  # that finding and placing it may take
ELEPHANT = 6  # its bucket, and those of the mice: without steering all go to worker 0
MICE = (8, 20, 32, 44)


def frame(sport: int) -> bytes:
    ip = b"\x45\0" + (32).to_bytes(2, "big") + bytes(4) + b"\x40\x11\0\0" + bytes((10, 0, 0, 1, 10, 9, 0, 1))
    udp = sport.to_bytes(2, "big") + (53).to_bytes(2, "big") + (12).to_bytes(2, "big") + bytes(2)
    return bytes(12) + b"\x08\0" + ip + udp + bytes(18)


def ports(bucket: int, count: int) -> list[int]:
    """Source ports of flows in a bucket."""
    found = []
    for sport in range(1024, 65536):
        data = bytes((10, 0, 0, 1, 10, 9, 0, 1)) + sport.to_bytes(2, "big") + (53).to_bytes(2, "big")
        if toeplitz(DEFAULT_KEY, data) % 128 == bucket:
            found.append(sport)
            if len(found) == count:
                break
    return found


def write_capture(path: Path) -> int:
    """Every second packet is of one flow, the others of eighty. Returns that one's source port."""
    (elephant,) = ports(ELEPHANT, 1)
    mice = [sport for group in zip(*(ports(bucket, 20) for bucket in MICE), strict=True) for sport in group]
    path.write_bytes(pcap_of(frame(sport) for k in range(400) for sport in (elephant, mice[k % len(mice)])))
    return elephant


def back_again() -> bl.Pipeline:
    @bl.stage
    def back(pkt: Any) -> bl.Verdict:
        return bl.send(0)

    return bl.Pipeline(back)


def config(act: Any, log: str | None = None) -> Config:
    engine = Engine(workers=2, duration=60, stats_interval=False)
    return Config(engine=engine, enable_flow_director="auto", steering_control=Settings(act=act, log=log, look=LOOK))


def run_until_placed(path: str, act: str, swaps: bool) -> dict[str, Any]:
    """Packets go round until a flow was placed, and a little longer; where that is wished, again after a swap."""
    from burstline.engine.live import LiveRun

    run = LiveRun(back_again(), [f"ring-loop,capture={path}"], None, config(act))
    placed, ended, rules = threading.Event(), threading.Event(), list[list[str]]()

    def say(lines: str) -> None:
        if " place " in lines:
            placed.set()

    def rules_now() -> list[str]:
        return (
            []
            if run.directing.director is None
            else [str(rule) for rule in run.directing.director.rules.rules().values()]
        )

    def wait_for_rule() -> None:
        while not (rules_now() if act == "on" else placed.is_set()) and not ended.wait(0.01):
            pass

    def follow() -> None:
        wait_for_rule()
        if swaps:
            run.swap(back_again())
            wait_for_rule()
        rules.append(rules_now())
        ended.wait(0.1)
        run.stop()

    run.explain = say
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # whatever else runs, all threads have the same of it
    other = threading.Thread(target=follow)
    other.start()
    report = run.run()
    ended.set()
    other.join()
    return {
        "steering": report.steering, "warnings": report.warnings, "balanced": report.balanced, "rules": rules[0],
        "lines": report.lines(), "swaps": len(report.swaps),
    }  # fmt: skip


@needs_dpdk
@pytest.mark.parametrize("swaps", [False, True], ids=["", "and again after a swap"])
def test_an_elephant_is_placed_and_mice_stay(tmp_path: Path, swaps: bool) -> None:
    elephant = write_capture(tmp_path / "in.pcap")
    found = alone(run_until_placed, str(tmp_path / "in.pcap"), "on", swaps)
    steering, flow = found["steering"], f"udp 10.0.0.1:{elephant} > 10.9.0.1:53"
    assert found["balanced"] and not found["warnings"] and found["swaps"] == swaps
    placed = [one for one in steering["decisions"] if one["action"] == "Place"]
    assert {(one["flow"], one["level"]) for one in placed} == {(flow, "exact")}
    assert placed[0]["look"] <= LOOKS and "of a core" in placed[0]["reason"] and steering["act"] == "on"
    (rule,) = found["rules"]
    assert f"sport {elephant} dport 53 -> queue " in rule
    assert all(steering["workers"])
    assert any(line.startswith("steering controller (on): ") for line in found["lines"])


@needs_dpdk
def test_a_dry_run_says_the_same_and_changes_nothing(tmp_path: Path) -> None:
    elephant = write_capture(tmp_path / "in.pcap")
    found = alone(run_until_placed, str(tmp_path / "in.pcap"), "dry-run", False)
    steering = found["steering"]
    assert found["balanced"] and not found["warnings"]
    placed = {one["flow"] for one in steering["decisions"] if one["action"] == "Place"}
    assert placed == {f"udp 10.0.0.1:{elephant} > 10.9.0.1:53"}
    assert found["rules"] == [] and steering["workers"][1] == 0 and steering["act"] == "dry-run"


APP = """
import burstline as bl
@bl.stage
def back(pkt):
    return bl.send(0)
pipeline = bl.Pipeline(back)
"""


@needs_dpdk
def test_decisions_are_told_as_they_are_made_and_the_log_tells_them_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elephant = write_capture(tmp_path / "in.pcap")
    (tmp_path / "app.py").write_text(APP)
    log = tmp_path / "decisions.jsonl"
    (tmp_path / "burstline.toml").write_text(
        f'enable_flow_director = "auto"\n[steering_control]\nlog = "{log}"\nlook = {LOOK}\n'
    )
    words = [
        "run",
        str(tmp_path / "app.py"),
        f"dpdk:ring-loop,capture={tmp_path}/in.pcap",
        "--no-huge",
        "--workers",
        "2",
    ]
    words += ["--duration", "4", "--steer", "on", "--explain-steering", "--json"]
    one_core = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    done = python(f"import os, sys; {one_core}; from burstline.cli.main import main; sys.exit(main({words!r}))")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    decisions = report["steering"]["decisions"]
    place = f"place udp 10.0.0.1:{elephant} > 10.9.0.1:53 on core"
    assert place in done.stderr and decisions[0]["reason"] in done.stderr
    assert main(["steer", str(log), "--explain"]) == 0
    shown = capsys.readouterr().out
    assert place in shown and decisions[0]["reason"] in shown and "2 workers, looks of 50 ms" in shown
    assert main(["steer", str(log), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["decisions"] == decisions and (told["act"], told["back_end"]) == ("on", "software")
    with log.open("a") as stream:
        stream.write('{"time": 1, "act')  # a run that was killed
    assert main(["steer", str(log)]) == 0
    assert "--explain shows them" in capsys.readouterr().out


def test_a_controller_that_has_nothing_to_steer_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(bl.UsageError, match="controller is on, and the flow director is off"):
        steering_of(back_again(), Config(engine=Engine(workers=2), steering_control=Settings(act="on")))
    with pytest.raises(bl.UsageError, match="controller is dry-run, and there is one worker"):
        steering_of(back_again(), Config(enable_flow_director=True, steering_control=Settings(act="dry-run")))
    (tmp_path / "burstline.toml").write_text('[steering_control]\nact = "on"\n')
    with pytest.raises(bl.UsageError, match=r"toml:2.*act has no effect while enable_flow_director = false"):
        load(tmp_path / "burstline.toml")
    (tmp_path / "burstline.toml").write_text("")
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "in.pcap").write_bytes(pcap_of([frame(1)]))
    assert main(["run", str(tmp_path / "app.py"), str(tmp_path / "in.pcap"), "--steer", "on"]) == 2
    assert "the steering controller is for compiled runs between ports" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_or_read_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from burstline.steering.control.decision_log import DecisionLog

    with pytest.raises(bl.UsageError, match="No such file"):
        DecisionLog(str(tmp_path / "none" / "log"), {})
    with DecisionLog(str(tmp_path / "log"), {"workers": 2}) as log:
        log.add([{"time": 1.0, "action": "Undedicate", "core": 1, "reason": "idle"}])
    (tmp_path / "log").write_text("no\n".join((tmp_path / "log").read_text().splitlines(keepends=True)))
    assert main(["steer", str(tmp_path / "log")]) == 2
    assert "log:2: not JSON" in capsys.readouterr().err


def test_stages_ask_for_the_fast_path_by_its_mark() -> None:
    @bl.stage
    def choose(pkt: Any) -> bl.Verdict:
        if pkt.udp.sport == 7:
            pkt.mark = bl.FAST_PATH
        return bl.drop("fast") if pkt.mark == bl.FAST_PATH else bl.PASS

    found = run_both([choose], [frame(7), frame(8), frame(7)]).equal()
    assert found.report.drops["fast"].packets == 2
    assert bl.SteeringRule(dport=53, mark=bl.FAST_PATH).mark == bl.FAST_PATH
