"""Lowered functions on disk, for the next process: typing and lowering what a pipeline is made of takes seconds, and
most of it is the same in the next pipeline.

A key covers what `Content` and `cache.key_of` do, and the types that the function is called with.
"""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from numba.core import types

from burstline.native import cache

SUFFIX = "ll"  # of LLVM's IR
LASTING: set[type[types.Type]] = set()


class Content(NamedTuple):
    """What a function's compiled code depends on: a digest, and objects that count only as the very same ones. Without
    any, the digest means the same in every process."""

    digest: str
    objects: tuple[Hashable, ...]


def key_of(content: Content, arguments: Sequence[types.Type], returns: types.Type | None) -> str | None:
    """None where another process could not tell that it has the same function."""
    wanted = () if returns is None else (returns,)
    if content.objects or not all(map(_is_lasting, (*arguments, *wanted))):
        return None
    return cache.key_of(["lowered", content.digest, *(str(kind) for kind in arguments), *map(str, wanted)])


def load(key: str) -> tuple[types.Type, str, dict[str, str]] | None:
    """The type that a function returns, its symbol, and the IR of itself and of all that it calls."""
    found = cache.load(key, SUFFIX)
    if found is None:
        return None
    texts, about = found
    returns = pickle.loads(base64.b64decode(about["returns"]))
    return returns, about["symbol"], json.loads(zlib.decompress(texts))


def save(key: str, returns: types.Type, symbol: str, texts: dict[str, str]) -> None:
    if _is_lasting(returns):
        about = {"symbol": symbol, "returns": base64.b64encode(pickle.dumps(returns)).decode()}
        cache.save(key, zlib.compress(json.dumps(texts).encode(), 1), about, SUFFIX)


def lasting(kind: type[types.Type]) -> type[types.Type]:
    """Decorator: types of this kind that are spelled the same are the same, in every process."""
    LASTING.add(kind)
    return kind


def _is_lasting(kind: Any) -> bool:
    if isinstance(kind, types.BaseTuple):  # type: ignore[attr-defined]
        return all(map(_is_lasting, kind))
    plain = (types.Integer, types.Boolean, types.Float, types.NoneType, types.IntegerLiteral)  # type: ignore[attr-defined]
    return isinstance(kind, plain) or type(kind) in LASTING
