"""A program in the kernel: made from rules, verified, and run on packets that nobody sent, to try it or to time it."""

from __future__ import annotations

import ctypes
import functools
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burstline.state.steering_rules import Wildcard
from burstline.steering.xdp import bpf
from burstline.steering.xdp.object import Place, instructions_of
from burstline.steering.xdp.program import NAME, Shape, module_of, object_of


@functools.lru_cache(maxsize=32)
def _object(shape: Shape, wildcards: tuple[Wildcard, ...]) -> bytes:
    """Kept: exact rules come and go, and the program stays as it is; rules that were taken away come again."""
    return object_of(module_of(shape, wildcards))


@dataclass(frozen=True)
class Ran:
    """What became of a packet: `action` is XDP_DROP (1), XDP_PASS (2) or XDP_REDIRECT (4), `data` what is in front of
    the packet, and the packet. `nanoseconds` is the average of all runs."""

    action: int
    nanoseconds: int
    data: bytes


class Loaded:
    """Raises BurstlineError, with the verifier's last words where it refuses the program."""

    def __init__(self, instructions: bytes) -> None:
        self.size = len(instructions) // 8
        self.fd = bpf.load_program(NAME, instructions)

    @classmethod
    def of_rules(cls, shape: Shape, wildcards: Sequence[Wildcard], places: Mapping[str, Place]) -> Loaded:
        """Raises TableFull for more rules than a program holds."""
        return cls(instructions_of(_object(shape, tuple(wildcards)), ".text", places))

    def run(self, packet: bytes, repeat: int = 1) -> Ran:
        """The program on a packet that nobody sent, which counts as any other. Raises OSError."""
        data, out = ctypes.create_string_buffer(packet, len(packet)), ctypes.create_string_buffer(len(packet) + 256)
        sizes, places = (len(packet), len(out)), (bpf.address(data), bpf.address(out))
        attributes = struct.pack("<IIIIQQII", self.fd, 0, *sizes, *places, repeat, 0)
        held = ctypes.create_string_buffer(attributes, 80)
        bpf.call_with(bpf.PROG_TEST_RUN, held)
        _, action, _, size, _, _, _, took = struct.unpack_from("<IIIIQQII", held.raw)
        return Ran(action, took, out.raw[:size])

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
