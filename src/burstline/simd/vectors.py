"""Vectors of unsigned numbers in plain Python, on NumPy. Compiled (`vector_type.py`) they are LLVM's own.

Arithmetic wraps, a plain number stands for itself in every lane (its low bits do), and comparisons give a mask. Neither
a vector nor a mask is true or false by itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from burstline.errors import UsageError
from burstline.native.bytes_view import Bytes

WIDTHS = (8, 16, 32, 64)  # bits of a lane
MOST_BITS = 8192  # of a vector: sixteen registers of 512 bits; beyond, LLVM takes minutes
Number = int


@functools.cache
def vector(bits: int, lanes: int) -> VectorKind:
    """The kind of vectors with `lanes` unsigned numbers of 8, 16, 32 or 64 bits. Raises UsageError for others."""
    if bits not in WIDTHS:
        raise UsageError(f"there is no u{bits}x{lanes}: lanes have 8, 16, 32 or 64 bits", "take the next wider one")
    if not 1 <= lanes <= MOST_BITS // bits:
        raise UsageError(
            f"there is no u{bits}x{lanes}: a vector has 1 to {MOST_BITS // bits} lanes of {bits} bits",
            f"this CPU works on u{bits}x{_register_bits() // bits} at once; loop over vectors of that size",
        )
    return VectorKind(bits, lanes)


@functools.cache
def mask(lanes: int) -> MaskKind:
    """The kind of masks with `lanes` truths: what comparisons of vectors give. `mask(16)(0b101)` is one by its bits."""
    if not 1 <= lanes <= MOST_BITS // 8:
        raise UsageError(f"a mask has 1 to {MOST_BITS // 8} lanes, not {lanes}", "loop over smaller vectors")
    return MaskKind(lanes)


def _register_bits() -> int:
    from burstline.simd.cpu import detect_cpu_features

    return detect_cpu_features().vector_bits


def _signed(value: Any) -> int:
    """As a number of 64 bits with a sign, which all of a stage's numbers are."""
    return ((int(value) & (1 << 64) - 1) ^ 1 << 63) - (1 << 63)


class VectorKind:
    """`u32x16(n)`, `u32x16(1, 2, ...)`, `u32x16(v)`: n in every lane; one by one; another's lanes, widened or cut."""

    def __init__(self, bits: int, lanes: int) -> None:
        self.bits, self.lanes = bits, lanes
        self.size = bits * lanes // 8  # bytes
        self.__name__ = f"u{bits}x{lanes}"
        self.dtype = np.dtype(f"<u{bits // 8}")

    def __repr__(self) -> str:
        return self.__name__

    def __call__(self, *values: Any) -> Vector:
        if len(values) == 1 and isinstance(values[0], Vector):
            _same_lanes(self, values[0].kind)
            return Vector(self, values[0].array.astype(self.dtype))
        if len(values) == 1:
            return Vector(self, np.full(self.lanes, self._low(values[0]), self.dtype))
        if len(values) != self.lanes:
            raise TypeError(f"{self} is made of 1 or {self.lanes} numbers, not of {len(values)}")
        return Vector(self, np.array([self._low(v) for v in values], self.dtype))

    def _low(self, value: int) -> int:
        return int(value) & (1 << self.bits) - 1

    def cast(self, source: Vector) -> Vector:
        """The same bits as lanes of another width."""
        if source.kind.size != self.size:
            raise TypeError(f"{source.kind} has {source.kind.size} bytes, {self} has {self.size}")
        return Vector(self, source.array.view(self.dtype).copy())

    def load(self, view: Bytes, at: int = 0) -> Vector:
        """Lanes from a view's bytes, little-endian, from byte `at` on; bytes behind the view's end read as 0."""
        if at < 0:
            raise IndexError("before the bytes of the packet")
        part = bytes(view[at : at + self.size])
        return Vector(self, np.frombuffer(part.ljust(self.size, b"\0"), self.dtype).copy())

    def gather(self, view: Bytes, offsets: Vector) -> Vector:
        """Lane k from the bytes at `offsets[k]`; a lane that does not lie wholly within the view reads as 0."""
        _same_lanes(self, offsets.kind)
        data, width = bytes(view), self.bits // 8
        ends = [int(o) + width for o in offsets.array]
        return self._listed([int.from_bytes(data[e - width : e], "little") if e <= len(data) else 0 for e in ends])

    def _listed(self, values: list[int]) -> Vector:
        return Vector(self, np.array(values, self.dtype))


