"""What a port does not take of a burst: a packet that it will never take fails by itself, and the others leave."""

from __future__ import annotations

import ctypes
import random
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP

from burstline import dpdk
from burstline.offload.planning.capabilities import PortCapabilities
from burstline.offload.planning.choice import PortUse
from burstline.pipeline.offloads import DEFAULTS, Offloads
from dpdk_live import alone
from gso_oracle import large_packet
from offload_machine import machine

pytestmark = pytest.mark.skipif(not dpdk.available(), reason="needs DPDK")
CASES, ROOMY = 60, 1000
CAN = PortCapabilities("net_model", tx=frozenset({"MULTI_SEGS"}))
Call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


class Picky:
    """A driver that refuses some mbufs for good (`rte_eth_tx_prepare`: "nb_pkts packets are ready to be sent" stops
    before the first bad one), and whose ring has room for so many a call."""

    def __init__(self, rng: random.Random, odds: float, room: int) -> None:
        self.rng, self.odds, self.room = rng, odds, room
        self.judged: dict[int, bool] = {}  # by mbuf: whether it is refused
        self.sent: list[int] = []
        self.refused: set[int] = set()
        self.prepare, self.tx = Call(self._prepare), Call(self._tx)

    def _prepare(self, port: int, queue: int, mbufs: int, n: int) -> int:
        for k, mbuf in enumerate(self._list(mbufs, n)):
            if self.judged.setdefault(mbuf, self.rng.random() < self.odds):
                self.refused.add(mbuf)
                return k
        return n

    def _tx(self, port: int, queue: int, mbufs: int, n: int) -> int:
        taken = self._list(mbufs, min(n, self.room))
        assert not any(self.judged[mbuf] for mbuf in taken), "a driver may do anything with what it has refused"
        self.sent += taken
        return len(taken)

    @staticmethod
    def _list(mbufs: int, n: int) -> list[int]:
        return list((ctypes.c_uint64 * n).from_address(mbufs)) if n else []


def outcomes(seed: int) -> list[tuple[int, int, int]]:
    """Of bursts of packets, some of which software cuts: how many failed, were refused in part or whole, and left."""
    from burstline.dpdk.binding import native
    from burstline.engine.mbuf_marks import write_marks
    from burstline.engine.port_twins import PortTwins
    from burstline.offload.planning.plan import Asked, plan_ports
    from burstline.offload.twins import transmit
    from burstline.state.region import Region

    rng, mbufs, found = random.Random(seed), Region(8 * 32), list[tuple[int, int, int]]()
    with machine() as (port, pool, pools, cutting):
        port.table = pools.table
        (plan,) = plan_ports([Asked(Offloads(gso=True).over(DEFAULTS), CAN, PortUse("dpdk:model", emits=True))])
        twins = PortTwins(plan, port, 0, burst=32, pools=pools, cutting=cutting)
        for case in range(CASES):
            picky = Picky(rng, rng.choice([0, 0.02, 0.2, 1]), rng.choice([1, 3, ROOMY]))
            address: Any = lambda call: ctypes.cast(call, ctypes.c_void_p).value  # noqa: E731
            twins._block.set(prepare=address(picky.prepare), tx=address(picky.tx))
            lengths = []
            for k in range(rng.randrange(1, 20)):
                large = rng.random() < 0.3
                payload = 5000 if large else 100
                made = large_packet(IP(src=f"10.{case}.{k}.1", dst="10.0.0.2"), TCP(sport=k, dport=80), payload)
                mbuf = pool.new(made.frame)
                if large:
                    write_marks(mbuf, 1000, False)
                mbufs.set_i64(8 * k, mbuf)
                lengths.append(len(made.frame))
            failed = transmit(twins.address, mbufs.address, len(lengths))
            # By its addresses, each packet is known again, and the order of its segments by TCP's.
            arrived: dict[bytes, list[bytes]] = {}
            for mbuf in picky.sent:
                frame = native.mbuf_bytes(mbuf)
                arrived.setdefault(frame[26:30], []).append(frame)
            whole = [
                length for k, length in enumerate(lengths) if _whole(arrived.get(bytes((10, case, k, 1)), []), length)
            ]
            assert failed == len(lengths) - len(whole)
            assert twins._block.get("failed_bytes") == sum(lengths) - sum(whole)
            assert list(arrived) == sorted(arrived), "what leaves is in order"
            native.free(picky.sent)
            if picky.room == ROOMY:
                assert failed <= len(picky.refused), "a packet fails for what was refused of it only"
            found.append((failed, len(picky.refused), len(whole)))
    return found


def _whole(frames: list[bytes], length: int) -> bool:
    headers = 54
    sequences = [int.from_bytes(frame[38:42], "big") for frame in frames]
    assert sequences == sorted(sequences)
    return headers + sum(len(frame) - headers for frame in frames) == length if frames else False


def test_a_packet_that_the_driver_refuses_fails_alone() -> None:
    found = alone(outcomes, 5)
    assert any(refused > 0 and failed <= refused and left for failed, refused, left in found), "some fail, others leave"
    assert any(failed == 0 for failed, _, _ in found) and any(left == 0 for _, _, left in found)
