"""Python's `math` raises where a result is not a number or infinite; so does the compiled one, instead of going on."""

from __future__ import annotations

import builtins
import math
from types import ModuleType
from typing import Any

from llvmlite import ir as llvm
from numba.core import cgutils, ir, types
from numba.core.compiler_machinery import register_pass
from numba.core.imputils import lower_builtin
from numba.core.ir_utils import mk_unique_var
from numba.core.typing.templates import AbstractTemplate, builtin_registry, signature

from burstline.native.memory import LOWERED, Primitive
from burstline.native.passes import UserPass

# CPython, Modules/mathmodule.c: `math_1` for one argument, `math_pow_impl` for two; the rest never raises.
ONE = {
    getattr(math, name)
    for name in (
        "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp", "expm1", "log", "log10", "log1p",
        "log2", "sin", "sinh", "sqrt", "tan", "tanh",
    )
}  # fmt: skip
WHOLE = {math.floor, math.ceil, math.trunc, builtins.int, builtins.round}  # what is not finite has no integer
checked_result, checked_power, checked_argument = (
    Primitive(f"checked_{name}") for name in ("result", "power", "argument")
)
CHECKS = {**dict.fromkeys(ONE, checked_result), math.pow: checked_power, **dict.fromkeys(WHOLE, checked_argument)}


def _define(check: Primitive) -> None:
    class Template(AbstractTemplate):  # type: ignore[misc]
        key = check

        def generic(self, args: Any, kws: Any) -> Any:
            return signature(args[0], *args)

    builtin_registry.register_global(check, types.Function(Template))
    LOWERED.add(check)

    @lower_builtin(check, types.VarArg(types.Any))  # type: ignore[attr-defined]
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        result, *given = zip(args, sig.args, strict=True)
        if not isinstance(given[0][1], types.Float) and check is checked_argument:
            return args[0]
        numbers = [context.cast(builder, v, t, types.float64) for v, t in given]
        if check is checked_argument:
            wrong = builder.not_(_finite(builder, numbers[0]))
        elif check is checked_power:
            finite = builder.and_(*(_finite(builder, n) for n in numbers))
            wrong = builder.and_(finite, builder.not_(_finite(builder, result[0])))
        else:
            number = numbers[0]
            not_one = builder.fcmp_unordered("uno", result[0], result[0])
            was_one = builder.fcmp_ordered("ord", number, number)
            lost = builder.and_(_finite(builder, number), builder.not_(_finite(builder, result[0])))
            wrong = builder.or_(builder.and_(not_one, was_one), lost)
        with cgutils.if_unlikely(builder, wrong):
            context.call_conv.return_user_exc(builder, ValueError, ("math domain or range error",))
        return args[0]


def _finite(builder: Any, number: Any) -> Any:
    """Its exponent is not all ones: `x - x` is not a number for infinities."""
    return builder.fcmp_ordered("==", builder.fsub(number, number), llvm.Constant(number.type, 0.0))


for _check in (checked_result, checked_power, checked_argument):
    _define(_check)


@register_pass(mutates_CFG=False, analysis_only=False)
class MathRaises(UserPass):
    """Puts the check behind each call: `x = math.log(y)` becomes `x = checked(math.log(y), y)`."""

    _name = "burstline_math_raises"

    def run_users(self, state: Any) -> bool:
        changed = False
        for block in state.func_ir.blocks.values():
            body: list[Any] = []
            for statement in block.body:
                check = self._check_of(state.func_ir, statement)
                body += _with_check(state.func_ir, statement, check) if check else [statement]
                changed |= check is not None
            block.body = body
        return changed

    def _check_of(self, func_ir: Any, statement: Any) -> Primitive | None:
        value = getattr(statement, "value", None)
        if not isinstance(value, ir.Expr) or value.op != "call" or value.kws or not value.args:
            return None
        function = _named(func_ir, value.func)
        try:
            return CHECKS.get(function)
        except TypeError:  # not hashable
            return None


def _named(func_ir: Any, variable: Any) -> Any:
    """The object that a variable stands for, when it is a global, a builtin or an attribute of a module."""
    found = func_ir._definitions[variable.name]
    if len(found) != 1:
        return None
    if isinstance(found[0], (ir.Global, ir.FreeVar)):
        return found[0].value
    if isinstance(found[0], ir.Expr) and found[0].op == "getattr":
        owner = _named(func_ir, found[0].value)
        return getattr(owner, found[0].attr, None) if isinstance(owner, ModuleType) else None
    return None


def _with_check(func_ir: Any, statement: Any, check: Primitive) -> list[Any]:
    call, loc, scope = statement.value, statement.loc, statement.target.scope
    result, function = (ir.Var(scope, mk_unique_var(name), loc) for name in ("$unchecked", "$check"))
    named = ir.Global(check.__name__, check, loc)
    behind = ir.Expr.call(function, [result, *call.args], (), loc)
    definitions = func_ir._definitions
    definitions[result.name], definitions[function.name] = [call], [named]
    definitions[statement.target.name] = [behind if d is call else d for d in definitions[statement.target.name]]
    assign = [(result, call), (function, named), (statement.target, behind)]
    return [ir.Assign(value, target, loc) for target, value in assign]
