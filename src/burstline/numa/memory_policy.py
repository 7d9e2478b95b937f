"""On which NUMA node memory is, is to be, and the way there: system calls of Linux, for which libc has no functions.

mbind(2), set_mempolicy(2), get_mempolicy(2), move_pages(2); Documentation/admin-guide/mm/numa_memory_policy.rst. The
policy is MPOL_PREFERRED throughout: where a node has no page left, another one's is better than a dead process.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

# By machine: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h.
_NUMBERS = {
    "x86_64": {"mbind": 237, "set_mempolicy": 238, "get_mempolicy": 239, "move_pages": 279},
    "aarch64": {"mbind": 235, "set_mempolicy": 237, "get_mempolicy": 236, "move_pages": 239},
}
MPOL_PREFERRED, MPOL_MF_MOVE = 1, 2
MOST_NODES = 1024  # MAX_NUMNODES of x86-64
SWEPT = 4 << 20  # bytes
TRIES = 3  # to move a page
AT_ONCE = 1 << 14  # pages that are moved by one call: who touches one waits for that one alone
SAMPLED = 256  # pages of a range that are looked at, evenly
PAGE = mmap.PAGESIZE


@dataclass(frozen=True)
class Moved:
    """Pages that came to the node, that were there, and that stayed elsewhere; and why, if some did."""

    moved: int = 0
    there: int = 0
    stayed: int = 0
    why: str = ""

    def __add__(self, other: Moved) -> Moved:
        return Moved(
            self.moved + other.moved, self.there + other.there, self.stayed + other.stayed, self.why or other.why
        )


@functools.cache
def is_supported() -> bool:
    """Whether the system takes a policy: containers may forbid it (docker's seccomp profile, without CAP_SYS_NICE)."""
    if sys.platform != "linux" or platform.machine() not in _NUMBERS:
        return False
    try:
        _set_policy(*_policy())
    except OSError:
        return False
    return True


def prefer(address: int, size: int, node: int) -> bool:
    """Have pages of a range come from `node` when they are first touched; whether the system takes the wish."""
    start, length = _pages(address, size)
    mask, bits = _mask(node)
    try:
        _call("mbind", start, length, MPOL_PREFERRED, mask, bits, 0)
    except OSError:
        return False
    return True


@contextmanager
def preferring(node: int | None) -> Iterator[None]:
    """What the calling thread touches first in the block comes from `node`, as far as memory has no policy of its own;
    None changes nothing."""
    if node is None or not is_supported():
        yield
        return
    before = _policy()
    mask, bits = _mask(node)
    try:
        _set_policy(MPOL_PREFERRED, mask, bits)
    except OSError:  # a node that this process may have nothing of (cpuset.mems): the block does what it has to
        yield
        return
    try:
        yield
    finally:
        _set_policy(*before)


def nodes_of(addresses: Sequence[int]) -> list[int | None]:
    """The node of the page at each address; None where there is no page yet. Raises OSError."""
    import numpy as np

    return [node if node >= 0 else None for node in _asked(np.array(addresses, np.int64) & -PAGE).tolist()]


def nodes_in(address: int, size: int, most: int = SAMPLED) -> Counter[int]:
    """How many of the pages of a range are on which node, of at most `most` that are looked at. Raises OSError."""
    start, length = _pages(address, size)
    count = length // PAGE
    looked = [start + PAGE * (k * count // min(count, most)) for k in range(min(count, most))]
    return Counter(node for node in nodes_of(looked) if node is not None)


def _asked(pages: Any) -> Any:
    """The node of each page, an error's negative number where there is none. Raises OSError."""
    import numpy as np

    status = np.full(len(pages), -errno.ENOENT, np.int32)
    if len(pages):
        _call("move_pages", 0, len(pages), _pointer(pages), None, _pointer(status), 0)
    return status


def place(address: int, size: int, node: int) -> Moved:
    """Have a range on `node`: its pages move there while others may use them, and those to come are from there."""
    return place_all([(address, size)], node)


def place_all(ranges: Sequence[tuple[int, int]], node: int) -> Moved:
    """The same of several ranges, addresses and bytes, at once: each call of the kernel waits for all CPUs before."""
    import numpy as np

    done, found = Moved(), [np.empty(0, np.int64)]
    for address, size in ranges:
        if not prefer(address, size, node):
            done += Moved(why=f"the system takes no wish for node {node}")
        start, length = _pages(address, size)
        found.append(np.arange(start, start + length, PAGE, dtype=np.int64))
    pages = np.unique(np.concatenate(found))
    for at in range(0, len(pages), AT_ONCE):
        part = _move(pages[at : at + AT_ONCE], node)
        for _ in range(TRIES - 1 if part.stayed else 0):  # the kernel may have them in its hands for a moment
            again = _move(pages[at : at + AT_ONCE], node)
            part = Moved(part.moved + again.moved, part.there, again.stayed, again.why)
            if not part.stayed:
                break
        done += part
    for address, size in ranges:
        _sweep(address, size, node)
    return done


def _sweep(address: int, size: int, node: int) -> None:
    """Pages that the kernel has hidden to see who touches them (kernel.numa_balancing) are not there for move_pages of
    Linux 6.1 to 6.4; for mbind they are. It keeps those who fault waiting, so it is asked for little at a time."""
    start, length = _pages(address, size)
    mask, bits = _mask(node)
    for at in range(start, start + length, SWEPT):
        with suppress(OSError):
            _call("mbind", at, min(SWEPT, start + length - at), MPOL_PREFERRED, mask, bits, MPOL_MF_MOVE)


def _move(every: Any, node: int) -> Moved:
    """Those of some pages that are not on `node`."""
    import numpy as np

    try:
        found = _asked(every)
        there, elsewhere = int((found == node).sum()), every[(found >= 0) & (found != node)]
        if not len(elsewhere):
            return Moved(there=there)
        nodes, status = np.full(len(elsewhere), node, np.int32), np.zeros(len(elsewhere), np.int32)
        _call(
            "move_pages", 0, len(elsewhere), _pointer(elsewhere), _pointer(nodes), _pointer(status), MPOL_MF_MOVE
        )  # fmt: skip
        after = _asked(elsewhere)
    except OSError as error:
        return Moved(stayed=len(every), why=error.strerror or str(error))
    left = int(((after >= 0) & (after != node)).sum())
    refused = next((-code for code in status.tolist() if code < 0), 0)
    why = (os.strerror(refused) if refused else "they are in use") if left else ""
    return Moved(len(elsewhere) - left, there, left, why)


def _pages(address: int, size: int) -> tuple[int, int]:
    """The whole pages that a range lies in: start and bytes."""
    start = address & -PAGE
    return start, -(-(address + max(size, 1) - start) // PAGE) * PAGE


def _pointer(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _mask(node: int) -> tuple[ctypes.Array[ctypes.c_ulong], int]:
    bits = 8 * ctypes.sizeof(ctypes.c_ulong)
    if not 0 <= node < MOST_NODES:
        raise ValueError(f"there is no node {node}")
    mask = (ctypes.c_ulong * (MOST_NODES // bits))()
    mask[node // bits] = 1 << node % bits
    return mask, MOST_NODES + 1  # the kernel leaves out the last bit: get_nodes() of mm/mempolicy.c


def _policy() -> tuple[int, ctypes.Array[ctypes.c_ulong], int]:
    """Of the calling thread: mode, nodes."""
    mode = ctypes.c_int()
    mask, bits = _mask(0)
    _call("get_mempolicy", ctypes.byref(mode), mask, bits, None, 0)
    return mode.value, mask, bits


def _set_policy(mode: int, mask: ctypes.Array[ctypes.c_ulong], bits: int) -> None:
    _call("set_mempolicy", mode, mask, bits)


def _call(name: str, *arguments: object) -> None:
    numbers = _NUMBERS.get(platform.machine()) if sys.platform == "linux" else None
    if numbers is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    if _libc().syscall(ctypes.c_long(numbers[name]), *words) < 0:  # above 0: pages that move_pages has not moved
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
