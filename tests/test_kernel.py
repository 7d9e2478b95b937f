"""Compiled functions on their own: compiled once, kept by content, and refused when they need Python."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from burstline.native import cache
from burstline.native.fieldtypes import f64, i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.state.region import Block


class Context(Struct):
    count: i64
    scale: f64


SOURCE = """
def add(a, b):
    return a + b

def total(context, factor):
    result = 0
    for k in range(context.count):
        result += add(k, factor)
    context.count = -1
    return result

def show(a):
    print(a)
    return 0
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of kernels that no other test has."""
    name = f"kernels_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("BURSTLINE_CACHE", str(tmp_path / "cache"))
    return name


def test_a_kernel_takes_numbers_and_structures(module: str) -> None:
    context = Block(Context.layout)
    context.set(count=4)
    assert Kernel(f"{module}:total", Context, int)(context.address, 10) == 0 + 1 + 2 + 3 + 40
    assert context.get("count") == -1


def test_a_kernel_is_compiled_once_and_again_when_its_module_changes(module: str, tmp_path: Path) -> None:
    assert Kernel(f"{module}:add", int, int)(2, -3) == -1
    kept = list(cache.directory().glob("*.o"))
    assert len(kept) == 1
    assert Kernel(f"{module}:add", int, int)(1 << 40, 1) == (1 << 40) + 1
    assert list(cache.directory().glob("*.o")) == kept
    (tmp_path / f"{module}.py").write_text(SOURCE + "\n")
    assert Kernel(f"{module}:add", int, int)(2, 2) == 4
    assert len(list(cache.directory().glob("*.o"))) == 2


def test_a_kept_kernel_runs_without_numba(module: str, tmp_path: Path) -> None:
    assert Kernel(f"{module}:add", int, int)(2, 2) == 4
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from burstline.native.kernel import Kernel\n"
        f"print(Kernel('{module}:add', int, int)(2, 3), 'numba' in sys.modules, {module!r} in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == "5 False False\n"


def test_a_kernel_that_needs_python_is_refused(module: str) -> None:
    with pytest.raises(TypeError, match="it calls Python, allocates or raises"):
        Kernel(f"{module}:show", int).load()


def test_a_kernel_is_linked_once_however_many_threads_ask_for_it(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linked again, the code that another thread is in would be gone."""
    kernel, linked, together = Kernel(f"{module}:add", int, int), list[str](), threading.Barrier(8)
    link = Kernel._linked
    monkeypatch.setattr(Kernel, "_linked", lambda self: linked.append(self.name) or link(self))

    def call(number: int) -> int:
        together.wait()
        return kernel(number, 1)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, range(8))) == list(range(1, 9))
    first = kernel.load()
    assert kernel.load() is first and linked == [f"{module}:add"]
