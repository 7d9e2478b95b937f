"""What the engine is told: `burstline.toml` beside the app, or `--config FILE`, and the command line's options over it.

Each section is one dataclass; a field made by `key` is a key of the file, and `Config` lists the sections. To add one,
write its dataclass and give it a line in `Config`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from burstline.buffers.classes import DEFAULT, HEADROOM, LARGEST, STEP, SizeClasses, rounded
from burstline.buffers.receive import MODES
from burstline.errors import UsageError
from burstline.numa.balance.settings import BalanceSettings
from burstline.packet.machine import TunnelPorts
from burstline.pipeline.offloads import DEFAULTS, Offloads
from burstline.schema import (
    Conflict,
    Reader,
    Rule,
    boolean,
    checked,
    conflict_in,
    either,
    integer,
    key,
    keys,
    many,
    multiple,
    one_of,
    required,
    seconds,
    section,
    sections,
    text,
)
from burstline.simd import level
from burstline.state.rule import BadField
from burstline.steering.control.settings import Settings as Control
from burstline.steering.rule import LOWEST_PRIORITY, MOST_MARK, SteeringRule

FILE_NAME = "burstline.toml"
MAX_BURST = 256
SIMD = ("auto", "scalar", "sse", "avx2", "avx512", "neon")
DISPATCH = ("auto", "fused", "tail", "called", "bucketed")
STEER = ("auto", "rte_flow", "xdp", "software")  # who carries out steering rules; "auto": the best that can
Switch = Literal["auto"] | bool  # "auto" takes what the machine offers; true demands it, false does without

_AUTO = Rule('"auto"', lambda v: v == "auto")


@dataclass(frozen=True)
class Engine:
    """`[engine]`: the workers and how they turn."""

    workers: int = key(1, integer(1))
    burst: int | Literal["auto"] = key("auto", either(_AUTO, integer(1, MAX_BURST)))  # "auto": by load
    idle: Literal["poll", "adaptive"] = key("adaptive", one_of("poll", "adaptive"))
    dispatch: Literal["auto", "fused", "tail", "called", "bucketed"] = key("auto", one_of(*DISPATCH))
    simd: Literal["auto", "scalar", "sse", "avx2", "avx512", "neon"] = key("auto", one_of(*SIMD))
    duration: float | None = key(None, seconds())
    stats_interval: float | Literal[False] = key(0.1, seconds(off=True))  # between snapshots for `burstline stats`
    cores: tuple[int, ...] = key(
        (), many(integer(0), "a list of different core numbers, such as [2, 3]", distinct=True)
    )

    def conflict(self) -> Conflict | None:
        if self.cores and len(self.cores) < self.workers:
            have, want = f"{len(self.cores)} core{'' if len(self.cores) == 1 else 's'}", f"{self.workers} workers"
            return Conflict("cores", f"has {have} for {want}", "give each worker a core, or leave 'cores' out")
        return None

    @property
    def most_burst(self) -> int:
        """Packets of the largest burst."""
        return MAX_BURST if self.burst == "auto" else self.burst

    def use_simd(self) -> None:
        """Make code of the vector instructions that `simd` names. Raises UsageError where this CPU has them not."""
        level.force(None if self.simd == "auto" else self.simd)


@dataclass(frozen=True)
class Flows:
    """`[flows]`: where the records of flow tables go."""

    export: tuple[str, ...] = key(
        (), many(text(), 'a list of files and URLs, such as ["ipfix+udp://127.0.0.1:4739"]', distinct=True)
    )


@dataclass(frozen=True)
class Dpdk:
    """`[dpdk]`: how EAL is started."""

    eal_args: tuple[str, ...] = key((), many(text(), 'a list of texts, such as ["-a", "0000:3b:00.0"]'))
    hugepages: Switch = key("auto", one_of("auto", True, False))


@dataclass(frozen=True)
class Port:
    """`[[ports]]`: settings of the port that the command line names by this `device`; None leaves it to the driver."""

    device: str = field(metadata=required(text('a DPDK device, such as "dpdk:0000:3b:00.0"', starts="dpdk:")))
    queues: int | None = key(None, integer(1, 1024))  # None: one for each worker
    rx_descriptors: int | None = key(None, integer(1, 65535))
    tx_descriptors: int | None = key(None, integer(1, 65535))
    mtu: int | None = key(None, integer(68, 65535))  # RFC 791 section 3.2: every link carries 68 bytes
    offloads: Offloads = section(Offloads)  # over [offloads]
    steer: Literal["auto", "rte_flow", "xdp", "software"] = key("auto", one_of(*STEER))


MOST_CLASSES = 16  # BL_RX_POOLS: a queue takes no more pools
_CLASSES = f"a list of sizes in rising order, multiples of {STEP} up to {LARGEST}, such as [128, 2048, 9216]"


@dataclass(frozen=True)
class Pools:
    """`[pools]`: the buffers that packets of live ports lie in, and packets that stages make of a file's."""

    classes: tuple[int, ...] = key(DEFAULT.sizes, many(multiple(STEP, STEP, LARGEST), _CLASSES, rising=True))
    receive: Literal["auto", "pools", "split", "scatter", "one pool"] = key("auto", one_of("auto", *MODES))
    ops: str = key("auto", text('"auto", "burstline", or the name of mempool ops of DPDK, such as "ring_mp_mc"'))
    buffers: int | None = key(
        None, integer(1, 2**31)
    )  # None: as many as rings and bursts, or a file's chunks, can fill
    most: int | None = key(None, integer(1, 2**31))  # that pools of ours grow to, ahead of a load; None: they do not
    buffer_size: int | None = key(None, integer(256, 65535))  # bytes, headroom included: of buffers to receive into
    cache: int | None = key(None, integer(0, 512))  # buffers kept by each core: up to RTE_MEMPOOL_CACHE_MAX_SIZE

    @property
    def buffer(self) -> int | None:
        """The class that `buffer_size` demands to receive into."""
        return None if self.buffer_size is None else min(LARGEST, rounded(self.buffer_size - HEADROOM))

    @property
    def size_classes(self) -> SizeClasses:
        return SizeClasses(tuple(sorted({*self.classes, *((self.buffer,) if self.buffer else ())})))

    def conflict(self) -> Conflict | None:
        if len(self.size_classes.sizes) > MOST_CLASSES:
            message = f"has {len(self.size_classes.sizes)} sizes, buffer_size included"
            return Conflict("classes", message, f"give at most {MOST_CLASSES}")
        if self.most is not None and self.ops not in ("auto", "burstline"):
            return Conflict(
                "most", f"has no effect on pools with ops of {self.ops!r}", 'leave it out, or ops = "burstline"'
            )
        if self.most is not None and self.buffers is not None and self.most < self.buffers:
            return Conflict("most", f"is {self.most}, less than the {self.buffers} buffers of the start", "raise it")
        # rte_mempool_create() refuses a cache of which one and a half do not fit into the pool.
        if self.buffers is not None and self.cache is not None and self.cache * 3 > self.buffers * 2:
            least = -(-self.cache * 3 // 2)
            hint = f"give at least {least} buffers, or a smaller cache"
            return Conflict("buffers", f"is {self.buffers}, too few for a cache of {self.cache}", hint)
        return None


_PORTS = many(integer(1, 65535), "a list of different UDP ports, such as [4789, 8472]", distinct=True)


@dataclass(frozen=True)
class Parser:
    """`[parser]`: the UDP ports that tunnels are found at, as destination or source; an empty list for none."""

    vxlan: tuple[int, ...] = key(TunnelPorts().vxlan, _PORTS)
    geneve: tuple[int, ...] = key(TunnelPorts().geneve, _PORTS)
    gtpu: tuple[int, ...] = key(TunnelPorts().gtpu, _PORTS)

    @property
    def tunnel_ports(self) -> TunnelPorts:
        return TunnelPorts(self.vxlan, self.geneve, self.gtpu)

    def conflict(self) -> Conflict | None:
        for name, other in (("geneve", "vxlan"), ("gtpu", "vxlan"), ("gtpu", "geneve")):
            both = sorted({*getattr(self, name)} & {*getattr(self, other)})
            if both:
                return Conflict(name, f"and {other} both have port {both[0]}", "give each port to one of them")
        return None


@dataclass(frozen=True)
class Numa:
    """`[numa]`: whether workers and buffers are placed on the node of their port, or all on one `node`; whether a plan
    is carried out, and whether interrupts of network cards keep off its workers' cores."""

    enabled: bool = key(True, boolean())
    node: int | None = key(None, integer(0, 1023))
    plan: str | Literal[False] = key(False, either(one_of("auto", False), text("a file of `burstline plan --save`")))
    irqs: bool = key(True, boolean())

    def conflict(self) -> Conflict | None:
        if self.node is not None and not self.enabled:
            return Conflict("node", "has no effect while enabled = false", "leave one of the two out")
        if self.plan is not False and not self.enabled:
            return Conflict("plan", "has no effect while enabled = false", "leave one of the two out")
        return None


@dataclass(frozen=True)
class Service:
    """`[service]`: of a run that goes on for weeks."""

    user: str | None = key(None, text("the name or number of a user"))
    state: str | None = key(None, text("a directory"))
    state_interval: float = key(60.0, seconds())


_RULE_FIELD = either(text("a text"), integer(0))


@dataclass(frozen=True)
class Steering:
    """`[[steering]]`: a rule of the flow director, on all ports."""

    src_mac: str | None = key(None, text())
    dst_mac: str | None = key(None, text())
    vlan: int | None = key(None, integer(0, 4095))
    src: str | None = key(None, text())
    dst: str | None = key(None, text())
    proto: str | int | None = key(None, _RULE_FIELD)
    sport: str | int | None = key(None, _RULE_FIELD)
    dport: str | int | None = key(None, _RULE_FIELD)
    flags: str | None = key(None, text())
    tunnel: str | None = key(None, text())
    tunnel_id: int | None = key(None, integer(0, (1 << 32) - 1))
    priority: int = key(0, integer(0, LOWEST_PRIORITY))
    to: str = key("rss", text())
    mark: int | None = key(None, integer(1, MOST_MARK))
    count: bool = key(False, boolean())

    @property
    def rule(self) -> SteeringRule:
        """Raises BadField."""
        return SteeringRule.of({f.name: getattr(self, f.name) for f in fields(self)})

    def conflict(self) -> Conflict | None:
        try:
            self.rule  # noqa: B018  it is read, and that is all
        except BadField as error:
            return Conflict(error.name, f"means nothing: {error.problem}", error.hint)
        return None


@dataclass(frozen=True)
class Config:
    """All settings; `file` is where they were read, None when every one is a default."""

    engine: Engine = section(Engine)
    flows: Flows = section(Flows)
    dpdk: Dpdk = section(Dpdk)
    ports: tuple[Port, ...] = sections(Port)
    parser: Parser = section(Parser)
    offloads: Offloads = section(Offloads)
    pools: Pools = section(Pools)
    numa: Numa = section(Numa)
    numa_balance: BalanceSettings = section(BalanceSettings)
    enable_flow_director: Switch = key(False, one_of("auto", True, False))
    steering: tuple[Steering, ...] = sections(Steering)
    steering_control: Control = section(Control)
    service: Service = section(Service)
    file: Path | None = None

    def conflict(self) -> Conflict | None:
        if self.steering and self.enable_flow_director is False:
            return Conflict(
                ("steering", 0, "to"), "has no effect while enable_flow_director = false",
                'set enable_flow_director = "auto" above the first section',
            )  # fmt: skip
        if self.steering_control.act != "off" and self.enable_flow_director is False:
            return Conflict(
                ("steering_control", "act"), "has no effect while enable_flow_director = false",
                'set enable_flow_director = "auto" above the first section',
            )  # fmt: skip
        if self.numa_balance.act != "off" and self.enable_flow_director is False:
            return Conflict(
                ("numa_balance", "act"), "has no effect while enable_flow_director = false",
                'set enable_flow_director = "auto" above the first section',
            )  # fmt: skip
        if self.numa_balance.act != "off" and self.steering_control.act != "off":
            return Conflict(
                ("numa_balance", "act"), "and act of [steering_control] would both move buckets",
                "leave one of the two off",
            )  # fmt: skip
        devices = [port.device for port in self.ports]
        for number, port in enumerate(self.ports):
            if port.steer != "auto" and self.enable_flow_director is False:
                return Conflict(
                    ("ports", number, "steer"), "has no effect while enable_flow_director = false",
                    'set enable_flow_director = "auto" above the first section',
                )  # fmt: skip
        for number, device in enumerate(devices):
            if device in devices[:number]:
                message = f"is {device}, as in another [[ports]]"
                return Conflict(("ports", number, "device"), message, "give each device one [[ports]]")
        return None

    def port(self, device: str) -> Port:
        """The settings of a device, spelled as on the command line; the defaults when the file does not mention it."""
        return next((port for port in self.ports if port.device == device), Port(device))

    def offloads_of(self, device: str, pipeline: Offloads | None = None) -> Offloads:
        """What is asked of a device: by its own `[[ports]]`, else by `[offloads]`, else by the pipeline, key by key."""
        return self.port(device).offloads.over(self.offloads.over((pipeline or Offloads()).over(DEFAULTS)))

    def with_overrides(self, **options: Any) -> Config:
        """A copy with single keys replaced, each by its name, or as `section_key` where two sections share the name.

        None means that the option was not given. A value that the key's rule refuses is a `UsageError` naming the
        option; a name that is no key is a `TypeError`, since only the program can have written it.
        """
        changes: dict[str, dict[str, Any]] = {}
        for option, value in options.items():
            of, name = _place(option)
            if value is not None:
                shown = f"--{option.replace('_', '-')}"
                rule = keys(type(getattr(self, of)))[name].metadata["rule"]
                changes.setdefault(of, {})[name] = checked(rule, value, _option_error, shown)
        replaced = {of: replace(getattr(self, of), **values) for of, values in changes.items()}
        for of, settings in replaced.items():
            conflict = conflict_in(settings)
            if conflict:
                raise UsageError(f"[{of}] {conflict.key} {conflict.message}", conflict.hint)
        return replace(self, **replaced)


def load(path: Path | None = None, app: Path | None = None) -> Config:
    """The settings in `path`, or in the `burstline.toml` beside `app`, or the defaults when there is none.

    Raises `UsageError` for a file that cannot be read, is no TOML, or holds a key or value that means nothing.
    """
    file = path or (app.parent / FILE_NAME if app else None)
    if file is None or (path is None and not file.is_file()):
        return Config()
    import tomllib

    try:
        source = file.read_bytes().decode("utf-8").replace("\r\n", "\n")
        table = tomllib.loads(source)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", f"--config names a TOML file such as {FILE_NAME}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 at byte {error.start}", "a TOML file is text in UTF-8") from error
    except (ValueError, RecursionError) as error:  # ValueError: TOMLDecodeError, and numbers of too many digits
        raise _syntax_error(file, source, str(error)) from error
    return replace(Reader(Config, str(file), source).read(Config, table), file=file)


def _place(option: str) -> tuple[str, str]:
    """The section and key that an option of the command line sets."""
    by_key = [
        (of, name)
        for of, made in keys(Config).items()
        if "section" in made.metadata
        for name in keys(made.metadata["section"])
        if option in (name, f"{of}_{name}")
    ]
    if len(by_key) != 1:
        raise TypeError(f"{option!r} is {'the name of several keys' if by_key else 'no key of any section'}")
    return by_key[0]


def _option_error(message: str, hint: str) -> UsageError:
    return UsageError(message, hint.replace("key", "option"))


def _syntax_error(file: Path, source: str, message: str) -> UsageError:
    at = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    line = f":{at[1] or len(source.rstrip().splitlines())}" if at else ""
    what = message[: at.start()] if at else message
    return UsageError(f"{file}{line}: not TOML: {what}", "see https://toml.io: key = value lines below [section] lines")
