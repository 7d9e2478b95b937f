"""The front of the command line: what it imports, how it answers mistakes, and the exit codes."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import IO

import pytest

from burstline.cli import main as front
from burstline.cli.main import COMMANDS, main
from burstline.errors import BurstlineError, UsageError

HEAVY = ("numpy", "numba", "llvmlite", "pyarrow", "pandas", "burstline.cli.run", "burstline.compiler", "burstline.dpdk")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def python(*words: str, stdout: int | IO[str] = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=ENVIRONMENT,
        timeout=300,
    )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[argparse.Namespace], int]], None]:
    """Put a command `fake` in place, with the options --workers and a file."""

    def put(run: Callable[[argparse.Namespace], int]) -> None:
        module = ModuleType("burstline.cli.fake")

        def add_arguments(parser: argparse.ArgumentParser) -> None:
            parser.add_argument("--workers", type=int, default=1)
            parser.add_argument("file", nargs="?")

        module.add_arguments = add_arguments  # type: ignore[attr-defined]
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(COMMANDS, "fake", "stand in for a command")
        monkeypatch.setitem(sys.modules, "burstline.cli.fake", module)

    return put


def raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


def test_help_names_every_command_and_imports_none() -> None:
    script = "import sys; from burstline.cli.main import main; main(['--help']); "
    script += f"print([name for name in {HEAVY} if name in sys.modules])"
    done = python("-c", script)
    assert done.stdout.splitlines()[-1] == "[]", "imported before any command was chosen"
    assert all(f"  {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_a_module_of_its_own(command: str) -> None:
    assert importlib.util.find_spec(f"burstline.cli.{command}") is not None


def test_without_words_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "commands:" in capsys.readouterr().out


def test_python_dash_m_prints_the_version() -> None:
    done = python("-m", "burstline", "--version")
    assert done.returncode == 0
    assert done.stdout.startswith("burstline ")


def test_the_exit_code_of_the_command_is_that_of_the_program(fake: Callable[..., None]) -> None:
    fake(lambda args: int(args.workers))
    assert main(["fake", "--workers", "3"]) == 3


@pytest.mark.parametrize(("word", "meant"), [("rnu", "run"), ("docter", "doctor"), ("benchmark", "bench")])
def test_an_unknown_command_is_answered_by_the_nearest(
    word: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word, "x.py"]) == 2
    error = capsys.readouterr().err
    assert f"no command '{word}'" in error
    assert f"did you mean {meant}?" in error


def test_a_command_like_no_other_is_answered_by_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zzz"]) == 2
    assert ", ".join(COMMANDS) in capsys.readouterr().err


def test_an_unknown_option_is_answered_by_the_nearest(
    fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake(lambda args: 0)
    assert main(["fake", "--wrokers=2"]) == 2
    error = capsys.readouterr().err
    assert "burstline fake has no option --wrokers" in error
    assert "did you mean --workers?" in error


def test_an_option_is_never_guessed_from_its_beginning(fake: Callable[..., None]) -> None:
    fake(lambda args: 0)
    assert main(["fake", "--work", "2"]) == 2


@pytest.mark.parametrize(
    "words", [["fake", "--workers", "x"], ["fake", "--workers"], ["fake", "a", "b"], ["--wat", "fake"]]
)
def test_wrong_arguments_are_one_message_with_a_hint(
    words: list[str], fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake(lambda args: 0)
    assert main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("burstline: error: ")
    assert lines[1].startswith("  hint: ")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (BurstlineError("it broke", "mend it"), 1, "burstline: error: it broke\n  hint: mend it\n"),
        (BurstlineError("it broke", "first\nsecond"), 1, "burstline: error: it broke\n  hint: first\n        second\n"),
        (UsageError("wrong key"), 2, "burstline: error: wrong key\n"),
        (KeyboardInterrupt(), 130, "burstline: error: interrupted\n"),
        (BrokenPipeError(), 141, ""),
        (
            OSError(28, "No space left on device", "out.pcap"),
            1,
            "burstline: error: out.pcap: No space left on device\n",
        ),
        (SystemExit("the app says no"), 1, "burstline: error: the app says no\n"),
        (SystemExit(7), 7, ""),
    ],
)
def test_an_error_becomes_a_message_and_its_exit_code(
    error: BaseException, code: int, text: str, fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake(raising(error))
    assert main(["fake"]) == code
    assert capsys.readouterr().err == text


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake(raising(ModuleNotFoundError("No module named 'numba.core'", name="numba.core")))
    assert main(["fake"]) == 1
    error = capsys.readouterr().err
    assert "package numba is missing" in error
    assert "-m pip install numba" in error


def test_a_mistake_in_burstline_is_told_apart_and_without_a_traceback(
    fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake(raising(ZeroDivisionError("division by zero")))
    assert main(["fake"]) == front.INTERNAL
    error = capsys.readouterr().err
    assert "internal error: ZeroDivisionError" in error
    assert "--debug" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("words", [["--debug", "fake"], ["fake", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(
    words: list[str], fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fake(raising(UsageError("wrong key")))
    assert main(words) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_reader_that_goes_away_ends_the_program_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = python("-m", "burstline", "--help", stdout=writer)
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_an_output_that_is_full_is_an_error() -> None:
    with open("/dev/full", "w") as full:
        done = python("-m", "burstline", "--version", stdout=full)
    assert done.returncode == 1
    assert done.stderr == "burstline: error: standard output: No space left on device\n"
