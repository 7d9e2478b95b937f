"""The façade: what `burstline` offers is this list, and everything in it says what it is."""

from __future__ import annotations

import inspect
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address

import pytest

import burstline

NAMES = [
    "CONSUME", "DROP", "FAST_PATH", "PASS", "Branch", "BurstlineError", "ByteHistogram", "Chain", "CountMin", "Counter",
    "Digest", "FlowTable", "Header", "HeavyHitters", "Histogram", "HyperLogLog", "Map", "Match", "Meter", "Offloads",
    "PacketDataPool",
    "PatternSet", "Pipeline", "PrefixMap", "PrefixSet", "Protocol", "Record", "Rule", "RuleSet", "Set", "Stage",
    "SteeringRule", "SteeringTable", "Template", "Toeplitz", "UsageError", "Verdict", "bits", "boolean", "burst_stage",
    "byte_entropy", "bytes_", "cold", "drop", "f32", "f64", "hot", "i8", "i16", "i32", "i64", "ip", "ipv4", "ipv6",
    "line", "mac", "mac_text", "match", "predicate", "protocol", "send", "stage", "u8", "u16", "u32", "u64", "where",
]  # fmt: skip
FIELD_TYPES = [
    "boolean",
    "bytes_",
    "cold",
    "f32",
    "f64",
    "hot",
    "i8",
    "i16",
    "i32",
    "i64",
    "ipv4",
    "ipv6",
    "line",
    "u8",
    "u16",
    "u32",
    "u64",
]
KEPT = ("bytes_", "cold", "hot", "line")
VERDICTS = ["CONSUME", "DROP", "PASS"]


def test_the_public_names_are_these() -> None:
    assert burstline.__all__ == NAMES
    public = [
        name for name, value in vars(burstline).items() if not name.startswith("_") and not inspect.ismodule(value)
    ]
    assert sorted(public) == sorted([*NAMES, "annotations"])


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(FIELD_TYPES) - set(VERDICTS)))
def test_every_class_and_function_is_documented_with_its_public_methods(name: str) -> None:
    value = getattr(burstline, name)
    assert inspect.getdoc(value)
    if not inspect.isclass(value):
        return
    assert value.__module__.startswith("burstline.")
    for method, member in vars(value).items():
        if not method.startswith("_") and (inspect.isfunction(member) or isinstance(member, (property, classmethod))):
            documented = inspect.getdoc(getattr(value, method)) or inherited(value, method)
            assert documented, f"{name}.{method} has no docstring"


def inherited(value: type, method: str) -> str | None:
    return next((inspect.getdoc(vars(base)[method]) for base in value.__mro__[1:] if method in vars(base)), None)


def test_verdicts_are_values() -> None:
    assert [getattr(burstline, name).kind for name in VERDICTS] == [1, 2, 0]
    assert all(isinstance(getattr(burstline, name), burstline.Verdict) for name in VERDICTS)
    assert burstline.send(3) == burstline.send(3)
    assert burstline.drop("a") != burstline.drop("b")


def test_field_types_make_records() -> None:
    kinds = {f"f_{name}": getattr(burstline, name) for name in FIELD_TYPES if name not in KEPT}
    kinds |= {"f_bytes": burstline.bytes_[3], "f_cold": burstline.cold[burstline.u8]}
    kinds |= {"f_hot": burstline.hot[burstline.u8], "f_line": burstline.line(1)[burstline.u8]}
    record = type("R", (burstline.Record,), {"__annotations__": kinds})
    assert {slot.name for slot in record.layout} == set(kinds)


@pytest.mark.parametrize(
    ("text", "value"),
    [("10.0.0.1", IPv4Address("10.0.0.1")), ("2001:db8::1", IPv6Address("2001:db8::1"))],
)
def test_addresses_are_written_as_text(text: str, value: object) -> None:
    assert burstline.ip(text) == value


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(burstline.UsageError, match=r"not an IP address: '10\.0\.0\.256'"):
        burstline.ip("10.0.0.256")


def test_mac_addresses_are_written_as_text() -> None:
    assert burstline.mac("02:00:00:00:00:0a") == burstline.mac("2-0-0-0-0-A") == 0x02000000000A
    assert burstline.mac_text(0x02000000000A) == "02:00:00:00:00:0a"
    for wrong in ("02:00:00:00:00", "02:00:00:00:00:0g", "02:00:00:00:00:100", "0200.0000.000a", ""):
        with pytest.raises(burstline.UsageError, match="not a MAC address"):
            burstline.mac(wrong)


def test_importing_burstline_imports_nothing_large() -> None:
    script = "import sys, burstline; print([m for m in ('numba', 'numpy', 'llvmlite', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
