"""Counters by write combining: a stage adds to a variable of the object's own, which lives while a burst is processed.

It is zeroed before the stages of a burst, and added to the worker's block after them. Nobody but the function around
them refers to it once they are inlined, so LLVM makes it a local variable of that function, and so a register; where
stages are functions of their own it stays in memory, in a line that only this worker's code knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import llvmlite.binding as llvm

from burstline.native import host
from burstline.state.base import State
from burstline.state.counter import COUNTERS, Counter

BEGIN_COUNTS, STORE_COUNTS = "burstline_begin_counts", "burstline_store_counts"


def counters_of(state: Iterable[State]) -> list[Counter]:
    """In the order in which they lie in a worker's block."""
    return [s for s in state if isinstance(s, Counter)]


def counters_ir(counters: Sequence[Counter]) -> str:
    """The sums of a burst, and `i64 ()` that zeroes them and that adds them to the worker's block."""
    names = [c.symbol for c in counters]
    begin = "\n".join(f"  store i64 0, ptr @{name}" for name in names)
    add = "\n".join(
        f"""  %at{k} = getelementptr i64, ptr @{COUNTERS}, i64 {k}
  %sum{k} = load i64, ptr @{name}
  %old{k} = load i64, ptr %at{k}
  %new{k} = add i64 %old{k}, %sum{k}
  store i64 %new{k}, ptr %at{k}"""
        for k, name in enumerate(names)
    )
    block = f"@{COUNTERS} = external global [{len(names)} x i64], align 64" if names else ""
    sums = "\n".join(f"@{name} = global i64 0" for name in names)
    return f"""
{block}
{sums}
define i64 @{BEGIN_COUNTS}() alwaysinline {{
{begin}
  ret i64 0
}}
define i64 @{STORE_COUNTS}() alwaysinline {{
{add}
  ret i64 0
}}"""


def naming(modules: Mapping[str, str], names: Iterable[str]) -> set[str]:
    """Of Numba's functions, by symbol, those whose IR names one of these."""
    quoted = [f'@"{name}"' for name in names]
    return {symbol for symbol, text in modules.items() if any(name in text for name in quoted)}


def adding(modules: Mapping[str, str], counters: Sequence[Counter]) -> set[str]:
    """The functions that add to counters, and those that call them."""
    found: set[str] = set()
    more = naming(modules, [c.symbol for c in counters])
    while more - found:
        found |= more
        more = naming(modules, found)
    return found


def sums_in_registers(counters: Sequence[Counter], loops: Iterable[str]) -> Callable[[llvm.ModuleRef], None]:
    """What makes local variables of the sums in a linked module: ahead of all other passes, so that these know them as
    such. `loops` are the functions around the stages, which nothing calls while they run.

    LLVM's GlobalOpt does it for an internal variable that one function alone refers to, where that one is known not to
    call itself, and stores before it reads.
    """
    names = set(loops)

    def run(module: llvm.ModuleRef) -> None:
        if not counters:
            return
        for function in module.functions:
            if function.name in names:
                function.add_function_attribute("norecurse")
        machine = host.target_machine()
        passes = llvm.create_new_module_pass_manager()
        passes.add_always_inliner_pass()
        passes.add_global_opt_pass()
        passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))

    return run
