"""The machine code of a filter's loop: from the cache, or freshly compiled."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm

from burstline.filter.program import FilterProgram
from burstline.native import cache, host
from burstline.packet.burst import Burst

SYMBOL = "burstline_filter_chunks"
_numbers = itertools.count()


def filter_code(program: FilterProgram, links: tuple[int, ...], source: str, sink: str, burst: Burst) -> bytes:
    """Object code for packets of these link layers; formats are pcap or pcapng, or nothing for no sink."""
    sources = [program.sources[link] for link in links if link in program.sources]
    key = cache.key_of(["filter", sources, source, sink, repr(burst)])
    found = cache.load(key)
    if found is None:
        found = _compile(program, links, source, sink, burst), {"filter": program.expression}
        cache.save(key, *found)
    return found[0]


def _compile(program: FilterProgram, links: tuple[int, ...], source: str, sink: str, burst: Burst) -> bytes:
    from burstline.engine.filter_job import FilterJob
    from burstline.engine.filter_kernel import filter_loop
    from burstline.filter.native import native_functions
    from burstline.native.build import FORBIDDEN, Build, undefined, wrapper_ir
    from burstline.native.struct_type import StructRefType
    from burstline.packet.burst_type import burst_reference

    functions = native_functions(program, links)
    build = Build()
    loop = filter_loop(functions, source, sink, burst_reference(burst))
    compiled = build.compile(loop, [StructRefType(FilterJob.layout)])  # type: ignore[arg-type]
    linked = build.link(wrapper_ir(SYMBOL, compiled), [SYMBOL])
    wrong = sorted(name for name in undefined(linked) if FORBIDDEN.match(name))
    if wrong:
        raise TypeError(f"the filter needs {', '.join(wrong)}: it calls Python, allocates or raises")
    code: bytes = host.target_machine().emit_object(linked)
    return code


class FilterCode:
    """Linked machine code; `run(address of a FilterJob)` works on some chunks."""

    def __init__(self, code: bytes) -> None:
        host.initialise()
        builder = llvm.JITLibraryBuilder().add_object_img(code).export_symbol(SYMBOL).add_current_process()
        self._jit = llvm.create_lljit_compiler(host.target_machine())
        self._library: Any = builder.link(self._jit, f"filter{next(_numbers)}")
        self.run: Callable[[int], int] = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(self._library[SYMBOL])
