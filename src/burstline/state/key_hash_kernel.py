"""The compiled hash of keys, as instructions: in Numba, a sum or a product of more than 64 bits is undefined."""

from __future__ import annotations

from typing import Any

from numba.core import types

from burstline.native.memory import I64, primitive
from burstline.state.key_hash import FIRST, SECOND, STEP

i64 = types.int64


def word_hash(builder: Any, word: Any) -> Any:
    """Of 64 bits, 64 bits."""
    mixed = builder.add(word, I64(STEP))
    mixed = builder.mul(builder.xor(mixed, builder.lshr(mixed, I64(30))), I64(FIRST))
    mixed = builder.mul(builder.xor(mixed, builder.lshr(mixed, I64(27))), I64(SECOND))
    return builder.xor(mixed, builder.lshr(mixed, I64(31)))


def words_hash(builder: Any, low: Any, high: Any) -> Any:
    """Of 128 bits."""
    return word_hash(builder, builder.xor(low, word_hash(builder, high)))


hash_word: Any = primitive("hash_word", i64, i64)(word_hash)
hash_words: Any = primitive("hash_words", i64, i64, i64)(words_hash)
