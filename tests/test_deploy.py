"""The systemd unit and the container file are about commands and options that there are."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from burstline.cli.main import parse

DEPLOY = Path(__file__).parents[1] / "deploy"
if not DEPLOY.is_dir():
    pytest.skip("the checkout's files are not here", allow_module_level=True)
UNIT = DEPLOY / "burstline.service"


def environment() -> dict[str, str]:
    lines = (line for line in (DEPLOY / "burstline.env").read_text().splitlines() if "=" in line and line[0] != "#")
    return {name: shlex.split(value)[0] for name, _, value in (line.partition("=") for line in lines)}


def commands(key: str) -> list[list[str]]:
    """What the unit runs of burstline, with the values of burstline.env."""
    found = []
    for line in UNIT.read_text().splitlines():
        if line.startswith(f"{key}=") and "bin/burstline " in line:
            text = re.sub(r"\$\{?(\w+)\}?", lambda m: environment()[m[1]], line.partition("bin/burstline ")[2])
            found.append(shlex.split(text))
    return found


def test_the_unit_runs_what_there_is() -> None:
    [words] = commands("ExecStart")
    module, args = parse(words[0], words[1:])
    assert module.__name__ == "burstline.cli.run"  # type: ignore[attr-defined]
    assert (args.user, args.keep_state, args.workers) == ("burstline", "/var/lib/burstline", 3)
    assert all(source.startswith("dpdk:") for source in args.source)
    [before] = commands("ExecStartPre")
    _, args = parse(before[0], before[1:])
    assert args.fix and args.pages == 512


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    text = UNIT.read_text().replace("/opt/burstline/bin/burstline", "/bin/true")
    (tmp_path / "burstline.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "burstline.service")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "burstline.service" in line] == []


def test_the_unit_says_nothing_twice_that_counts_once() -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    names = re.findall(r"^(\w+)=", UNIT.read_text(), re.MULTILINE)
    assert {name for name in names if names.count(name) > 1} == {"ExecStartPre"}
    assert parser["Service"]["Type"] == "notify"


def test_the_container_takes_what_the_checkout_has() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    for words in re.findall(r"^COPY (?!--)(.+)$", text, re.MULTILINE):
        for word in words.split()[:-1]:
            assert (DEPLOY.parent / word).exists()
    extras = re.search(r'"\.\[([\w,]+)\]"', text)
    assert extras
    project = (DEPLOY.parent / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras[1].split(","))
