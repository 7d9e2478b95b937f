"""What generated traffic looks like: its parameters, as `gen:packets=1e6,flows=10k` and `burstline gen` spell them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from burstline.errors import UsageError
from burstline.ports.capture_format import MAX_CAPTURED

SCHEME = "gen:"
SMALLEST, LARGEST = 64, 1514  # frames in bytes, without the frame check sequence
MAX_FLOWS = 1 << 24  # each has addresses of its own, made of 24 bits
START = 1_700_000_000  # seconds since the epoch, of the first packet
_LATEST = (1 << 32) - START  # seconds a capture can last: pcap keeps them in 32 bits
_SCALES = {"k": 3, "m": 6, "g": 9}


class Parameter(NamedTuple):
    """One parameter: its value when it is not given, its range, and what it means."""

    default: Any
    low: float
    high: float
    is_whole: bool
    meaning: str


PARAMETERS = {
    "packets": Parameter(1_000_000, 0, 10**15, True, "how many packets"),
    "flows": Parameter(10_000, 1, MAX_FLOWS, True, "how many 5-tuples; with as many packets, each occurs"),
    "zipf": Parameter(1.1, 0, 10, False, "the flow of rank r has a share of packets as r ** -zipf; 0: all the same"),
    "mean": Parameter(360, SMALLEST, LARGEST, True, "mean size of a frame in bytes"),
    "seed": Parameter(1, 0, 2**64 - 1, True, "the same seed gives the same bytes"),
    "rate": Parameter(1_000_000, 1, 10**9, True, "packets a second, by their timestamps"),
    "ipv6": Parameter(0.2, 0, 1, False, "share of packets that are IPv6"),
    "vlan": Parameter(0.05, 0, 1, False, "share of packets that have an IEEE 802.1Q tag"),
    "snaplen": Parameter(MAX_CAPTURED, 1, MAX_CAPTURED, True, "bytes kept of each packet"),
}


@dataclass(frozen=True)
class Traffic:
    """Generated traffic. Every parameter has to be in its range: `traffic_of` checks what users write."""

    packets: int = PARAMETERS["packets"].default
    flows: int = PARAMETERS["flows"].default
    zipf: float = PARAMETERS["zipf"].default
    mean: int = PARAMETERS["mean"].default
    seed: int = PARAMETERS["seed"].default
    rate: int = PARAMETERS["rate"].default
    ipv6: float = PARAMETERS["ipv6"].default
    vlan: float = PARAMETERS["vlan"].default
    snaplen: int = PARAMETERS["snaplen"].default


def parse_source(text: str) -> Traffic:
    """The traffic that `gen:name=value,...` asks for. Raises `UsageError`."""
    given: dict[str, str] = {}
    for part in filter(None, text.removeprefix(SCHEME).split(",")):
        name, equals, value = (p.strip() for p in part.partition("="))
        if name not in PARAMETERS:
            raise UsageError(f"{SCHEME} has no parameter {name!r}", _nearest(name))
        if not equals:
            raise UsageError(f"{SCHEME} {name} has no value", f"write {name}={PARAMETERS[name].default}")
        if name in given:
            raise UsageError(f"{SCHEME} {name} is given twice", "leave one of the two out")
        given[name] = value
    return traffic_of(given, lambda name: f"{SCHEME} {name}")


def traffic_of(given: Mapping[str, str], called: Callable[[str], str]) -> Traffic:
    """Traffic by the texts of its parameters; `called` says how messages name one. Raises `UsageError`."""
    values: dict[str, Any] = {name: _value(name, text, called(name)) for name, text in given.items()}
    traffic = Traffic(**values)
    # An IPv6 header and a TCP header, which take 60 bytes after Ethernet's, and 4 of a tag.
    least = SMALLEST if not traffic.ipv6 else 74 if not traffic.vlan else 78
    if traffic.mean < least:
        raise UsageError(
            f"frames of {traffic.mean} bytes on average are too small for IPv6, of which some have {least}",
            f"give {called('mean')} {least} or more, or {called('ipv6')} 0",
        )
    if traffic.packets // traffic.rate >= _LATEST:
        raise UsageError(
            f"{traffic.packets} packets at {traffic.rate} a second last longer than timestamps of pcap can tell",
            f"give a higher {called('rate')}",
        )
    return traffic


def _value(name: str, text: str, called: str) -> int | float:
    rule = PARAMETERS[name]
    try:
        value = number(text)
    except ValueError:
        value = Decimal(-1)  # outside of every range
    if rule.low <= value <= rule.high and not (rule.is_whole and value % 1):
        return int(value) if rule.is_whole else float(value)
    kind = "a whole number" if rule.is_whole else "a number"
    raise UsageError(
        f"{called} is {text!r}, not {kind} from {rule.low:,} to {rule.high:,}",
        f"{rule.meaning}; {rule.default} when not given",
    )


def number(text: str) -> Decimal:
    """`1e6`, `10k`, `2.5M`, `1_000` or `20%` as an exact number; raises `ValueError` for all else."""
    digits, exponent = text.strip(), 0
    if digits[-1:].lower() in _SCALES:
        digits, exponent = digits[:-1], _SCALES[digits[-1].lower()]
    elif digits.endswith("%"):
        digits, exponent = digits[:-1], -2
    try:
        value = Decimal(digits).scaleb(exponent)
    except ArithmeticError:  # what is no number, and what is beyond all bounds
        raise ValueError(f"{text!r} is not a number") from None
    if not value.is_finite():
        raise ValueError(f"{text!r} is not finite")
    return value


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, PARAMETERS, 1)
    return f"did you mean {close[0]}?" if close else f"the parameters are {', '.join(PARAMETERS)}"
