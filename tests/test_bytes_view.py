"""A view of a packet's bytes behaves as bytes do, but stays inside the packet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from scapy_frames import (
    ETHER,
    TCP4,
    packet_of,
)


@given(st.binary(max_size=90), st.integers(-100, 100), st.integers(-100, 100), st.binary(max_size=3))
def test_a_view_of_bytes_behaves_as_bytes_do(payload: bytes, a: int, b: int, other: bytes) -> None:
    view = packet_of(Ether(**ETHER, type=0x88B5) / Raw(payload)).payload
    assert (len(view), bool(view), bytes(view)) == (len(payload), bool(payload), payload)
    assert view == payload
    assert (view == other, view.startswith(other)) == (payload == other, payload.startswith(other))
    assert view[a:b] == payload[a:b]
    assert view[a:][:b] == payload[a:][:b]
    at = a + len(payload) if a < 0 else a
    for width, read in ((1, view.__getitem__), (2, view.be16), (4, view.be32)):
        if 0 <= at <= len(payload) - width:
            assert read(a) == int.from_bytes(payload[at : at + width], "big")
        else:
            with pytest.raises(IndexError, match="outside the bytes of the packet"):
                read(a)


def test_a_view_of_bytes_has_no_step_and_cannot_be_written() -> None:
    packet = packet_of(TCP4)
    with pytest.raises(TypeError, match="no step"):
        _ = packet.payload[::2]
    with pytest.raises(TypeError):
        packet.payload[0] = 1  # type: ignore[index]
    assert packet.payload != "hello, world"
    assert b"world" in packet.payload
    assert packet.payload == packet_of(TCP4).payload
    assert repr(packet.payload[:5]) == "Bytes(b'hello')"
