"""Tables of the documentation that are made from the source: a line `<!-- table: NAME -->` becomes the table.

Nothing here needs Sphinx but `setup`, so that tests read the tables without it.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import burstline
from burstline.cli.main import COMMANDS, Parser, add_debug, sentence
from burstline.compiler.names import BUILTINS, MATH
from burstline.compiler.rules import REFUSED
from burstline.engine.config import Config
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
from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.hardware.driver import recorded as steering_data
from burstline.steering.hardware.levels import levels_of
from burstline.steering.rule import MATCHED

MARK = re.compile(r"^<!-- table: (\w+) -->$", re.MULTILINE)

STEERING = (
    "src_mac", "dst_mac", "vlan", "src", "dst", "proto", "sport", "dport", "flags", "tunnel", "tunnel_id", "priority",
    "to", "mark", "count",
)  # fmt: skip
SETTINGS = {
    "engine.workers": "Worker threads, each pinned to a core; `--workers`.",
    "engine.burst": "Packets to receive at once from a port; `--burst`.",
    "engine.idle": "What a worker without packets does: `adaptive` sleeps for 20 to 100 µs at a time once 512 polls in "
    "a row found nothing, `poll` never sleeps; `--idle`.",
    "engine.dispatch": "How a stage hands a packet to the next: `fused` makes one function of all, `tail` jumps from "
    "stage to stage, `called` calls and returns, for comparison, `bucketed` runs a burst chain by chain, `auto` "
    "chooses; `--dispatch`.",
    "engine.simd": "The vector instructions that code is made of: `auto` takes all that the CPU has, `scalar` none; "
    "`BURSTLINE_SIMD` in the environment overrides it.",
    "engine.duration": "Seconds after which a run stops; `--duration`.",
    "engine.stats_interval": "Seconds between snapshots of the counts, for `burstline stats`; `false` takes none.",
    "engine.cores": "Cores for the workers, one each; without it, those that the process may use, in order; `--cores`.",
    "dpdk.eal_args": "Options of DPDK's environment abstraction layer, which override burstline's own.",
    "dpdk.hugepages": "`auto` takes huge pages when enough are free, `true` demands them, `false` does without; "
    "`--no-huge`.",
    "ports.device": "The device, spelled as on the command line. Each device has one `[[ports]]`.",
    "ports.queues": "Receive and transmit queues: one for each worker, which is also the default.",
    "ports.rx_descriptors": "Size of a receive ring; without it, up to 1024, as the core's share of L3 has room.",
    "ports.tx_descriptors": "Size of a transmit ring; 1024 when it is not given.",
    "ports.mtu": "The largest packet after the Ethernet header, in bytes; left as the device has it when not given.",
    "ports.offloads": "Keys of `[offloads]` for this port alone, such as `{ tso = false }`.",
    "offloads.checksum": "`true` verifies checksums on receive, drops what is wrong by name, and fills them in on "
    'send; `"verify"` and `"fill"` do one of the two. Without it, neither.',
    "offloads.tso": "Packets larger than the MTU are cut by the port. Without it, `auto`: where such packets are "
    "sent, and by software where the port cannot.",
    "offloads.gso": "Software cuts what ports do not; `auto` without it.",
    "offloads.lro": "The port merges received TCP packets, or software does; `false` without it.",
    "offloads.gro": "Software merges received TCP and UDP packets. Without it, `auto`: in the place of `lro` where "
    "the port cannot.",
    "offloads.gro_timeout": "Seconds for which software holds packets to merge others with them; 0, as without it: "
    "until the end of a burst.",
    "offloads.vlan": "The tag of this VLAN is taken off on receive and put on on send; `false` without it.",
    "offloads.rss": "The port spreads flows over its queues; `symmetric`: both directions of one to the same. "
    "Without it, `auto`: where there are several queues.",
    "offloads.scatter": "Long frames come in several buffers; without it, `auto`, as "
    "[receiving](buffers-receive.md) needs it.",
    "offloads.buffer_split": "The beginning of a packet comes in a buffer of its own; `auto` without it.",
    "offloads.multi_segment": "The port sends packets that lie in several buffers; `auto` without it. `false`: "
    "they are copied into one.",
    "offloads.fast_free": "The driver gives sent buffers back without looking at them; without it, `auto`: where "
    "all come from one pool.",
    "offloads.timestamp": "`pkt.time` is when the port says that a packet came, where it stamps packets, else the time "
    "of their burst; `false`, the latter only, without it.",
    "offloads.segment_size": "Bytes of payload for packets that stages emit without a segment size; without it, "
    "what the MTU has room for.",
    "offloads.require": "Who must do all that is asked for, or a list of offloads that hardware must do; what "
    "cannot be had is an error. `auto` without it.",
    "offloads.tune": "The [profile](offloads.md) of each driver; `off` without it.",
    "parser.vxlan": "UDP ports that [VXLAN](parser.md) is found at, as destination or source.",
    "parser.geneve": "UDP ports that Geneve is found at.",
    "parser.gtpu": "UDP ports that GTP-U is found at.",
    "pools.classes": "Bytes of packet that buffers hold: [size classes](buffers-receive.md). `burstline buffers` "
    "proposes some.",
    "pools.receive": "How ports receive: `auto` takes the first of the others that the driver can do; they demand it.",
    "pools.ops": "Where free buffers are: `burstline` keeps them in its own magazines, any other name is that of "
    "DPDK's mempool ops; `auto` takes burstline's where DPDK would take a ring.",
    "pools.buffers": "Packet buffers of each class: mbufs that ports receive into; without it, as many as rings, "
    "bursts and caches can hold. Of a file, buffers for packets that stages make; without it, as many as clones take.",
    "pools.most": "Buffers of each class that burstline's own pools may grow to, ahead of a load; without it, they "
    "stay as they are.",
    "pools.buffer_size": "Bytes of the buffers that ports receive into, 128 bytes of headroom included; without it, "
    "those of the class that suits each port.",
    "pools.cache": "Buffers that each worker keeps at hand, by class; without it, up to 256, as its L2 has room.",
    "numa.enabled": "The packet buffers of a port lie on its NUMA node; of a virtual device, on that of the first PCI "
    "port.",
    "numa.node": "They lie on this node instead.",
    "steer.look": "Seconds from one look of the controller at the load to the next.",
    "steer.enter": "It acts when the fullest core has so many times the mean load,",
    "steer.leave": "and comes so near to it.",
    "steer.heavy": "A flow gets a rule of its own from this share of a core's mean load on.",
    "steer.age": "A flow gets a rule when it has been heavy for so many seconds.",
    "steer.agree": "Looks by which a change must pay on paper before it is made, at least;",
    "steer.window": "after so many it is made or dropped.",
    "steer.dwell": "Looks for which what has moved stays.",
    "steer.unused": "A rule goes when nothing hit it for so many seconds.",
    "steer.horizon": "Seconds for which a gain is counted on, at most.",
    "steer.gain": "A gain of less than this share of the mean load is none.",
    "steer.held": "Seconds for which packets of a flow that moves wait, for the estimate of what a move costs.",
    "steer.cold": "Seconds of a core that the caches of a flow that moved cost.",
    "steer.safe": "The share of the device's safe rate of rule updates that the controller takes.",
    "steer.in_flight": "Moves that are asked for and not yet effective, at most.",
    "steer.stake": "What steering may lose against plain RSS before it ends, in cores times looks.",
    "steer.calm": "Seconds for which it then ends, doubled each time.",
    "steer.dedicate": "A flow that takes this share of a core gets one alone where the others have room for the rest.",
    "steer.fast": "Packets/s from which a flow is marked for the fast path; 0 marks none.",
    "steer.bypass": "Flows that are marked bypass the cores: the device drops them.",
    "steer.new_connections": "Connections that begin go to the emptiest core, where somebody can choose for them.",
    "enable_flow_director": 'Steering of packets to workers: `"auto"` where there are rules, `true` always.',
    **{f"steering.{name}": f"As `{name}` of a `SteeringRule`." for name in STEERING},
}


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


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


def steering_drivers() -> str:
    """What each driver's rte_flow can match and do."""
    rows = []
    for name, can in steering_data().items():
        if not can.rules:
            rows.append((f"`{name}`", "no rules", "", "", "", ""))
            continue
        fields = ", ".join(f"`{field}`{how}" for field, how in _matched(can))
        does = ", ".join([*sorted(a.lower() for a in can.actions), *sorted(b.lower() for b in can.beside)])
        room = f"{can.capacity:,}" if can.capacity else "not known"
        rows.append((f"`{name}`", fields, does, f"{levels_of(can):,}", room, f"{can.updates:,.0f}"))
    return table(("driver", "matches", "does", "priorities", "rules", "updates a second"), rows)


