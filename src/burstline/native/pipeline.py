"""A short way through Numba: only the passes that this code needs, and its IR as text instead of machine code.

Numba's own pipeline spends a third of its time on closures, array expressions and optimising each function; here LLVM
optimises everything together once it is linked.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any

from numba.core import codegen, compiler, types
from numba.core.compiler import CompilerBase, Flags
from numba.core.compiler_machinery import PassManager
from numba.core.funcdesc import ExternalFunctionDescriptor
from numba.core.registry import cpu_target
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import (
    FixupArgs,
    GenericRewrites,
    IRProcessing,
    ReconstructSSA,
    RewriteDynamicRaises,
    TranslateByteCode,
)

from burstline.native.math_raises import MathRaises
from burstline.native.passes import FieldsTakeValues, NamesHaveValues, SafeShifts

PASSES = (
    TranslateByteCode,
    FixupArgs,
    IRProcessing,
    NamesHaveValues,
    SafeShifts,
    MathRaises,
    GenericRewrites,
    RewriteDynamicRaises,
    ReconstructSSA,
    NopythonTypeInference,
    FieldsTakeValues,
    PreLowerStripPhis,
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
)


ENVIRONMENT = "_ZN08NumbaEnv"
NUMBER = re.compile(r"B\d+v\d+(?=[BE])")  # in Numba's names: an ABI tag


class _Pipeline(CompilerBase):  # type: ignore[misc]
    def define_pipelines(self) -> list[PassManager]:
        manager = PassManager("burstline")
        for step in PASSES:
            manager.add_pass(step, step._name)
        manager.finalize()
        return [manager]


class _Text(codegen.JITCodeLibrary):  # type: ignore[misc]
    """A library that keeps the IR that was put into it, and compiles nothing."""

    def __init__(self, owner: Any, name: str) -> None:
        super().__init__(owner, name)
        self.text: list[str] = []

    def add_ir_module(self, ir_module: Any) -> None:
        self.text.append(str(ir_module))


def lower(
    function: Callable[..., Any], arguments: tuple[types.Type, ...], returns: types.Type | None
) -> tuple[Any, types.Type, dict[str, str]]:
    """What Numba declares the lowered function by, its return type, its IR modules by name. Raises Numba's errors."""
    typing, target = cpu_target.typing_context, cpu_target.target_context
    typing.refresh()
    target.refresh()
    library = _Text(target.codegen(), function.__name__)
    result = compiler.compile_extra(
        typing, target, function, arguments, returns, _flags(), {}, library=library, pipeline_class=_Pipeline
    )
    helpers = [part.get_llvm_str() for part in library._linking_libraries if part.name != "nrt"]  # that one is a guess
    names, texts = named_by_content(list(map(_saturate, library.text)), list(map(_saturate, helpers)))
    returns = result.signature.return_type
    return declared(names[result.fndesc.llvm_func_name], arguments, returns), returns, texts


def declared(symbol: str, arguments: tuple[types.Type, ...], returns: types.Type) -> Any:
    """The descriptor of a function of Numba's calling convention that is in another module."""
    return ExternalFunctionDescriptor(symbol, returns, arguments)


def named_by_content(own: list[str], helpers: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The symbols of a lowered function, and of what Numba compiled to help it, by the names that Numba gave them; and
    the IR by symbol. Numba's names have a number from the process, these a digest of the IR in its place: the same
    function has the same name in each process, so that another one can link it."""
    unnumbered = {symbol: NUMBER.sub("B0v", symbol, count=1) for text in (*own, *helpers) for symbol in defined(text)}
    digest, names = "", dict[str, str]()
    for texts in (helpers, own):
        digest = _digest([digest, *sorted(_renamed(text, unnumbered) for text in texts)])
        for symbol in itertools.chain(*map(defined, texts)):
            names[symbol] = NUMBER.sub(f"B{len(digest) + 1}v{digest}", symbol, count=1)
    return names, {names[defined(text)[0]]: _renamed(text, names) for text in (*helpers, *own)}


def defined(text: str) -> list[str]:
    """The symbols of the functions in a module."""
    return re.findall(r'^define [^@]*@"?([^"(]+)', text, re.MULTILINE)


def _renamed(text: str, names: dict[str, str]) -> str:
    """A module in which symbols have other names, and the environments that Numba names after them."""

    def new(found: re.Match[str]) -> str:
        symbol = found[1] or found[2]
        if symbol.startswith(ENVIRONMENT):
            start, symbol = ENVIRONMENT, "_ZN" + symbol.removeprefix(ENVIRONMENT)
            return f'@"{start}{names[symbol].removeprefix("_ZN")}"' if symbol in names else found[0]
        return f'@"{names[symbol]}"' if symbol in names else found[0]

    return re.sub(r'@"([^"]+)"|@([\w.$-]+)', new, re.sub(r"^; ModuleID = .*\n", "", text))


def _digest(texts: Iterable[str]) -> str:
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=10).hexdigest()


def _saturate(text: str) -> str:
    """A fraction that no int64 can hold becomes the nearest one, where LLVM's plain conversion leaves it undefined."""
    text, found = re.subn(r"fptosi double (\S+) to i64", r"call i64 @llvm.fptosi.sat.i64.f64(double \1)", text)
    return f"{text}\ndeclare i64 @llvm.fptosi.sat.i64.f64(double)\n" if found else text


def _flags() -> Flags:
    flags = Flags()
    flags.enable_pyobject = False
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.no_compile = True
    flags.nrt = False
    flags.error_model = "python"
    return flags
