"""A compiled function on its own: what is no part of a pipeline but must run at its speed, called from Python.

The function is named, not imported: its module imports Numba, and a warm start takes the object from the cache. It
takes int64 numbers and addresses of structures, returns an int64, and cannot fail. Naming one imports nothing large.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib
import importlib.util
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from burstline.native.struct import Struct

Argument = type[int] | type[Struct]
_numbers = itertools.count()
_loading = threading.RLock()  # a kernel may need another one


class Kernel:
    """`Kernel("package.module:function", Context, int)` is called with the address of a `Context` and a number.

    The first call, or `load`, takes the machine code from the cache or compiles it. Calls release the GIL.
    """

    def __init__(self, name: str, *arguments: Argument) -> None:
        self.name = name
        self.arguments = arguments
        self._library: Any = None
        self._function: Callable[..., int] | None = None

    def __call__(self, *values: int) -> int:
        return (self._function or self.load())(*values)

    def load(self) -> Callable[..., int]:
        """The C function; once, as other threads may be in it. Not while another thread compiles a pipeline, unless the
        cache has it: Numba is not made for that."""
        with _loading:
            if self._function is None:
                self._function = self._linked()
            return self._function

    def _linked(self) -> Callable[..., int]:
        import llvmlite.binding as llvm

        from burstline.native import cache

        key = cache.key_of(["kernel", self.name, self._source(), *map(_described, self.arguments)])
        found = cache.load(key)
        if found is None:
            found = self._compile(), {"kernel": self.name}
            cache.save(key, *found)
        builder = llvm.JITLibraryBuilder().add_object_img(found[0]).export_symbol(self._symbol)
        self._library = builder.add_current_process().link(_jit(), f"kernel{next(_numbers)}")
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(self.arguments))
        return kind(self._library[self._symbol])

    @property
    def address(self) -> int:
        """Of the C function, for compiled code to call."""
        self.load()
        return int(self._library[self._symbol])

    @property
    def _symbol(self) -> str:
        return f"burstline_kernel_{self.name.rpartition(':')[2]}"

    def _source(self) -> str:
        """The text of the module, which need not be one of burstline's own (those are in every key)."""
        module = importlib.util.find_spec(self.name.rpartition(":")[0])
        if module is None or module.origin is None:
            raise ModuleNotFoundError(f"there is no source of {self.name}")
        return hashlib.blake2b(Path(module.origin).read_bytes(), digest_size=20).hexdigest()

    def _compile(self) -> bytes:
        from numba.core import types

        from burstline.native import host
        from burstline.native.build import FORBIDDEN, Build, undefined, wrapper_ir
        from burstline.native.struct_type import StructRefType

        module, _, function = self.name.partition(":")
        build = Build()
        arguments = [types.int64 if a is int else StructRefType(a.layout) for a in self.arguments]  # type: ignore[union-attr]
        compiled = build.compile(getattr(importlib.import_module(module), function), arguments)
        linked = build.link(wrapper_ir(self._symbol, compiled), [self._symbol])
        wrong = sorted(name for name in undefined(linked) if FORBIDDEN.match(name))
        if wrong:
            raise TypeError(f"kernel {self.name} needs {', '.join(wrong)}: it calls Python, allocates or raises")
        code: bytes = host.target_machine().emit_object(linked)
        return code


def _described(argument: Argument) -> str:
    return "int" if argument is int else repr(argument.layout)  # type: ignore[union-attr]


@functools.cache
def _jit() -> Any:
    import llvmlite.binding as llvm

    from burstline.native import host

    host.initialise()
    return llvm.create_lljit_compiler(host.target_machine())
