"""From Python functions to one object file: Numba types and lowers each, LLVM links, optimises and emits.

Nothing is finalised by Numba's own JIT: its modules are taken as text as soon as they are lowered, so a function may
name symbols that exist only when a worker links the object.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any, TypeVar

import llvmlite.binding as llvm
from numba.core import cgutils, types
from numba.core.imputils import fix_returning_optional, lower_builtin
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import typeof_impl

from burstline.native import host, lowered_cache
from burstline.native.lowered_cache import Content
from burstline.native.memory import LOWERED
from burstline.native.pipeline import declared, lower
from burstline.simd import level

# What the machine code may still refer to: the C library's memory functions, which LLVM itself calls.
C_LIBRARY = frozenset({"memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen", "read", "pread", "write"})
APART = "; not to be inlined\n"  # the first line of a function's IR
# Numba's runtime, the GIL and Python. Its helpers for exceptions are called such, too: dead after optimisation.
FORBIDDEN = re.compile(r"^(NRT_|Py|_Py|numba_gil|numba_|_NRT)")


@dataclass(frozen=True)
class Compiled:
    """One function for one list of argument types: its symbol follows Numba's calling convention
    `i32 status (ptr result, ptr exception, arguments...)`, status 0 meaning that `result` was written."""

    symbol: str
    returns: types.Type
    arguments: tuple[types.Type, ...]
    descriptor: Any


F = TypeVar("F", bound=Callable[..., Any])


def apart(function: F) -> F:
    """Decorator: not inlined where it is called. For what is large and called once a burst: LLVM would optimise it
    again in every function that it becomes part of, and compiling takes half as long again."""
    function.__dict__["apart"] = True
    return function


class WrongCall(Exception):
    """A function is called with arguments that it does not take. No error of Numba's: that one it would hide."""

    def __init__(self, function: FunctionType, problem: str) -> None:
        super().__init__(f"{function.__name__} {problem}")
        self.function, self.problem = function, problem


class Failure(Exception):
    """What Numba, or a pass of ours, found in a function: the innermost one that was being compiled."""

    def __init__(self, function: FunctionType, error: Exception) -> None:
        super().__init__(f"{function.__qualname__}: {error}")
        self.function, self.error = function, error


