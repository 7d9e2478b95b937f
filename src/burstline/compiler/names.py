"""What a stage may name: a closed list, so that compiled code depends on nothing that its cache key does not hold."""

from __future__ import annotations

import builtins
import enum
import os
from ipaddress import IPv4Address, IPv6Address
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import burstline
from burstline.compiler.rules import ALLOCATES, INTEGERS, TOO_LARGE
from burstline.native.memory import LOWERED
from burstline.packet.protocol import Protocol
from burstline.pipeline.branch import Branch
from burstline.pipeline.pipeline import Chain
from burstline.pipeline.stage import Stage
from burstline.pipeline.verdict import Verdict
from burstline.simd.vectors import MaskKind, VectorKind
from burstline.state.base import State

BUILTINS = ("abs", "bool", "float", "int", "len", "max", "min", "range", "round")
MATH = (
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil", "copysign", "cos", "cosh", "degrees", "e",
    "exp", "expm1", "fabs", "floor", "hypot", "inf", "isfinite", "isinf", "isnan", "log", "log10", "log1p",
    "log2", "nan", "pi", "pow", "radians", "sin", "sinh", "sqrt", "tan", "tanh", "tau", "trunc",
)  # fmt: skip
INTO_PYTHON = "a stage calls what its objects have, math and your own plain functions; hand data to Python in a Digest"
USABLE = (
    "numbers, addresses, bytes, tuples of them, IntEnum, FlowTable, Counter, Digest, Set, Map, PrefixMap, PrefixSet, "
    "Histogram, Meter, CountMin, HyperLogLog, HeavyHitters, RuleSet, PatternSet, ByteHistogram, Toeplitz, "
    "SteeringTable, Template, chains, branches, protocols"
)

OURS = os.path.dirname(burstline.__file__) + os.sep

Refusal = tuple[str, str]  # the rule, and what to write instead


def value_refused(name: str, value: Any) -> Refusal | None:
    """Why a stage cannot name this value, which is a global, a free variable or an attribute of a module."""
    usable = (State, Branch, Chain, Stage, Protocol, ModuleType, VectorKind, MaskKind)
    if isinstance(value, usable) or is_constant(value):
        return None
    if isinstance(value, (FunctionType, BuiltinFunctionType)):
        return function_refused(name, value)
    if isinstance(value, enum.EnumMeta):
        if issubclass(value, enum.IntEnum) and not issubclass(value, enum.Flag):
            return None
        return f"`{name}` is an enumeration, but not of integers", "derive it from enum.IntEnum"
    if type(value) is int:
        return f"`{name}` is {TOO_LARGE}", "mask with 0x7FFF_FFFF_FFFF_FFFF at most"
    if isinstance(value, tuple):
        return f"`{name}` is a tuple of more than plain values", "name each table, counter or chain by itself"
    if isinstance(value, type):
        return f"`{name}` is a class", "assign what you need of it to a name of the module, and use that name"
    kind = type(value).__name__
    if type(value).__module__.split(".")[0] == "numpy":
        if callable(value):
            return function_refused(name, value)
        if kind == "ndarray":
            return f"`{name}` is an array: indexing it is not checked", "write a tuple, or keep values in a Map"
        return f"`{name}` is a NumPy number, whose arithmetic is not that of integers", f"write {name} = int(...)"
    if isinstance(value, (list, dict, set, frozenset)):
        instead = "make a bl.Branch of it if it says where packets go; or a bl.Map of numbers; a PrefixMap of prefixes"
        what = instead if kind == "dict" else "write a tuple" if kind == "list" else "make a bl.Set of it"
        return f"`{name}` is a {kind}, which may change while packets flow", what
    return f"`{name}` is an object of class {kind}", f"a stage names {USABLE} and plain functions"


def is_constant(value: Any) -> bool:
    """A value that cannot change, and whose repr says all of it."""
    if type(value) is int:
        return value in INTEGERS
    if isinstance(value, tuple):
        return all(is_constant(v) for v in value)
    plain = (bool, float, str, bytes, type(None), IPv4Address, IPv6Address, Verdict)
    return type(value) in plain or (isinstance(value, enum.IntEnum) and not isinstance(value, enum.Flag))


def function_refused(name: str, value: Any) -> Refusal | None:
    """Why a stage cannot call this: everything that is called or named like a function comes here."""
    if isinstance(value, Stage):
        short = name.rpartition(".")[2]
        return f"`{name}` is a stage; a stage is not called by another", f"put {short} into the pipeline"
    if isinstance(value, Chain):
        return f"`{name}` is a chain; it is not called", f"hand the packet over: `return {name}`"
    if isinstance(value, Branch):
        return f"`{name}` is a branch; it is not called", f"write `return {name}[...]`"
    if isinstance(value, Protocol):
        return f"`{name}` is a protocol; it is not called", f"write `{name}[pkt]` for its header"
    if isinstance(value, State):
        return f"`{name}` is a {type(value).__name__}; it is not called", "see the stage language for what it has"
    if isinstance(value, (VectorKind, MaskKind)) or value in LOWERED:
        return None
    module = getattr(value, "__module__", None) or ""
    if isinstance(value, FunctionType):
        if module.startswith("burstline."):
            return f"`{name}(...)` is not for stages", f"call it outside, and use what it returns: NAME = {name}(...)"
        if _is_foreign(value):
            return f"`{name}` is a call into Python", INTO_PYTHON
        return None
    short = getattr(value, "__name__", name)
    if module == "math":
        if short in MATH:
            return None
        return f"`{name}` is not compiled", f"of math there are: {', '.join(MATH)}"
    if (module or type(value).__module__).split(".")[0] == "numpy":
        return (
            f"`{name}(...)` makes an array: {ALLOCATES}",
            "keep state in a FlowTable or a Counter; math has sqrt, log",
        )
    if getattr(builtins, short, None) is value and isinstance(value, type) and issubclass(value, BaseException):
        return f"`{name}`: a stage neither raises nor catches exceptions", 'write `return bl.drop("why")`'
    if getattr(builtins, short, None) is value:
        return f"`{name}` is a call into Python", f"of Python's own functions there are: {', '.join(BUILTINS)}"
    return f"`{name}` is a call into Python", INTO_PYTHON


def _is_foreign(function: FunctionType) -> bool:
    """Functions of installed packages are not for compiling; the user's own are, and those of applications that come
    with burstline (flows/meter_stages.py)."""
    file = function.__code__.co_filename
    return ("site-packages" in file or "/lib/python" in file) and not file.startswith(OURS)
