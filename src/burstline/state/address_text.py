"""Columns of addresses as columns of text."""

from __future__ import annotations

import socket
from typing import Any

from burstline.native.kernel import Kernel

LONGEST = 46  # INET6_ADDRSTRLEN
ENOUGH = 512  # rows from which it is worth loading compiled code
MOST = 1 << 24  # of an array, whose texts are within 2 GB
_write = Kernel("burstline.state.address_text_kernel:write_addresses", int, int, int, int, int)


def address_texts(addresses: Any, versions: Any) -> Any:
    """A pyarrow array of text, null where the version is neither 4 nor 6; IPv4 addresses lie in the first 4 bytes of
    their rows of 16."""
    import numpy as np
    import pyarrow as pa

    count = len(versions)
    if count > MOST:
        parts = range(0, count, MOST)
        return pa.chunked_array([address_texts(addresses[k : k + MOST], versions[k : k + MOST]) for k in parts])
    if count < ENOUGH:
        return pa.array([_text(*one) for one in zip(versions.tolist(), addresses, strict=True)], pa.string())
    addresses, versions = np.ascontiguousarray(addresses), np.ascontiguousarray(versions, "u1")
    ends, data = np.zeros(count + 1, "<i4"), np.empty(count * LONGEST, "u1")
    size = _write(addresses.ctypes.data, versions.ctypes.data, count, data.ctypes.data, ends.ctypes.data + 4)
    there = (versions == 4) | (versions == 6)
    valid = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
    # A copy that is no larger than the texts: rows are kept until a row group is full.
    return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(data[:size].tobytes()), valid)


def texts_of(kind: str, values: Any) -> Any:
    """A column of one version: numbers of 32 bits, or rows of 16 bytes."""
    import numpy as np

    count = len(values)
    if kind == "ipv6":
        return address_texts(values, np.full(count, 6, "u1"))
    raw = np.zeros((count, 16), "u1")
    raw[:, :4] = values.astype(">u4").view("u1").reshape(count, 4)
    return address_texts(raw, np.full(count, 4, "u1"))


def load() -> None:
    """Get ready: what compiles is not made for several threads."""
    _write.load()


def _text(version: int, address: Any) -> str | None:
    if version == 4:
        return socket.inet_ntoa(address[:4].tobytes())
    return socket.inet_ntop(socket.AF_INET6, address.tobytes()) if version == 6 else None
