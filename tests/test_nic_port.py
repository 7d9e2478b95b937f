"""The NIC in software as a port: packets reach the queues that the model says, with mark and hash; changes that are
late or piecemeal are seen in between; what finds its queue full is counted."""

from __future__ import annotations

import ctypes
import threading
import time
from functools import partial
from typing import Any

import pytest

from burstline import dpdk

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

import itertools

from burstline.dpdk.binding import native
from burstline.dpdk.pool import Pool
from burstline.dpdk.port import free
from burstline.dpdk.ring_port import RingPort
from burstline.offload import mbuf as m
from burstline.state.toeplitz import SYMMETRIC_KEY
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.model.faults import Faults
from burstline.steering.model.nic import NicModel
from burstline.steering.model.nic_port import NicPort
from burstline.steering.rule import SteeringRule
from dpdk_live import alone, pool, raised
from steering_nic import PACKETS
from test_live_director import frame

FRAMES = [frame(k, k) for k in range(48)]


def taken(port: NicPort) -> list[list[tuple[bytes, int, int, int]]]:
    """What is in each queue: bytes, hash, mark (or -1) and the number of the port."""
    found = []
    for queue in range(port.queues):
        mine = []
        while mbufs := native.receive(port.id, queue, 32):
            for mbuf in mbufs:
                marks = native.mbuf_marks(mbuf)
                flags, hashes = marks["ol_flags"], said(mbuf)
                assert bool(flags & m.RX_FDIR) == bool(flags & m.RX_FDIR_ID)
                hashed = hashes[0] if flags & m.RX_RSS_HASH else -1
                mine.append((native.mbuf_bytes(mbuf), hashed, hashes[1] if flags & m.RX_FDIR_ID else -1, hashes[2]))
            free(mbufs)
        found.append(mine)
    return found


def said(mbuf: int) -> tuple[int, int, int]:
    """Both halves of `hash`, and the port."""
    words = [ctypes.c_uint32.from_address(mbuf + at).value for at in (m.HASH, m.MARK)]
    return words[0], words[1], ctypes.c_uint16.from_address(mbuf + m.PORT).value


class Bench:
    """A NIC at a wire that tests put packets on, driven step by step."""

    def __init__(self, made: Pool, model: NicModel, **more: Any) -> None:
        self.wire = RingPort.pair(made)
        self.wire.start()
        self.port = NicPort.over(model, made, self.wire, **more)
        self.port.start()

    def send(self, packets: list[bytes]) -> list[list[bytes]]:
        """Each queue's packets, of these alone."""
        assert self.wire.inject(packets) == len(packets)
        self.port.pump()
        return [[data for data, *_ in queue] for queue in taken(self.port)]

    def close(self) -> None:
        self.port.close()
        self.wire.close()


def _all_packets(driver: str) -> dict[str, int]:
    with pool() as made:
        model = NicModel(driver, queues=4)
        back_end = RteFlow(model)
        back_end.apply([SteeringRule(src="0.0.0.0/0", proto="udp", to="queue 2", mark=9, count=True)]
                       if driver != "net_ice" else
                       [SteeringRule(src="10.0.0.5", dst="10.9.0.1", proto="udp", sport=5005, dport=1005,
                                     to="queue 2", mark=9, count=True)])  # fmt: skip
        other = NicModel(driver, queues=4)
        there = RteFlow(other)
        there.apply(list(back_end.rules().values()))
        bench, marked, hashed = Bench(made, model), 0, 0
        for data in [*PACKETS, *FRAMES]:
            expected = other.classify(data)
            bench.wire.inject([data])
            assert bench.port.pump() == 1
            queues = taken(bench.port)
            got = [(k, *each) for k, queue in enumerate(queues) for each in queue]
            if expected.queue is None:
                assert got == []
                continue
            [(queue, whole, hash_, mark, port)] = got
            assert (queue, whole, port) == (expected.queue, data, bench.port.id)
            assert hash_ in (expected.hash, -1)
            assert mark == (-1 if expected.mark is None else expected.mark)
            marked, hashed = marked + (mark != -1), hashed + (hash_ != -1)
        assert list(back_end.counts().values()) == list(there.counts().values())
        bench.close()
    return {"marked": marked, "hashed": hashed}


@pytest.mark.parametrize("driver", ["model", "net_mlx5", "net_ice"])
def test_each_packet_comes_to_the_queue_of_the_model_with_hash_and_mark(driver: str) -> None:
    found = alone(_all_packets, driver)
    assert found["marked"] >= 1
    assert found["hashed"] > 50


