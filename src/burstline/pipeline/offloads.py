"""What a pipeline wants done to packets around it: by the port, by the peer behind it, or by software compiled in."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from burstline.errors import UsageError
from burstline.schema import Rule, checked, either, integer, key, keys, many, one_of, seconds, spelled

Wish = Literal["auto"] | bool  # "auto": where it costs nothing and helps; true: by whom ever; false: not at all
# What can be asked for, in the order in which it is told.
NAMES = (
    "checksum", "tso", "gso", "lro", "gro", "vlan", "rss", "scatter", "buffer_split", "multi_segment", "fast_free",
    "timestamp",
)  # fmt: skip
MOST_PAYLOAD = 65535 - 20 - 20  # RFC 791 section 3.1: an IPv4 packet has 65,535 bytes, with its header and TCP's

_WISH = one_of("auto", True, False)
_WHO = one_of("auto", "hardware", "software")


@dataclass(frozen=True)
class Offloads:
    """What a pipeline wants of the ports: `bl.Pipeline(..., offloads=bl.Offloads(checksum=True))`. What is not given is
    left to `burstline.toml`, and to the defaults at last."""

    checksum: Literal["verify", "fill"] | bool | None = key(None, one_of(True, "verify", "fill", False))
    tso: Wish | None = key(None, _WISH)
    gso: Wish | None = key(None, _WISH)
    lro: bool | None = key(None, one_of(True, False))
    gro: Wish | None = key(None, _WISH)
    gro_timeout: float | None = key(None, seconds(zero=True))
    vlan: int | Literal[False] | None = key(
        None, either(Rule("false", lambda v: v is False), Rule("a VLAN id from 1 to 4094", integer(1, 4094).accepts))
    )
    rss: Wish | Literal["symmetric"] | None = key(None, one_of("auto", True, "symmetric", False))
    scatter: Wish | None = key(None, _WISH)
    buffer_split: Wish | None = key(None, _WISH)
    multi_segment: Wish | None = key(None, _WISH)
    fast_free: Wish | None = key(None, _WISH)
    timestamp: bool | None = key(None, one_of(True, False))
    segment_size: int | None = key(None, integer(1, MOST_PAYLOAD))
    require: Literal["auto", "hardware", "software"] | tuple[str, ...] | None = key(
        None,
        either(
            _WHO,
            many(one_of(*NAMES), f"a list of offloads that must be hardware, out of {', '.join(NAMES)}", distinct=True),
        ),
    )
    tune: Literal["throughput", "latency", "off"] | None = key(None, one_of("throughput", "latency", "off"))

    def __new__(cls, *values: Any, **given: Any) -> Offloads:
        """Raises UsageError for a name that is none, with the nearest one."""
        import difflib

        names = [made.name for made in fields(cls)]
        for name in given:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(names)}"
                raise UsageError(f"there is no offload {name!r}", hint)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, made in keys(Offloads).items():
            value = getattr(self, name)
            if value is not None:
                accepted = checked(made.metadata["rule"], value, UsageError, f"offloads: {name}")
                object.__setattr__(self, name, accepted)

    def over(self, other: Offloads) -> Offloads:
        """`other`, with what is given here in its place."""
        return replace(other, **{name: value for name in keys(Offloads) if (value := getattr(self, name)) is not None})

    def must_be_hardware(self, name: str) -> bool:
        """Whether nobody but the port may do this one."""
        return self.require == "hardware" or (isinstance(self.require, tuple) and name in self.require)

    def text(self, name: str) -> str:
        """What is asked for `name`, as it is written."""
        return spelled(getattr(self, name)).strip('"')


DEFAULTS = Offloads(
    checksum=False, tso="auto", gso="auto", lro=False, gro="auto", gro_timeout=0, vlan=False, rss="auto",
    scatter="auto", buffer_split="auto", multi_segment="auto", fast_free="auto", timestamp=False,
    require="auto", tune="off",
)  # fmt: skip
