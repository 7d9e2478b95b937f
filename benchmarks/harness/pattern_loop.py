"""Payloads with literals in them, and both ways to find these."""

from __future__ import annotations

import ctypes
import random
import time
from pathlib import Path
from typing import Any

import numpy as np

from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.state.pattern_set import PatternSet
from burstline.state.region import Block, Region

SIZE, HITS = 1400, 20  # bytes of a payload; one of so many has a literal
LETTERS = "etaoinshrdlucmfwypvbgkqjxz"


class Context(Struct):
    head: i64
    payloads: i64
    count: i64
    size: i64
    found: i64  # how many occurrences
    starts: i64  # their literals and starts, added up


_find = Kernel("benchmarks.harness.pattern_loop_kernel:find_all", Context)


def literals(count: int) -> list[bytes]:
    """Words that look like English: letters are as frequent as there."""
    chance = random.Random(11)
    weights = [1 / (k + 2) for k in range(26)]
    made: dict[bytes, None] = {}
    while len(made) < count:
        made["".join(chance.choices(LETTERS, weights, k=chance.randrange(5, 17))).encode()] = None
    return list(made)


class Payloads:
    """A piece of memory with `count` payloads, which `fill` makes anew."""

    def __init__(self, count: int, words: list[bytes], text: bool) -> None:
        self.count, self.words, self.text = count, words, text
        self._memory = Region(count * SIZE + 64)
        self.array = self._memory.numpy("u1", count * SIZE).reshape(count, SIZE)
        self.address = self._memory.address

    def fill(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        if self.text:
            weights = np.array([6.0, *(1 / (k + 2) for k in range(26))])
            codes = np.frombuffer((" " + LETTERS).encode(), "u1")
            steps = np.cumsum(weights / weights.sum())
            table = codes[np.searchsorted(steps, (np.arange(65536) + 0.5) / 65536)]
            self.array[:] = table[chance.integers(0, 65536, self.array.shape, "u2")]
        else:
            self.array[:] = np.frombuffer(chance.bytes(self.array.size), "u1").reshape(self.array.shape)
        for row in np.flatnonzero(chance.random(self.count) < 1 / HITS):
            word = self.words[int(chance.integers(len(self.words)))]
            at = int(chance.integers(SIZE - len(word)))
            self.array[row, at : at + len(word)] = np.frombuffer(word, "u1")


class ours:
    """`found` has the occurrences of the last call: how many, and their literals and starts added up."""

    def __init__(self, words: list[bytes], payloads: Payloads) -> None:
        self._set, self._payloads = PatternSet(words), payloads
        self._context = Block(Context.layout)
        self._context.set(head=self._set.attach(), payloads=payloads.address, count=payloads.count, size=SIZE)
        self.found = (0, 0)

    def __call__(self) -> float:
        self._context.set(found=0, starts=0)
        start = time.perf_counter_ns()
        _find(self._context.address)
        spent = time.perf_counter_ns() - start
        self.found = self._context.get("found"), self._context.get("starts")
        return spent / self._payloads.count


class Hyperscan:
    """`benchmarks/c/pattern.c`, with the face of `ours`."""

    def __init__(self, library: Path, words: list[bytes], payloads: Payloads) -> None:
        self._c, self._payloads = ctypes.CDLL(str(library)), payloads
        texts = (ctypes.c_char_p * len(words))(*words)
        lengths = self._lengths = (ctypes.c_size_t * len(words))(*map(len, words))
        if self._c.build(texts, lengths, len(words)):
            raise OSError("Hyperscan does not compile these literals")
        self.found = (0, 0)

    def __call__(self) -> float:
        sums = (ctypes.c_uint64 * 3)(0, 0, ctypes.addressof(self._lengths))
        arguments: Any = ctypes.c_void_p(self._payloads.address), self._payloads.count, SIZE, sums
        start = time.perf_counter_ns()
        self._c.scan(*arguments)
        spent = time.perf_counter_ns() - start
        self.found = int(sums[0]), int(sums[1])
        return spent / self._payloads.count

    def close(self) -> None:
        self._c.destroy()
