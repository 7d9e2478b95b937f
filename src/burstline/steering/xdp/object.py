"""From LLVM's ELF object to instructions that the kernel takes: maps are put where the program names them.

The object is little; what of ELF it has is read here (System V ABI; Documentation/bpf/llvm_reloc.rst of the kernel).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

R_BPF_64_64 = 1
SYMBOL, RELOCATION, SECTION = struct.Struct("<IBBHQQ"), struct.Struct("<QQ"), struct.Struct("<IIQQQQIIQQ")
SHT_SYMTAB, SHT_REL = 2, 9
INSTRUCTION = 8
LOAD_IMMEDIATE = 0x18  # BPF_LD | BPF_IMM | BPF_DW, two instructions long
PSEUDO_MAP_FD, PSEUDO_MAP_VALUE = 1, 2


@dataclass(frozen=True)
class Place:
    """What a symbol of the program stands for: a map, or the value of one that has one only."""

    fd: int
    is_value: bool = False


def instructions_of(elf: bytes, section: str, places: Mapping[str, Place]) -> bytes:
    """The instructions of a section, with each symbol at its place."""
    headers = _sections(elf)
    number = next(k for k, (name, _) in enumerate(headers) if name == section)
    code = bytearray(_content(elf, headers[number][1]))
    symbols = _symbols(elf, headers)
    for _, header in headers:
        if header[1] != SHT_REL or header[7] != number:
            continue
        for at, info in RELOCATION.iter_unpack(_content(elf, header)):
            kind, name = info & 0xFFFFFFFF, symbols[info >> 32]
            if kind != R_BPF_64_64 or code[at] != LOAD_IMMEDIATE:
                raise ValueError(f"relocation {kind} of {name!r} at {at}: only maps are put into programs")
            _put(code, at, places[name])
    return bytes(code)


def _put(code: bytearray, at: int, place: Place) -> None:
    (added,) = struct.unpack_from("<i", code, at + 4)
    code[at + 1] = code[at + 1] & 0x0F | (PSEUDO_MAP_VALUE if place.is_value else PSEUDO_MAP_FD) << 4
    struct.pack_into("<i", code, at + 4, place.fd)
    struct.pack_into("<i", code, at + INSTRUCTION + 4, added)


def _sections(elf: bytes) -> list[tuple[str, tuple[int, ...]]]:
    (start,) = struct.unpack_from("<Q", elf, 40)
    count, names = struct.unpack_from("<HH", elf, 60)
    headers = [SECTION.unpack_from(elf, start + k * SECTION.size) for k in range(count)]
    texts = _content(elf, headers[names])
    return [(_text(texts, header[0]), header) for header in headers]


def _symbols(elf: bytes, headers: list[tuple[str, tuple[int, ...]]]) -> list[str]:
    table = next(header for _, header in headers if header[1] == SHT_SYMTAB)
    texts = _content(elf, headers[table[6]][1])
    return [_text(texts, symbol[0]) for symbol in SYMBOL.iter_unpack(_content(elf, table))]


def _content(elf: bytes, header: tuple[int, ...]) -> bytes:
    return elf[header[4] : header[4] + header[5]]


def _text(texts: bytes, at: int) -> str:
    return texts[at : texts.index(b"\0", at)].decode()
