"""Explicit vectors, in stages and in the engine's own kernels; and what the CPU's vector units offer.

`from burstline.simd import u32x16, u8x64, mask, select`: kinds are named by the bits and the number of their lanes.
Interpreted they are NumPy's arrays, compiled LLVM's vectors, and LLVM makes AVX-512, AVX2, SSE4.2 or NEON of them.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

from burstline.simd.cpu import CpuFeatures as CpuFeatures
from burstline.simd.cpu import detect_cpu_features as detect_cpu_features

if TYPE_CHECKING:
    from burstline.simd.vectors import mask as mask
    from burstline.simd.vectors import maximum as maximum
    from burstline.simd.vectors import minimum as minimum
    from burstline.simd.vectors import select as select
    from burstline.simd.vectors import vector as vector

__all__ = ["CpuFeatures", "detect_cpu_features", "mask", "maximum", "minimum", "select", "vector"]

_KIND = re.compile(r"u(\d+)x(\d+)$")
_MASK = re.compile(r"m(\d+)$")


def __getattr__(name: str) -> Any:
    """`u32x16` is `vector(32, 16)`, `m16` is `mask(16)`. NumPy is imported when the first of them is asked for."""
    kind, of_truths = _KIND.match(name), _MASK.match(name)
    if not (kind or of_truths or name in __all__):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    vectors = importlib.import_module("burstline.simd.vectors")
    if kind:
        return vectors.vector(int(kind.group(1)), int(kind.group(2)))
    return vectors.mask(int(of_truths.group(1))) if of_truths else getattr(vectors, name)
