"""Tables of the documentation that are made from the source: a line `<!-- table: NAME -->` becomes the table.

Nothing here needs Sphinx but `setup`, so that tests read the tables without it.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

from markdown_table import table
from setting_words import SETTINGS
from steering_tables import steering_drivers, steering_quirks, steering_sources

import burstline
from burstline.cli.main import COMMANDS, Parser, add_debug, sentence
from burstline.compiler.names import BUILTINS, MATH
from burstline.compiler.rules import REFUSED
from burstline.engine.config import Config
from burstline.flows.columns import COLUMNS
from burstline.native.struct import FIELD_TYPES
from burstline.offload.planning.capabilities import names as recorded_names
from burstline.offload.planning.capabilities import recorded
from burstline.offload.planning.choice import PortUse
from burstline.offload.planning.conflicts import EXCLUSIONS, VECTOR_PATHS
from burstline.offload.planning.plan import SOFTWARE, Asked, plan_ports
from burstline.offload.planning.profiles import PROFILES
from burstline.packet.fields import HEADER_METHODS, HEADERS, LEVELS, PACKET_FIELDS, PACKET_METHODS, Field
from burstline.pipeline.offloads import DEFAULTS, Offloads
from burstline.ports.traffic import PARAMETERS
from burstline.schema import keys, spelled

MARK = re.compile(r"^<!-- table: (\w+) -->$", re.MULTILINE)


def headers() -> str:
    """Every header with every field."""
    parts = []
    for header in HEADERS:
        rows = [[f"`{f.name}`", place(f), value(f), "yes" if f.writable else "no"] for f in header.fields]
        if header.options:
            rows.append(["`options`", f"from byte {header.size}", "view of bytes", "no"])
        rows += [
            [f"`{name}()`", "", "recomputes the checksum", ""]
            for name, of in HEADER_METHODS.items()
            if header.name in of
        ]
        head = f"### pkt.{header.name}\n\n{header.source}; {header.size} bytes.\n\n"
        parts.append(head + table(("field", "place", "reads as", "writable"), rows))
    return "\n\n".join(parts)


def place(field: Field) -> str:
    """Where a field lies in its header: bytes, and bits as RFCs draw them (0 is the leftmost of the word)."""
    last = field.offset + field.width - 1
    where = f"byte {field.offset}" if field.width == 1 else f"bytes {field.offset}-{last}"
    if field.whole:
        return where
    first = 8 * field.width - field.shift - (field.bits or 8 * field.width)
    end = first + (field.bits or 8 * field.width) - 1
    return f"{where}, " + (f"bit {first}" if first == end else f"bits {first}-{end}")


def value(field: Field) -> str:
    kinds = {"bool": "true or false", "ipv4": "IPv4 address", "ipv6": "IPv6 address"}
    if field.kind == "int" and field.width == 6:
        return "48-bit number (`bl.mac`)"
    return kinds.get(field.kind) or f"{field.bits or 8 * field.width}-bit number"


def flow_columns() -> str:
    """The columns of `burstline flows`."""
    rows = [[f"`{c.name}`", c.shown_type, c.meaning, c.nfstream, c.when] for c in COLUMNS]
    return table(("column", "type", "", "NFStream", "with"), rows)


def packet() -> str:
    """What `pkt` has besides headers."""
    rows = [(f"`pkt.{name}`", meaning) for name, meaning in PACKET_FIELDS.items()]
    rows += [(f"`pkt.{name}`", meaning) for name, meaning in LEVELS.items()]
    rows += [(f"`pkt.{name}()`", meaning) for name, meaning in PACKET_METHODS.items()]
    return table(("", "meaning"), rows)


def records() -> str:
    """The types of a record's fields."""
    reads = {
        "uint": "a number", "int": "a number", "float": "a fraction", "bool": "true or false",
        "ipv4": "an IPv4 address", "ipv6": "an IPv6 address",
    }  # fmt: skip
    rows = [(f"`bl.{name}`", str(t.size), reads[t.kind]) for name, t in FIELD_TYPES.items()]
    rows.append(("`bl.bytes_[n]`", "n", "a view of bytes; shorter ones are padded with zeros, longer ones cut"))
    rows.append(("`bl.cold[type]`", "", "the type, laid out after all other fields; in a table, away from them"))
    rows.append(("`bl.hot[type]`", "", "the type, laid out with the fields that every packet touches"))
    rows.append(
        ("`bl.line(n)[type]`", "", "the type, in one cache line with the others of that number; 0 is the first")
    )
    return table(("type", "bytes", "reads as"), rows)


def refused() -> str:
    """What a stage cannot contain, with what to write instead; what several kinds of syntax share stands once."""
    rows = dict.fromkeys((problem, instead) for problem, instead in REFUSED.values())
    return table(("refused", "instead"), rows)


def calls() -> str:
    """Which of Python's functions a stage can call."""
    own, math = (", ".join(f"`{name}`" for name in names) for names in (BUILTINS, MATH))
    return f"Of Python's own functions: {own}. Of `math`: {math}."


def settings() -> str:
    """`burstline.toml`, section by section."""
    top, parts = [], []
    for name, made in keys(Config).items():
        kind = made.metadata.get("section") or made.metadata.get("sections")
        if kind is None:
            top.append(setting(name, name, made))
            continue
        title = f"[[{name}]]" if "sections" in made.metadata else f"[{name}]"
        about = (kind.__doc__ or "").partition(": ")[2]
        rows = [setting(key, f"{name}.{key}", field) for key, field in keys(kind).items()]
        parts.append(f"## `{title}`\n\n{sentence(about)[:-1]}\n\n" + table(("key", "value", "default", ""), rows))
    parts.append("## Above the first section\n\n" + table(("key", "value", "default", ""), top))
    return "\n\n".join(parts)