def _matched(can: HardwareDriver) -> list[tuple[str, str]]:
    """The fields of a rule, each with what is to know of how it is compared."""
    places = {
        "src_mac": ("ETH.src",), "dst_mac": ("ETH.dst",), "vlan": ("VLAN.vid",), "src": ("IPV4.src", "IPV6.src"),
        "dst": ("IPV4.dst", "IPV6.dst"), "proto": ("IPV4.proto", "IPV6.proto"), "sport": ("TCP.sport", "UDP.sport"),
        "dport": ("TCP.dport", "UDP.dport"), "flags": ("TCP.flags",), "tunnel": ("VXLAN", "GENEVE", "GTPU", "GRE"),
        "tunnel_id": ("VXLAN.vni", "GENEVE.vni", "GTPU.teid", "GRE_KEY.key"),
    }  # fmt: skip
    found = []
    for name in MATCHED:
        there = [place for place in places[name] if can.can(*place.split("."))]
        if name == "proto" and not there and {"TCP", "UDP"} <= can.items.keys():
            found.append((name, " (TCP, UDP)"))
        elif there:
            hows = {can.items[item][field] for item, field in (p.split(".") for p in there if "." in p)}
            only4 = name in ("src", "dst") and not can.can("IPV6")
            whole = " whole" if hows == {"full"} and name in ("src", "dst", "flags") else ""
            found.append((name, f"{whole}{' IPv4' * only4}"))
    return found


def steering_quirks() -> str:
    """What else to know of drivers' rules."""
    return table(
        ("driver", "", "source"),
        [(f"`{name}`", q.what, q.source) for name, can in steering_data().items() for q in can.quirks],
    )


def steering_sources() -> str:
    """Where what is said of drivers' rules was read."""
    rows = [
        (f"`{name}`", f"`{key}`", source)
        for name, can in steering_data().items()
        for key, source in can.sources.items()
    ]
    return table(("driver", "what", "source"), rows)


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