def _late() -> list[Any]:
    now = [0.0]
    model = NicModel("model", queues=4, faults=Faults(latency=2.0, window=1.0, apart=0.5), clock=lambda: now[0],
                     reta_size=4)  # fmt: skip
    seen = []
    with pool() as made:
        bench = Bench(made, model)
        back_end = RteFlow(model)

        def where(at: float, data: bytes = FRAMES[1]) -> int:
            now[0] = at
            return next(k for k, queue in enumerate(bench.send([data])) if queue)

        by_hash = where(0.0)
        back_end.add(SteeringRule(proto="udp", to=f"queue {(by_hash + 1) % 4}"))
        seen += [where(at) - by_hash & 3 for at in (1.9, 2.5, 3.5)]  # late, away while it is written, there
        back_end.close()
        assert where(6.0) == by_hash
        model.update_reta(dict.fromkeys(range(4), (by_hash + 1) % 4))
        each = []
        for step in range(6):
            now[0] = 7.9 + 0.5 * step
            each.append(sum(bucket != before for bucket, before in zip(model.table().reta, range(4), strict=True)))
            where(now[0])
        seen += [each, where(99.0) - by_hash & 3]
        bench.close()
    return seen


def test_changes_that_come_late_and_piece_by_piece_are_seen_by_the_packets_in_between() -> None:
    *rule, reta, moved = alone(_late)
    assert rule == [0, 0, 1]
    assert reta == [0, 1, 2, 2, 3, 3] or sorted(reta) == reta
    assert reta[0] == 0
    assert reta[-1] == 3, "one of four buckets was there already"
    assert moved == 1


def _hashes() -> None:
    back = FRAMES[3][:26] + FRAMES[3][30:34] + FRAMES[3][26:30] + FRAMES[3][36:38] + FRAMES[3][34:36] + FRAMES[3][38:]
    with pool() as made:
        bench = Bench(made, NicModel("net_ice", queues=4, key=SYMMETRIC_KEY))
        bench.wire.inject([FRAMES[3], back])
        bench.port.pump()
        (one,) = {(k, hashed) for k, queue in enumerate(taken(bench.port)) for _, hashed, *_ in queue}
        assert one[1] > 0
        bench.port.model.hash_ports(["TCP"])
        bench.wire.inject([FRAMES[3], FRAMES[3][:34] + b"\x12\x34" + FRAMES[3][36:]])
        bench.port.pump()
        (other,) = {(k, hashed) for k, queue in enumerate(taken(bench.port)) for _, hashed, *_ in queue}
        assert other[1] != one[1]
        bench.close()


def test_both_directions_share_a_queue_by_a_symmetric_key_and_ports_are_hashed_as_it_is_told() -> None:
    alone(_hashes)


def _full() -> dict[str, Any]:
    with pool() as made:
        bench = Bench(made, NicModel("model", queues=2), ring_size=16)
        RteFlow(bench.port.model).add(SteeringRule(to="queue 1"))
        bench.wire.inject(FRAMES[:40])
        bench.port.pump()
        counted, stats = bench.port.counted, bench.port.stats()
        assert bench.port.deepest and bench.port.deepest >= 40
        assert [data for data, *_ in taken(bench.port)[1]] == FRAMES[:15]
        assert "itself" in raised(lambda: NicPort.over(NicModel(), made, bench.wire, own_thread=True).pump()).message
        bench.port.pump()
        bench.close()
    return {"counted": counted, "missed": stats.imissed}


def test_what_finds_its_queue_full_is_dropped_and_counted() -> None:
    found = alone(_full)
    assert found["counted"] == {"came": 40, "dropped": 0, "sent": 0, "unsent": 0, "put": [0, 15], "missed": [0, 25]}
    assert found["missed"] == 25


def _sent() -> list[bytes]:
    with pool() as made:
        bench = Bench(made, NicModel("model", queues=2))
        bench.wire.inject(FRAMES[:20])
        bench.port.pump()
        for queue in (0, 1):
            mbufs = native.receive(bench.port.id, queue, 32)
            assert bench.port.transmit(queue, mbufs) == len(mbufs)
        bench.port.pump()
        found = bench.wire.drain()
        assert bench.port.stats().opackets == 20
        bench.close()
    return found


def test_what_is_sent_on_any_queue_leaves_by_the_wire() -> None:
    assert sorted(alone(_sent)) == sorted(FRAMES[:20])


