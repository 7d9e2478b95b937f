"""One instruction that adds all words of a vector in pairs: AVX-512's for products of words that have a sign.

Sixteen sums take two instructions for 64 bytes, or three without VNNI; by masks and shifts they take three or four.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core.typing.templates import signature

from burstline.native.memory import I32
from burstline.simd import level
from burstline.simd.lanes import intrinsic
from burstline.simd.memory import over_vectors
from burstline.simd.vector_type import VectorType

BIAS = 1 << 16  # less in each lane, each time: 0x8000 is taken from both words, which makes them numbers with a sign


def _alike(total: Any, words: Any) -> Any:
    fits = isinstance(total, VectorType) and (total.bits, total.lanes) == (32, 16) and total == words
    return signature(total, total, words) if fits else None


@over_vectors("add_words", _alike)
def add_words(b: Any, sig: Any, total: Any, words: Any) -> Any:
    """`(total, words)`: the sixteen sums with two words more each, less `BIAS`. Only where `masks_bytes` is true."""
    if "avx512bw" not in level.features() or sig.return_type.apart:
        return total
    halves = ir.VectorType(ir.IntType(16), 32)
    signed = b.xor(b.bitcast(words, halves), ir.Constant(halves, [0x8000] * 32))
    pairs = intrinsic(
        b, "llvm.x86.avx512.pmaddw.d.512", ir.VectorType(I32, 16), [signed, ir.Constant(halves, [1] * 32)]
    )
    return b.add(total, pairs)
