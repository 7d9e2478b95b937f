"""`burstline doctor`: what it prints and its exit code."""

from __future__ import annotations

import io
import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from burstline import dpdk
from burstline.cli import doctor
from burstline.cli.main import main
from burstline.engine.probes import PROBES, Finding, Outcome, Probe, privilege, software

YES, NO, UNKNOWN = Outcome.YES, Outcome.NO, Outcome.UNKNOWN
FOUND = [
    (Probe("offline", "Python", software.python, essential=True), Finding(YES, "3.11")),
    (Probe("offline", "Numba", software.zstd, essential=True), Finding(NO, "not installed", "pip install numba")),
    (Probe("live", "AF_XDP", privilege.af_xdp), Finding(UNKNOWN, "could not look")),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_table_is_aligned_with_signs_and_mends(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    doctor.print_table(FOUND, out)
    out.seek(0)
    lines = out.read().splitlines()
    assert "  ✓ Python  3.11" in lines
    assert "  ✗ Numba   not installed" in lines
    assert "            mend: pip install numba" in lines
    assert "  ? AF_XDP  could not look" in lines
    assert lines[-1] == "Capture files cannot be processed without Numba. 3 probes: 1 yes, 1 no, 1 could not tell."


def test_signs_are_ascii_where_the_encoding_is() -> None:
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    doctor.print_table([*FOUND, (Probe("live", "x", software.zstd), Finding(YES, "/home/jürgen"))], out)
    out.seek(0)
    text = out.read()
    assert "  + Python  3.11" in text
    assert "  x Numba   not installed" in text


def test_colour_only_on_a_terminal_that_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def printed(out: io.StringIO) -> str:
        doctor.print_table(FOUND, out)
        return out.getvalue()

    assert "\x1b[32m" in printed(Terminal())
    assert "\x1b[" not in printed(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in printed(Terminal())


def test_json_is_one_object_with_every_probe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [probe["name"] for probe in report["probes"]] == [probe.name for probe in PROBES]
    assert {probe["outcome"] for probe in report["probes"]} <= {"yes", "no", "unknown"}
    assert report["offline_works"] is True


def test_the_exit_code_is_one_only_when_capture_files_cannot_be_processed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def version(name: str) -> str:
        if name == missing:
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(software, "version", version)
    missing = "pyarrow"
    assert main(["doctor"]) == 0
    missing = "numba"
    assert main(["doctor"]) == 1
    assert "cannot be processed without Numba" in capsys.readouterr().out


@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
def test_dpdk_is_found_by_what_is_loaded_where_its_development_files_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [probe(Path("/")) for probe in (software.dpdk, software.drivers)]
    monkeypatch.setattr(software, "pkg_config", lambda option: None)
    monkeypatch.setattr(software.shutil, "which", lambda name: None)
    found = [probe(Path("/")) for probe in (software.dpdk, software.drivers)]
    assert [one.outcome for one in found] == [YES, YES]
    assert found[1] == known[1] and str(found[0].facts["version"]) in str(known[0].facts["version"])
