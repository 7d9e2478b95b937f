"""A short way through Numba: only the passes that this code needs, and its IR as text instead of machine code.

Numba's own pipeline spends a third of its time on closures, array expressions and optimising each function; here LLVM
optimises everything together once it is linked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from numba.core import codegen, compiler, types
from numba.core.compiler import CompilerBase, Flags
from numba.core.compiler_machinery import PassManager
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
    """Numba's descriptor of the lowered function, its return type, its IR modules by name. Raises Numba's errors."""
    typing, target = cpu_target.typing_context, cpu_target.target_context
    typing.refresh()
    target.refresh()
    library = _Text(target.codegen(), function.__name__)
    result = compiler.compile_extra(
        typing, target, function, arguments, returns, _flags(), {}, library=library, pipeline_class=_Pipeline
    )
    texts = {f"{result.fndesc.llvm_func_name}{k or ''}": _saturate(text) for k, text in enumerate(library.text)}
    for part in library._linking_libraries:
        if part.name != "nrt":  # Numba adds its runtime on a guess; code that really needs it is refused later
            text = _saturate(part.get_llvm_str())
            texts[f"{part.name} {hash(text)}"] = text
    return result.fndesc, result.signature.return_type, texts


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