def setting(name: str, path: str, made: dataclasses.Field[Any]) -> list[str]:
    if "section" in made.metadata:
        return [f"`{name}`", "a table", "not given", SETTINGS[path]]
    rule = made.metadata["rule"]
    default = "must be given"
    if made.default is not dataclasses.MISSING:
        unset = made.default is None or made.default == ()
        default = "not given" if unset else f"`{spelled(made.default)}`"
    only = next(iter(rule.refused.values()), "")
    return [f"`{name}`", rule.allowed, default, SETTINGS[path] + (f" {sentence(only)}" if only else "")]


def traffic() -> str:
    """The parameters of generated traffic."""
    rows = []
    for name, rule in PARAMETERS.items():
        default = f"{rule.default:,}" if rule.is_whole else f"{rule.default:g}"
        rows.append((f"`{name}`", rule.meaning.replace("*", "\\*"), default, f"{rule.low:,} to {rule.high:,}"))
    return table(("parameter", "meaning", "default", "range"), rows)


def exclusions() -> str:
    """Offloads that exclude each other."""
    rows = [(f"`{e.one}` and `{e.other}`", e.why, f"`{e.source}`") for e in EXCLUSIONS]
    return table(("", "why", "source"), rows)


def vectors() -> str:
    """Offloads that switch the vector functions of drivers off."""
    rows = []
    for path in VECTOR_PATHS:
        found = sorted(path.off) if path.keeps is None else sorted(path.keeps)
        text = ", ".join(f"`{name}`" for name in found) or "any"
        off = text if path.keeps is None else ("any" if not found else f"all but {text}")
        rows.append((f"`{path.driver}`", {"rx": "receive", "tx": "transmit"}[path.side], off, f"`{path.source}`"))
    return table(("driver", "", "switched off by", "source"), rows)


def profiles() -> str:
    """What `tune` sets, driver by driver."""
    rows = []
    for (driver, mode), settings in PROFILES.items():
        for s in settings:
            needs = f" ({s.cpu} only)" if s.cpu else ""
            what = f"`{s.spelled}`" if s.applied else f"advice: `{s.spelled}`"
            rows.append((f"`{driver}`", mode, what + needs, s.why, f"`{s.source}`"))
    return table(("driver", "tune", "setting", "why", "source"), rows)


def recorded_ports() -> str:
    """Who would do what on the drivers that were recorded."""
    wanted = Offloads(checksum=True, tso=True, lro=True, vlan=100).over(DEFAULTS)
    rows = []
    for name in recorded_names():
        can = recorded(name)
        plan = plan_ports([Asked(wanted, can, PortUse("", queues=2))], frozenset(SOFTWARE))[0]
        by = [plan.choice(offload).by for offload in ("checksum", "tso", "lro", "vlan", "rss")]
        rows.append((f"`{name}`", *by, can.recorded.partition(": ")[2]))
    return table(("driver", "checksum", "tso", "lro", "vlan", "rss", "taken for granted"), rows)


def names() -> str:
    """The public names: the first paragraph of what each says of itself."""
    rows = []
    for name in burstline.__all__:
        if name in FIELD_TYPES or name in ("bytes_", "cold", "hot", "line"):
            continue
        thing = getattr(burstline, name)
        own = inspect.isclass(thing) or inspect.isfunction(thing)
        text = inspect.cleandoc(thing.__doc__ or "").partition("\n\n")[0].replace("\n", " ") if own else CONSTANTS[name]
        rows.append((f"`bl.{name}`", text))
    return table(("name", ""), rows)


CONSTANTS = {
    "CONSUME": "Verdict: the packet has served its purpose and goes no further; counted as consumed.",
    "DROP": "Verdict: drop the packet, counted under the name of the stage.",
    "FAST_PATH": "The mark of flows that the [steering controller](steering-control.md) has on the fast path: "
    "`pkt.mark == bl.FAST_PATH`.",
    "PASS": "Verdict: go on with the next stage; the same as returning nothing.",
}


def commands() -> str:
    """What each command prints for `--help`."""
    parts = []
    for name, text in COMMANDS.items():
        module = importlib.import_module(f"burstline.cli.{name}")
        width = argparse.RawDescriptionHelpFormatter
        parser = Parser(prog=f"burstline {name}", description=sentence(text), allow_abbrev=False)
        module.add_arguments(parser)
        add_debug(parser)
        raw = parser.formatter_class is width

        def formatter(prog: str, raw: bool = raw) -> argparse.HelpFormatter:
            kind = argparse.RawDescriptionHelpFormatter if raw else argparse.HelpFormatter
            return kind(prog, max_help_position=28, width=100)

        parser.formatter_class = formatter  # type: ignore[assignment]
        parts.append(f"## burstline {name}\n\n```text\n{parser.format_help().rstrip()}\n```")
    return "\n\n".join(parts)


TABLES: dict[str, Callable[[], str]] = {
    made.__name__: made
    for made in (
        headers,
        packet,
        flow_columns,
        records,
        refused,
        calls,
        settings,
        traffic,
        names,
        commands,
        exclusions,
        vectors,
        profiles,
        recorded_ports,
        steering_drivers,
        steering_quirks,
        steering_sources,
    )
}


def filled(text: str) -> str:
    """A page with its tables; an unknown name is a KeyError."""
    return MARK.sub(lambda mark: TABLES[mark[1]](), text)


def setup(app: Any) -> dict[str, Any]:
    """What Sphinx calls."""

    def fill(app: Any, name: str, source: list[str]) -> None:
        source[0] = filled(source[0])

    app.connect("source-read", fill)
    return {"parallel_read_safe": True}