def _threaded(rate: float) -> dict[str, Any]:
    """Each frame 50 times to two queues, while a rule comes and goes: in force when the call returns."""
    with pool() as made:
        model = NicModel("net_mlx5", queues=2)
        port = NicPort.over(model, made, frames=FRAMES, times=50, rate=rate, own_thread=True, ring_size=64)
        port.start()
        back_end, got, seen = RteFlow(port.model), [0, 0], set()
        until = time.monotonic() + 60
        while sum(got) + sum(port.plane.of_queues("missed")) < 50 * len(FRAMES) and time.monotonic() < until:
            rule = back_end.add(SteeringRule(proto="udp", to="queue 1"))
            seen.add(port.plane.is_read)
            for queue, packets in enumerate(taken(port)):
                got[queue] += len(packets)
            back_end.remove(rule)
            for queue, packets in enumerate(taken(port)):
                got[queue] += len(packets)
        done, missed = port.is_done, sum(port.plane.of_queues("missed"))
        port.close()
        assert threading.active_count() == 1
    return {"got": sum(got), "missed": missed, "seen": seen, "done": done, "both": all(got)}


@pytest.mark.parametrize("rate", [0.0, 1e6])
def test_a_thread_of_its_own_follows_rules_and_loses_nothing_unseen(rate: float) -> None:
    found = alone(_threaded, rate)
    assert found["got"] + found["missed"] == 50 * len(FRAMES)
    assert rate or not found["missed"], "a wire without a rate waits"
    assert found["seen"] == {True}
    assert found["done"] and found["both"]


def _played(rate: float) -> dict[str, Any]:
    """Two threads poll a queue each, and nobody else plays the NIC, while a rule comes and goes."""
    from burstline.dpdk import thread

    with pool() as made:
        model = NicModel("net_mlx5", queues=2)
        port = NicPort.over(model, made, frames=FRAMES, times=50, rate=rate, by_workers=True, ring_size=64)
        assert "itself" in raised(port.pump).message
        port.start()
        back_end, got, seen, ended = RteFlow(port.model), [0, 0], set(), threading.Event()
        back_end.remove(back_end.add(SteeringRule(proto="udp", to="queue 1")))  # nobody has polled yet

        def poll(queue: int) -> None:
            with thread.registered():
                while not ended.is_set():
                    mbufs = native.receive(port.id, queue, 32)
                    free(mbufs)
                    got[queue] += len(mbufs)

        threads = [threading.Thread(target=poll, args=(queue,)) for queue in range(2)]
        for each in threads:
            each.start()
        until = time.monotonic() + 60
        while sum(got) + sum(port.plane.of_queues("missed")) < 50 * len(FRAMES) and time.monotonic() < until:
            rule = back_end.add(SteeringRule(proto="udp", to="queue 1"))
            seen.add(port.plane.is_read)
            back_end.remove(rule)
            seen.add(port.plane.is_read)
        ended.set()
        for each in threads:
            each.join()
        done, missed, polls = port.is_done, sum(port.plane.of_queues("missed")), port.plane.context.get("polls")
        back_end.add(SteeringRule(proto="udp", to="queue 1"))  # nobody polls any more
        port.close()
        assert threading.active_count() == 1
    return {"got": sum(got), "missed": missed, "seen": seen, "done": done, "polls": polls}


@pytest.mark.parametrize("rate", [0.0, 1e5])
def test_those_who_poll_play_it_one_at_a_time_and_lose_nothing_unseen(rate: float) -> None:
    found = alone(_played, rate)
    assert found["got"] + found["missed"] == 50 * len(FRAMES)
    assert rate or not found["missed"], "a wire without a rate waits"
    assert found["seen"] <= {True} and found["done"] and found["polls"]


def _stamped(rate: float, at: int) -> tuple[list[int], int, int]:
    with pool() as made:
        frames, began = FRAMES, time.time_ns()
        port = NicPort.over(NicModel("net_ice", queues=1), made, frames=frames, times=2, rate=rate, stamp=at)
        port.start()
        found: list[int] = []
        while len(found) < 2 * len(frames):
            port.pump()
            for number, (data, *_) in enumerate(taken(port)[0], len(found)):
                expected = frames[number % len(frames)]
                assert (data[:at], data[at + 8 :]) == (expected[:at], expected[at + 8 :])
                found.append(int.from_bytes(data[at : at + 8], "big"))
        port.close()
        over = partial(NicPort.over, NicModel(), made, frames=frames)
        assert "no time" in raised(partial(over, stamp=at)).message, "without a rate nothing is due"
        assert "no time" in raised(partial(over, stamp=len(frames[0]) - 7, rate=rate)).message
    return found, began, time.time_ns()


def test_frames_hold_the_time_when_they_were_due() -> None:
    found, began, ended = alone(_stamped, 10_000.0, 42)
    assert began <= found[0] and found[-1] <= ended
    assert {round((later - before) / 1000) for before, later in itertools.pairwise(found)} == {100}
