"""`burstline run --watch`: a saved file takes effect while packets flow, and a broken one does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from benchmarks.swap import Lines
from both_modes import stage_of
from burstline.engine.app import Application
from burstline.engine.carry import Carried, Swap
from burstline.engine.swap_text import described
from burstline.engine.watch import Watch
from burstline.errors import BurstlineError

APP = """
import burstline as bl
from limits import LONG

seen = bl.Counter("seen")

@bl.stage
def judge(pkt):
    seen.add()
    if pkt.length > LONG:
        return bl.drop("long")

pipeline = bl.Pipeline(judge)

@pipeline.at_end
def show(report):
    print("at the end of", "first", seen.value)
"""
ENDLESS = "gen:packets=1e15,flows=100"


def save(file: Path, text: str) -> None:
    """As editors do."""
    new = file.with_suffix(".new")
    new.write_text(text)
    os.replace(new, file)


class Watched:
    """A `burstline run --watch` in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.app, self.limits = folder / "app.py", folder / "limits.py"
        self.app.write_text(APP)
        self.limits.write_text("LONG = 1000\n")
        words = [sys.executable, "-W", "error", "-m", "burstline", "run", "app.py", ENDLESS, "--watch", "--json"]
        self.process = subprocess.Popen(
            [*words, *options], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )  # fmt: skip
        self.lines = Lines(self.process.stderr)
        self.lines.wait_for("watching", 1)

    def said(self, word: str, count: int = 1) -> str:
        self.lines.wait_for(word, count)
        return next(line for line in reversed(self.lines.seen) if word in line)

    def report(self) -> dict[str, Any]:
        self.process.send_signal(signal.SIGINT)
        assert self.process.stdout is not None
        report: dict[str, Any] = json.loads(self.process.stdout.read())
        assert self.process.wait(30) == 0
        return report


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def begin(*options: str) -> Watched:
        made.append(Watched(tmp_path, *options))
        return made[-1]

    yield begin
    for each in made:
        each.process.kill()
        each.process.communicate()


def drops(report: dict[str, Any]) -> set[str]:
    sums = [report[f"packets_{way}"] for way in ("in", "out", "consumed")]
    dropped = sum(count["packets"] for count in report["drops"].values())
    assert sums[0] == sums[1] + sums[2] + dropped
    return set(report["drops"])


def test_what_is_saved_runs_and_what_does_not_compile_does_not(start: Callable[..., Watched]) -> None:
    run = start()
    assert "watching app.py, limits.py" in run.said("watching")
    save(run.app, APP.replace('"long"', '"very long"').replace('"first"', '"second"'))
    assert "changed judge; kept seen" in run.said("swapped")

    save(run.app, APP.replace("pkt.length", "pkt.lenght"))
    assert "the pipeline runs on as it was" in run.said("runs on")
    assert "stage `judge` cannot be compiled" in run.said("burstline: error: ")
    assert "app.py:10:" in run.said("cannot be compiled")
    assert "if pkt.lenght > LONG:" in run.said("pkt.lenght")
    assert "did you mean 'length'?" in run.said("hint: ")

    save(run.app, APP.replace("def judge(pkt):", "def judge(pkt:"))
    run.said("runs on", 2)
    assert "app.py:8: " in run.said("burstline: error: ")

    save(run.limits, "LONG = 1 / 0\n")
    save(run.app, APP.replace('"long"', '"too long"').replace('"first"', '"last"'))
    run.said("runs on", 3)
    assert "ZeroDivisionError" in run.said("burstline: error: ")
    save(run.limits, "LONG = 1001\n")
    assert "changed judge; kept seen" in run.said("swapped", 2)

    report = run.report()
    assert drops(report) == {"long", "very long", "too long"}
    assert len(report["swaps"]) == 2
    assert f"at the end of last {report['packets_in']}" in run.lines.seen


def test_an_interpreted_run_takes_what_is_saved(start: Callable[..., Watched]) -> None:
    run = start("--interpret")
    run.limits.write_text("LONG = 1009\n")  # of the same size, maybe in the same second
    assert "changed judge; kept seen" in run.said("swapped")
    run.limits.write_text("LONG = 1008\n")
    run.said("swapped", 2)
    save(run.app, APP.replace("(judge)", "(judge"))
    run.said("runs on")
    save(run.app, APP.replace("seen = bl", "count = bl").replace("seen.", "count."))
    assert "changed judge" in run.said("swapped", 3)
    report = run.report()
    assert drops(report) == {"long"}
    assert len(report["swaps"]) == 3


def test_only_modules_of_the_applications_own_folder_are_loaded_again(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import email.charset\nimport near_by\nimport burstline as bl\n\n\n@bl.stage\ndef judge(pkt):\n"
        "    if pkt.length > near_by.LIMIT:\n        return bl.DROP\n\n\npipeline = bl.Pipeline(judge)\n"
    )
    near = tmp_path / "near_by.py"
    near.write_text("LIMIT = 1\n")
    app = Application(str(tmp_path / "app.py"))
    try:
        app.load()
        assert app.files == [tmp_path / "app.py", near]
        other = sys.modules["email.charset"]
        near.write_text("LIMIT = 2\n")
        pipeline = app.load()
        assert pipeline.stages[0].function.__globals__["near_by"].LIMIT == 2
        assert sys.modules["email.charset"] is other
        near.write_text("LIMIT =\n")
        with pytest.raises(BurstlineError, match=r"near_by.py:1: invalid syntax"):
            app.load()
        assert near in app.files, "it is watched on, since the mistake is there"
    finally:
        sys.modules.pop("near_by", None)
        sys.path.remove(str(tmp_path))


class Run:
    """What `Watch` needs of a run."""

    is_running = True

    def __init__(self, pipeline: bl.Pipeline) -> None:
        self.pipeline = pipeline

    def swap(self, pipeline: bl.Pipeline) -> Swap:
        self.pipeline = pipeline
        return Swap(Carried((), ()), 0.0, 0.0)


def test_an_application_that_exits_is_an_error_and_no_end(tmp_path: Path) -> None:
    file = tmp_path / "leaves.py"
    text = "import burstline as bl\n\n\n@bl.stage\ndef f(pkt):\n    return bl.DROP\n\n\npipeline = bl.Pipeline(f)\n"
    file.write_text(text)
    app = Application(str(file))
    try:
        failures: list[Exception] = []
        watch = Watch(app, Run(app.load()), lambda line: None, failures.append)
        save(file, "raise SystemExit('enough')\n")
        assert watch._was_saved()
        watch._reload()
        assert "ends the program: enough" in str(failures[0])
        assert not watch._was_saved()
        file.unlink()
        assert not watch._was_saved(), "an editor is about to put it back"
        save(file, text)
        assert watch._was_saved()
    finally:
        sys.path.remove(str(tmp_path))


def test_the_line_says_which_stages_and_which_state() -> None:
    def pipeline(**stages: str) -> bl.Pipeline:
        return bl.Pipeline(*(stage_of(f"def {name}(pkt):\n    {body}") for name, body in stages.items()))

    old = pipeline(a="return bl.DROP", b="return bl.PASS", c="return bl.CONSUME")
    new = pipeline(b="return bl.CONSUME", c="return bl.CONSUME", d="return bl.DROP")
    swap = Swap(Carried(("flows", "hits"), ("seen",)), 0.2, 0.0)
    assert described(old, new, swap, 0.246) == (
        "swapped in 0.25 s: changed b; new d; gone a; kept flows, hits; begun anew seen"
    )
    assert described(old, old, Swap(Carried((), ()), 0.0, 0.0), 0.1) == "swapped in 0.10 s: no stage changed"
