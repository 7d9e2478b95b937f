"""The bpf(2) system call, for which libc has no function: maps, programs, links. What is made lives as long as it is
open, and needs no file system."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from burstline.errors import BurstlineError

NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361}  # all little-endian, as the program is
MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, PROG_LOAD, PROG_TEST_RUN = 0, 1, 2, 3, 5, 10
MAP_UPDATE_BATCH, LINK_CREATE, LINK_UPDATE = 26, 28, 29
PROG_TYPE_XDP, ATTACH_XDP = 6, 37
LOG_SIZE, LOG_SHOWN = 1 << 24, 8  # bytes asked for, lines shown
LICENSE = ctypes.create_string_buffer(b"BSD")
_libc = ctypes.CDLL(None, use_errno=True)


def call(command: int, attributes: bytes) -> int:
    """The system call; returns what it does. Raises OSError."""
    if platform.machine() not in NUMBERS:
        raise BurstlineError(f"XDP on {platform.machine()} is not known", "steer in software")
    held = ctypes.create_string_buffer(attributes, len(attributes))
    number = ctypes.c_long(NUMBERS[platform.machine()])
    done = _libc.syscall(number, ctypes.c_int(command), held, ctypes.c_uint(len(attributes)))
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(done)


def call_with(command: int, attributes: ctypes.Array[ctypes.c_char]) -> None:
    """The same where the kernel writes into the attributes. Raises OSError."""
    number = ctypes.c_long(NUMBERS[platform.machine()])
    if _libc.syscall(number, ctypes.c_int(command), attributes, ctypes.c_uint(len(attributes))) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def address(held: ctypes.Array[ctypes.c_char]) -> int:
    return ctypes.addressof(held)


def load_program(name: str, instructions: bytes) -> int:
    """A file descriptor of an XDP program, which the kernel has verified. Raises BurstlineError with what it said."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    try:
        return call(PROG_LOAD, _program(name, code, None))
    except OSError as error:
        if error.errno == errno.EPERM:
            raise not_allowed("load an XDP program") from None
        log = ctypes.create_string_buffer(LOG_SIZE)
        try:
            return call(PROG_LOAD, _program(name, code, log))
        except OSError as again:
            raise _refused(again, log.value.decode(errors="replace")) from None


def _program(name: str, code: ctypes.Array[ctypes.c_char], log: ctypes.Array[ctypes.c_char] | None) -> bytes:
    count = len(code) // 8
    logged = (1, LOG_SIZE, address(log)) if log is not None else (0, 0, 0)
    head = struct.pack("<IIQQIIQ", PROG_TYPE_XDP, count, address(code), address(LICENSE), *logged)
    return head + struct.pack("<II16sII", 0, 0, name.encode()[:15], 0, ATTACH_XDP)


def _refused(error: OSError, log: str) -> BurstlineError:
    lines = [line for line in log.splitlines() if line.strip()]
    said = "\n".join(f"    {line}" for line in lines[-LOG_SHOWN:])
    return BurstlineError(
        f"the kernel did not take the XDP program: {error.strerror}" + (f"\n{said}" if said else ""),
        "Linux 5.18 or newer is needed; with fewer wildcard rules the program is smaller; or steer in software",
    )


def not_allowed(what: str) -> BurstlineError:
    return BurstlineError(
        f"this process may not {what}", "be root, or have the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW"
    )
