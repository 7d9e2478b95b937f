"""The front of the command line: finds the command, imports only its module, and turns errors into messages.

A command is the module `burstline.cli.<name>` with `add_arguments(parser)` and `run(args) -> int`. Its line of help
stands in `COMMANDS`, so that `burstline --help` imports none of them: what is imported here delays the first packet.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol, cast

from burstline.errors import BurstlineError, UsageError

COMMANDS = {
    "run": "run a pipeline over a capture file, a generator or live ports",
    "archive": "run a pipeline over many captures on all cores or a cluster, with one result",
    "top": "look at a running pipeline in the terminal: rates, stages, cores, pools, flows, steering",
    "serve": "show a running pipeline as a web page, and its metrics to Prometheus",
    "metrics": "print metrics of a running pipeline, serve them to Prometheus, or send them by OpenTelemetry",
    "stats": "read what running pipelines count, while they run",
    "flows": "write the flows of captures or live ports to a table: Parquet, CSV, JSON, Arrow, IPFIX or Kafka",
    "capture": "write what comes to live ports into capture files, as fast as the disk takes it",
    "filter": "keep the packets of a capture that match a pcap filter, as tcpdump -r IN -w OUT does",
    "explain": "show what a pipeline is compiled to: its graph, LLVM IR or assembly",
    "layout": "show what lies in which cache line, and the lines that a packet touches",
    "gen": "write a capture of generated flows",
    "buffers": "tell the sizes of frames, and the buffer sizes that hold them in the least memory",
    "ports": "tell what ports can do, what is asked of them, and who does it",
    "steer": "tell which flows of a capture would be steered to which cores, and what that would bring",
    "topology": "draw the packages, memory nodes, caches, cores and links of this machine or another",
    "plan": "tell where on a NUMA machine an application's threads and memory belong, and what it costs elsewhere",
    "move": "have a worker of a running pipeline go on on another core, with its memory",
    "simulate": "run balancing policies over traffic on a simulated NUMA machine, and tell how long packets wait",
    "bench": "measure burstline beside its peers on this machine",
    "doctor": "tell what this machine offers, and what mends what is missing",
}

# Exit codes besides those of `BurstlineError` (1) and `UsageError` (2).
INTERNAL = 70  # EX_SOFTWARE of sysexits.h: a mistake in burstline itself
INTERRUPTED = 128 + 2  # what a shell reports for SIGINT
BROKEN_PIPE = 128 + 13  # what a shell reports for SIGPIPE


class Command(Protocol):
    """What the module of a command offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `UsageError`, and suggests the option that an unknown one was meant to be."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see `{self.prog} --help`")

    def parse_all(self, argv: Sequence[str]) -> argparse.Namespace:
        known, unknown = self.parse_known_args(argv)
        if unknown and not any(word.startswith("-") for word in unknown):
            # Up to Python 3.12 what may be left out (`nargs` of ? and *) is not found behind an option.
            known, unknown = self.parse_known_intermixed_args(argv)
        if not unknown:
            return known
        hint = f"see `{self.prog} --help`"
        option = unknown[0].split("=")[0]
        if option.startswith("-"):
            hint = suggestion(option, [o for action in self._actions for o in action.option_strings]) or hint
            raise UsageError(f"{self.prog} has no option {option}", hint)
        raise UsageError(f"{self.prog} does not know what to do with {' '.join(unknown)}", hint)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and never raises for what a user can cause."""
    code = guarded(list(sys.argv[1:] if argv is None else argv))
    try:
        sys.stdout.flush()  # what goes wrong here would otherwise be told by the interpreter, at its very end
    except OSError as error:
        # It flushes once more then: let that go nowhere (see the note on SIGPIPE in the documentation of `signal`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return code or BROKEN_PIPE
        return code or report(f"standard output: {error.strerror}", None, BurstlineError.exit_code, debug=False)
    return code


def guarded(words: list[str]) -> int:
    """Run the command in `words`; every error ends here, as a message and an exit code."""
    debug = "--debug" in words
    try:
        return dispatch(words)
    except SystemExit as ended:  # argparse, after --help or --version; or the app
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        return report(str(ended.code), None, BurstlineError.exit_code, debug)
    except BurstlineError as error:
        return report(error.message, error.hint, error.exit_code, debug)
    except KeyboardInterrupt:
        return report("interrupted", None, INTERRUPTED, debug)
    except BrokenPipeError:
        return BROKEN_PIPE
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "burstline":
            return internal(error, debug)
        package = error.name.split(".")[0]
        hint = f"install it: {sys.executable} -m pip install {package}"
        return report(f"the Python package {package} is missing", hint, BurstlineError.exit_code, debug)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return report(f"{where}{error.strerror or error}", None, BurstlineError.exit_code, debug)
    except MemoryError:
        return report("out of memory", "give fewer workers, or smaller tables", BurstlineError.exit_code, debug)
    except Exception as error:  # whatever is left is a mistake in burstline
        return internal(error, debug)


def dispatch(words: list[str]) -> int:
    before, command, after = split(words)
    top = top_parser()
    top.parse_all(before)
    if command is None:
        top.print_help()
        return 0
    module, args = parse(command, after)
    return module.run(args)


def split(words: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """The options before the command, the command, and all that follows it."""
    at = next((k for k, word in enumerate(words) if not word.startswith("-")), None)
    return (list(words), None, []) if at is None else (list(words[:at]), words[at], list(words[at + 1 :]))


def top_parser() -> Parser:
    width = max(map(len, COMMANDS))
    parser = Parser(
        prog="burstline",
        usage="burstline [--version] [--debug] COMMAND ...",
        description="Write packet processing in Python; run it at DPDK speed.",
        epilog="commands:\n"
        + "".join(f"  {name:{width}}  {text}\n" for name, text in COMMANDS.items())
        + "\n`burstline COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=Version, nargs=0, help="print the version and exit")
    add_debug(parser)
    return parser


def parse(command: str, words: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """The module of the command and its parsed arguments; imports that module and no other."""
    if command not in COMMANDS:
        hint = suggestion(command, COMMANDS) or f"the commands are {', '.join(COMMANDS)}"
        raise UsageError(f"burstline has no command {command!r}", hint)
    module = cast(Command, importlib.import_module(f"burstline.cli.{command}"))
    parser = Parser(prog=f"burstline {command}", description=sentence(COMMANDS[command]), allow_abbrev=False)
    module.add_arguments(parser)
    add_debug(parser)
    return module, parser.parse_all(words)


def add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="print the full traceback of an error")


def sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def suggestion(word: str, among: Sequence[str] | dict[str, str]) -> str | None:
    """The hint that names what a mistyped word was likely meant to be, if anything is near."""
    import difflib

    close = difflib.get_close_matches(word, list(among), 1)
    return f"did you mean {close[0]}?" if close else None


def report(message: str, hint: str | None, code: int, debug: bool) -> int:
    """Print an error, and its traceback when asked for; returns the exit code."""
    if debug and sys.exc_info()[0] is not None:
        import traceback

        traceback.print_exc()
    print(f"burstline: error: {message}", file=sys.stderr)
    if hint:
        print("  hint: " + hint.replace("\n", "\n        "), file=sys.stderr)
    return code


def internal(error: Exception, debug: bool) -> int:
    message = f"internal error: {type(error).__name__}: {error}"
    return report(message, "run again with --debug for the traceback, and please report it", INTERNAL, debug)


def version() -> str:
    """The version of the installed package; a source tree that is not installed has none."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("burstline")
    except PackageNotFoundError:
        return "(not installed)"


class Version(argparse.Action):
    """`--version`, looked up only when asked for: reading a package's metadata takes some ten milliseconds."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        print(f"burstline {version()} (Python {sys.version.split()[0]})")
        parser.exit()