class Callee:
    """A plain Python function that compiled code calls: it is compiled when its argument types are known."""

    def __init__(self, function: FunctionType, build: Build) -> None:
        self.function = function
        callee = self

        class Template(AbstractTemplate):  # type: ignore[misc]
            key = callee

            def generic(self, args: tuple[types.Type, ...], kws: dict[str, types.Type]) -> Any:
                form = inspect.signature(function)
                try:
                    bound = form.bind(*args, **kws).arguments
                except TypeError as error:
                    raise WrongCall(function, str(error)) from None
                given = [
                    types.unliteral(bound[name])  # type: ignore[attr-defined]
                    if name in bound
                    else self.context.resolve_value_type(parameter.default)
                    for name, parameter in form.parameters.items()
                ]
                return signature(build.compile(function, given).returns, *given).replace(pysig=form)

        self.template = Template

        @lower_builtin(callee, types.VarArg(types.Any))  # type: ignore[attr-defined]
        def call(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            target = build.compile(function, sig.args)
            declared = context.declare_function(builder.module, target.descriptor)
            status, result = context.call_conv.call_function(builder, declared, sig.return_type, sig.args, args)
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            return fix_returning_optional(context, builder, sig, status, result)


@typeof_impl.register(Callee)
def _(value: Callee, context: Any) -> types.Type:
    return types.Function(value.template)


@dataclass(frozen=True)
class Lowered:
    """A compiled function with the IR of itself and of everything that it calls, by symbol."""

    compiled: Compiled
    texts: dict[str, str]


KEPT = 2048  # functions that the process remembers: a pipeline has some fifty
_remembered: dict[Any, Lowered] = {}
_uses_disk = True


def forget() -> None:
    """From here on compile as the first process does: for measurements."""
    global _uses_disk
    _remembered.clear()
    _uses_disk = False


@dataclass
class Build:
    """Everything that goes into one object.

    With `identify`, the process remembers what it lowered, and later ones find it on disk: a function for which that
    gives the same as for an earlier one, called with the same types, is neither typed nor lowered again. Only one
    thread may compile at a time.
    """

    overrides: dict[Any, Any] = field(default_factory=dict)  # globals that mean something else in compiled code
    modules: dict[str, str] = field(default_factory=dict)  # IR text by symbol
    identify: Callable[[FunctionType], Content] | None = None
    _done: dict[tuple[Any, ...], Lowered] = field(default_factory=dict)
    _callees: dict[FunctionType, Callee] = field(default_factory=dict)
    _within: list[dict[str, str]] = field(default_factory=list)  # what the functions being compiled have called so far

    def compile(
        self, function: FunctionType, arguments: Sequence[types.Type], returns: types.Type | None = None
    ) -> Compiled:
        """Type and lower one function, and whatever Python functions it calls."""
        key = (function, tuple(arguments), returns)
        if key not in self._done:
            self._done[key] = self._found(function, tuple(arguments), returns)
        texts = self._done[key].texts
        self.modules.update(texts)
        if self._within:
            self._within[-1].update(texts)
        return self._done[key].compiled

    def texts(self, function: FunctionType, arguments: Sequence[types.Type], returns: types.Type | None) -> set[str]:
        """The IR of a function that was compiled, and of all that it calls."""
        return set(self._done[function, tuple(arguments), returns].texts.values())

    def _found(self, function: FunctionType, arguments: tuple[types.Type, ...], returns: types.Type | None) -> Lowered:
        if self.identify is None:
            return self._lowered(function, arguments, returns)
        content = self.identify(function)
        key = (level.used(), content, arguments, returns)
        found = _remembered.pop(key, None) or self._kept(content, function, arguments, returns)
        _remembered[key] = found  # the last one is the one used last
        if len(_remembered) > KEPT:
            del _remembered[next(iter(_remembered))]
        return found

    def _kept(
        self, content: Content, function: FunctionType, arguments: tuple[types.Type, ...], returns: types.Type | None
    ) -> Lowered:
        key = lowered_cache.key_of(content, arguments, returns) if _uses_disk else None
        if key is None:
            return self._lowered(function, arguments, returns)
        if (found := lowered_cache.load(key)) is not None:
            result, symbol, texts = found
            return Lowered(Compiled(symbol, result, arguments, declared(symbol, arguments, result)), texts)
        made = self._lowered(function, arguments, returns)
        lowered_cache.save(key, made.compiled.returns, made.compiled.symbol, made.texts)
        return made

    def _lowered(
        self, function: FunctionType, arguments: tuple[types.Type, ...], returns: types.Type | None
    ) -> Lowered:
        texts: dict[str, str] = {}
        self._within.append(texts)
        try:
            descriptor, result, own = lower(self._prepared(function), arguments, returns)
        except Failure:
            raise
        except Exception as error:
            raise Failure(function, error) from error
        finally:
            self._within.pop()
        if "apart" in function.__dict__:
            own[descriptor.llvm_func_name] = APART + own[descriptor.llvm_func_name]
        texts.update(own)
        return Lowered(Compiled(descriptor.llvm_func_name, result, arguments, descriptor), texts)

    def _prepared(self, function: FunctionType) -> FunctionType:
        """The same code, with Python functions among its globals and free variables wrapped to be compiled too."""
        names = set(referenced_names(function.__code__))
        space = {k: self._override(v) if k in names else v for k, v in function.__globals__.items()}
        cells = tuple(_cell(self._override(c.cell_contents)) for c in function.__closure__ or ())
        ready = FunctionType(function.__code__, space, function.__name__, function.__defaults__, cells)
        ready.__qualname__ = function.__qualname__
        ready.__module__ = function.__module__
        return ready

    def _override(self, value: Any) -> Any:
        try:
            value = self.overrides.get(value, value)
        except TypeError:  # not hashable, so nothing that is overridden
            return value
        if isinstance(value, FunctionType) and value not in LOWERED:
            if value not in self._callees:
                self._callees[value] = Callee(value, self)
            return self._callees[value]
        return value

    def link(
        self,
        glue: str,
        exports: Iterable[str],
        inline: Iterable[str] = (),
        first: Callable[[llvm.ModuleRef], None] = lambda module: None,
    ) -> llvm.ModuleRef:
        """One optimised module; only `exports` stay visible, and `inline` are inlined whatever their size. `first` is
        done to the module before all else."""
        wanted, always = set(exports), set(inline)
        apart = {symbol for symbol, text in self.modules.items() if text.startswith(APART)}
        module = llvm.parse_assembly(glue)
        for text in self.modules.values():
            module.link_in(llvm.parse_assembly(re.sub(r"\bnoinline\b", "nounwind", text)))
        for function in module.functions:
            if not function.is_declaration:
                function.linkage = "external" if function.name in wanted else "internal"
                if function.name in always:
                    function.add_function_attribute("alwaysinline")
                elif function.name in apart:
                    function.add_function_attribute("noinline")
        for variable in module.global_variables:
            if not variable.is_declaration and variable.linkage not in (llvm.Linkage.private, llvm.Linkage.internal):
                variable.linkage = "internal"
        machine = host.target_machine()
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        first(module)
        tuning = llvm.create_pipeline_tuning_options(speed_level=3)
        tuning.loop_vectorization = tuning.slp_vectorization = level.used() != "scalar"
        llvm.create_pass_builder(machine, tuning).getModulePassManager().run(
            module, llvm.create_pass_builder(machine, tuning)
        )
        return module


def undefined(module: llvm.ModuleRef) -> set[str]:
    """The symbols that somebody has to provide when the object is linked."""
    names = {f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")}
    return names | {g.name for g in module.global_variables if g.is_declaration}


def referenced_names(code: CodeType) -> Iterable[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from referenced_names(constant)


def _cell(value: Any) -> Any:
    return (lambda: value).__closure__[0]  # type: ignore[index]


def wrapper_ir(name: str, target: Compiled, inline: bool = True) -> str:
    """`i64 name(i64...)` around a function of Numba's calling convention that cannot fail."""
    count = len(target.arguments)
    declared = ", ".join(["ptr", "ptr"] + ["i64"] * count)
    given = ", ".join(f"i64 %a{k}" for k in range(count))
    passed = ", ".join(["ptr %result", "ptr %exception"] + [f"i64 %a{k}" for k in range(count)])
    attribute = "alwaysinline" if inline else "noinline"
    return f"""
declare i32 @"{target.symbol}"({declared})
define i64 @{name}({given}) {attribute} {{
  %result = alloca i64
  %exception = alloca ptr
  %status = call i32 @"{target.symbol}"({passed})
  %value = load i64, ptr %result
  ret i64 %value
}}"""