class MaskKind:
    """`mask(16)(bits)`: lane k is true where bit k is set."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.__name__ = f"mask({lanes})"

    def __repr__(self) -> str:
        return self.__name__

    def __call__(self, bits: int) -> Mask:
        if self.lanes > 64:
            raise TypeError(f"a number has 64 bits, fewer than {self} has lanes")
        return Mask(np.array([bits >> k & 1 != 0 for k in range(self.lanes)]))


def _same_lanes(a: VectorKind, b: VectorKind) -> None:
    if a.lanes != b.lanes:
        raise TypeError(f"{a} and {b} have different numbers of lanes")


class Vector:
    """A value of one kind. Operators give a new one; `v[k]` is lane k, a number."""

    __hash__ = None  # type: ignore[assignment]
    __slots__ = ("array", "kind")

    def __init__(self, kind: VectorKind, array: Any) -> None:
        self.kind, self.array = kind, array

    def _with(self, other: Any) -> Any:
        """The other operand as an array of this kind."""
        if isinstance(other, Vector):
            if other.kind is not self.kind:
                raise TypeError(f"{self.kind} and {other.kind} do not go together: convert one, {self.kind}(v)")
            return other.array
        return self.kind(other).array

    def _made(self, array: Any) -> Vector:
        return Vector(self.kind, array)

    def __add__(self, other: Any) -> Vector:
        return self._made(self.array + self._with(other))

    def __sub__(self, other: Any) -> Vector:
        return self._made(self.array - self._with(other))

    def __rsub__(self, other: Any) -> Vector:
        return self._made(self._with(other) - self.array)

    def __mul__(self, other: Any) -> Vector:
        return self._made(self.array * self._with(other))

    def __and__(self, other: Any) -> Vector:
        return self._made(self.array & self._with(other))

    def __or__(self, other: Any) -> Vector:
        return self._made(self.array | self._with(other))

    def __xor__(self, other: Any) -> Vector:
        return self._made(self.array ^ self._with(other))

    __radd__, __rmul__, __rand__, __ror__, __rxor__ = __add__, __mul__, __and__, __or__, __xor__

    def __lshift__(self, other: Any) -> Vector:
        """By as many bits as the lanes have, or more, nothing is left."""
        return self._shifted(np.left_shift, self.array, self._with(other))

    def __rshift__(self, other: Any) -> Vector:
        """Zeros come in."""
        return self._shifted(np.right_shift, self.array, self._with(other))

    def __rlshift__(self, other: Any) -> Vector:
        return self._shifted(np.left_shift, self._with(other), self.array)

    def __rrshift__(self, other: Any) -> Vector:
        return self._shifted(np.right_shift, self._with(other), self.array)

    def _shifted(self, function: Callable[..., Any], value: Any, count: Any) -> Vector:
        bits = self.kind.bits
        kept = function(value, np.minimum(count, bits - 1))
        return self._made(np.where(count < bits, kept, 0).astype(self.kind.dtype))

    def __invert__(self) -> Vector:
        return self._made(~self.array)

    def __eq__(self, other: object) -> Mask:  # type: ignore[override]
        return Mask(self.array == self._with(other))

    def __ne__(self, other: object) -> Mask:  # type: ignore[override]
        return Mask(self.array != self._with(other))

    def __lt__(self, other: Any) -> Mask:
        return Mask(self.array < self._with(other))

    def __le__(self, other: Any) -> Mask:
        return Mask(self.array <= self._with(other))

    def __gt__(self, other: Any) -> Mask:
        return Mask(self.array > self._with(other))

    def __ge__(self, other: Any) -> Mask:
        return Mask(self.array >= self._with(other))

    def __bool__(self) -> bool:
        raise TypeError("a vector is neither true nor false: compare it, then ask .any() or .all()")

    def __len__(self) -> int:
        return self.kind.lanes

    def __getitem__(self, k: int) -> int:
        return _signed(self.array[k])

    def __repr__(self) -> str:
        return f"{self.kind}({', '.join(map(str, self.array))})"

    def sum(self) -> int:
        """Of all lanes, in 64 bits."""
        return _signed(sum(map(int, self.array)))

    def min(self) -> int:
        return _signed(self.array.min())

    def max(self) -> int:
        return _signed(self.array.max())

    def popcount(self) -> Vector:
        """The number of bits that are set, lane by lane."""
        return self.kind._listed([int(x).bit_count() for x in self.array])

    def byteswap(self) -> Vector:
        """The bytes of each lane in the other order: network's and host's."""
        return self._made(self.array.byteswap())

    def rotate_left(self, count: int) -> Vector:
        """The bits of each lane, by any number of places."""
        count %= self.kind.bits
        return self << count | self >> (self.kind.bits - count)

    def compress(self, chosen: Mask) -> Vector:
        """The lanes where the mask is true, one behind the other; zeros behind them."""
        kept = self.array[chosen.array]
        return self._made(np.concatenate((kept, np.zeros(len(self) - len(kept), self.kind.dtype))))

    def shuffle(self, *places: int) -> Vector:
        """A vector of the lanes at these places, which are constants; it has as many lanes as there are places."""
        return Vector(vector(self.kind.bits, len(places)), self.array[list(places)])

    def lookup(self, indices: Vector) -> Vector:
        """This vector as a table: lane k is `self[indices[k] % len(self)]`."""
        kind = vector(self.kind.bits, indices.kind.lanes)
        return Vector(kind, self.array[(indices.array % len(self)).astype(np.int64)])

    def concat(self, other: Vector) -> Vector:
        """The lanes of both."""
        return Vector(vector(self.kind.bits, 2 * len(self)), np.concatenate((self.array, self._with(other))))

    def interleave(self, other: Vector) -> Vector:
        """The lanes of both in turn: the first of this one, the first of the other, and so on."""
        both = np.stack((self.array, self._with(other)), 1).ravel()
        return Vector(vector(self.kind.bits, 2 * len(self)), both)

    def every(self, step: int, first: int) -> Vector:
        """Every `step`-th lane from the `first` on; both are constants."""
        found = self.array[first::step]
        return Vector(vector(self.kind.bits, len(found)), found)

    def transpose(self, rows: int) -> Vector:
        """The lanes as a matrix of so many rows, which is a constant, turned over."""
        return self._made(self.array.reshape(rows, -1).T.ravel())

    def lookup_beside(self, indices: Vector) -> Vector:
        """Bytes as a table for each sixteen of them: lane k is the one at `indices[k] % 16` among its own sixteen."""
        start = np.arange(len(self)) // 16 * 16
        return self._made(self.array[start + (self._with(indices) % 16)])

    def store(self, view: Bytes, at: int = 0) -> None:
        """The lanes into a packet's bytes, little-endian, from byte `at` on; none is written behind the view's end."""
        if at < 0:
            raise IndexError("before the bytes of the packet")
        room = view._data[at : at + self.kind.size]
        room[:] = self.array.tobytes()[: len(room)]


class Mask:
    """Truths, lane by lane."""

    __hash__ = None  # type: ignore[assignment]
    __slots__ = ("array",)

    def __init__(self, array: Any) -> None:
        self.array = array

    def _with(self, other: Any) -> Any:
        if not isinstance(other, Mask) or len(other) != len(self):
            raise TypeError(f"{self!r} and {other!r} do not go together")
        return other.array

    def __and__(self, other: Any) -> Mask:
        return Mask(self.array & self._with(other))

    def __or__(self, other: Any) -> Mask:
        return Mask(self.array | self._with(other))

    def __xor__(self, other: Any) -> Mask:
        return Mask(self.array ^ self._with(other))

    def __invert__(self) -> Mask:
        return Mask(~self.array)

    def __bool__(self) -> bool:
        raise TypeError("a mask is neither true nor false: ask .any() or .all(), combine with & | ~")

    def __len__(self) -> int:
        return len(self.array)

    def __repr__(self) -> str:
        return f"mask({len(self)})(0b{''.join('01'[int(x)] for x in self.array[::-1])})"

    def any(self) -> bool:
        return bool(self.array.any())

    def all(self) -> bool:
        return bool(self.array.all())

    def count(self) -> int:
        """How many are true."""
        return int(self.array.sum())

    def bits(self) -> int:
        """A bit for each lane, lane 0 lowest; masks of up to 64 lanes have that."""
        if len(self) > 64:
            raise TypeError(f"a number has 64 bits, and this mask {len(self)} lanes")
        return _signed(sum(1 << k for k, is_true in enumerate(self.array) if is_true))


def select(chosen: Mask, a: Vector | Number, b: Vector | Number) -> Vector:
    """Lanes of `a` where the mask is true, of `b` elsewhere; one of them may be a number."""
    kind = a.kind if isinstance(a, Vector) else b.kind if isinstance(b, Vector) else None
    if kind is None:
        raise TypeError("select needs a vector to tell how wide its lanes are: write e.g. u32x16(1) for 1")
    like = kind(0)
    if len(chosen) != kind.lanes:
        raise TypeError(f"{chosen!r} does not choose between lanes of {kind}")
    return Vector(kind, np.where(chosen.array, like._with(a), like._with(b)))


def minimum(a: Vector, b: Vector | Number) -> Vector:
    """The lesser one, lane by lane."""
    return Vector(a.kind, np.minimum(a.array, a._with(b)))


def maximum(a: Vector, b: Vector | Number) -> Vector:
    """The greater one, lane by lane."""
    return Vector(a.kind, np.maximum(a.array, a._with(b)))
