"""`NicPort`: the NIC in software as a port of DPDK, whose packets come by a wire.

    wire (any port of DPDK, or frames that are made) -> the model's table -> a ring for each queue -> workers

To workers it is a port with as many queues as the model has: an mbuf has the hash, and the mark of the rule that it
matched, as drivers write them (rte_mbuf_core.h: RTE_MBUF_F_RX_RSS_HASH, RTE_MBUF_F_RX_FDIR_ID). What is sent on any
queue leaves by the wire.
"""

from __future__ import annotations

import itertools
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from burstline.dpdk import thread
from burstline.dpdk.binding import native
from burstline.dpdk.clock import Clock
from burstline.dpdk.pool import Pool
from burstline.dpdk.port import Port, free
from burstline.dpdk.port_info import PortStats
from burstline.dpdk.ring_port import RingPort
from burstline.errors import UsageError
from burstline.state.region import Region
from burstline.steering.model.data_plane import DataPlane
from burstline.steering.model.nic import NicModel
from burstline.steering.model.pump import BURST, play

RING = 1024  # packets of a queue, less one
MOST_QUEUES = 16  # RTE_PMD_RING_MAX_RX_RINGS
SLICE = 1024  # packets between two looks at whether to end
IDLE = 50e-6  # seconds until the next look at a silent wire
LOOK = 0.01  # seconds, at most, until a change that is due is seen to be
IN_FORCE = 1.0  # seconds that a call waits, at most, for the burst at hand to end
ENDED = 0.2  # seconds after which workers that were to play it are taken to have ended
STAMP = 8  # bytes


class NicPort(RingPort):
    """`port = NicPort.over(NicModel("net_ice", queues=4), pool, wire)`; `port.model` takes rules and RETA updates."""

    model: NicModel
    plane: DataPlane
    _by_workers: bool
    _players: list[int]  # handles of what plays it, by queue

    @classmethod
    def over(
        cls,
        model: NicModel,
        pool: Pool,
        wire: Port | None = None,
        *,
        frames: Sequence[bytes] = (),
        times: int = 1,
        rate: float = 0.0,
        own_thread: bool = False,
        by_workers: bool = False,
        owns_wire: bool = False,
        ring_size: int = RING,
        stamp: int | None = None,
        clock: Clock | None = None,
    ) -> NicPort:
        """Packets come from queue 0 of `wire`, a started port that stays the caller's (with
        `owns_wire` it starts and closes with this one); or they are `frames`, in their
        order, so many `times`, `rate` a second. Of a rate of 0 the wire is as fast as the workers: what finds its queue
        full waits, and all behind it, as with PAUSE frames (IEEE 802.3x); else it is dropped, and counted (`imissed`).

        With `own_thread` a thread of its own works from `start` on, with `by_workers` whoever polls a queue does, one
        at a time, and a call of the model returns when what it changed at once is in force; else `pump` does.

        Of frames with a rate, the time when each was due by `clock` can be written into it, from byte `stamp` on: ns
        since the epoch, 64 bits, big-endian; headers' checksums are left as they are. Raises UsageError.
        """
        if model.queues > MOST_QUEUES:
            raise UsageError(f"{model.queues} queues", f"a port of rings has at most {MOST_QUEUES}")
        if (wire is None) == (not frames) or times < 1 or rate < 0:
            raise UsageError("a NIC in software needs a wire or frames", "give a started port, or frames, one or more")
        if stamp is not None and not (rate and frames and 0 <= stamp <= min(map(len, frames)) - STAMP):
            raise UsageError(
                f"there is no time to write at byte {stamp} of each frame",
                "give frames that are 8 bytes longer than that, and a rate",
            )
        if frames and max(map(len, frames)) > pool.data_room:
            longest = max(map(len, frames))
            raise UsageError(
                f"a frame of {longest} bytes does not fit into {pool.data_room}", f"[pools] buffer = {longest}"
            )
        port = cls.pair(pool, queues=model.queues, ring_size=ring_size)
        assert isinstance(port, NicPort)
        port._by_workers, port._players, port.deepest = by_workers, [], ring_size + BURST
        port._begin(model, pool, wire, own_thread, owns_wire)
        port._make(frames, times, rate)
        if stamp is not None:
            known = clock or Clock.read()
            port.plane.context.set(
                stamp=stamp, period=int(native.tsc_hz() / rate * (1 << 32)), clock_start=known.counter,
                clock_ns=known.ns, clock_scale=known.scale,
            )  # fmt: skip
        return port

    def _begin(self, model: NicModel, pool: Pool, wire: Port | None, own_thread: bool, owns_wire: bool) -> None:
        self.model, self.plane, self._wire, self.rss = model, DataPlane(model), wire, True
        self._inner = self.other_side()
        calls = {"receive": "rx", "transmit": "tx", "allocate": "alloc", "free": "free"}
        self.plane.context.set(
            port=self.id, inner=self._inner.id, wire=-1 if wire is None else wire.id, pool=pool.address,
            **{name: native.SYMBOLS[f"bl_dpdk_{call}"] for name, call in calls.items()},
        )  # fmt: skip
        self.plane.load()
        self._own_thread, self._owns_wire, self._ending = own_thread, owns_wire, threading.Event()
        self._told = threading.Event()
        self._threads: list[threading.Thread] = []
        model.follow(self._in_force)

    def _make(self, frames: Sequence[bytes], times: int, rate: float) -> None:
        data, index = Region(sum(map(len, frames))), Region(16 * len(frames))
        self._frames = data, index
        data.write(0, b"".join(frames))
        starts = itertools.accumulate(map(len, frames), initial=data.address)
        index.write(0, b"".join(struct.pack("<2q", len(frame), at) for frame, at in zip(frames, starts, strict=False)))
        self.plane.context.set(
            frames=index.address, frame_count=len(frames), left=len(frames) * times,
            waits=int(bool(frames) and rate == 0), rate=int(rate * (1 << 32) / native.tsc_hz()),
        )  # fmt: skip

    def start(self) -> None:
        super().start()
        self._inner.start()
        if self._wire is not None and self._owns_wire:
            self._wire.start()
        if self._threads:
            return
        if self._by_workers:
            play.load()
            at = self.plane.context.address
            self._players = [native.port_receiver(self.id, queue, play.address, at) for queue in range(self.queues)]
        works = [self._work] if self._own_thread else []
        follows = [self._follow] if self._own_thread or self._by_workers else []
        self._threads = [threading.Thread(target=run, daemon=True) for run in (*works, *follows)]
        for each in self._threads:
            each.start()

    def pump(self, most: int = 1 << 30) -> int:
        """Up to `most` packets of the wire to their queues, by what is in force now, and all that was sent to the wire;
        returns how many moved, either way. Raises UsageError where others do it."""
        if self._own_thread or self._by_workers:
            hint = "open it without own_thread and by_workers to go step by step"
            raise UsageError("this NIC works by itself", hint)
        self.plane.follow()
        return self.plane.work(most)

    @property
    def is_done(self) -> bool:
        """All frames were made, and lie in their queues or are gone."""
        return self.plane.context.get("left") == 0 and not any(self.plane.of_queues("waiting"))

    @property
    def counted(self) -> dict[str, int | list[int]]:
        """Packets: that came by the wire, that a rule dropped (or that `isolate` kept out), that were put into each
        queue, that found it full, that were sent, and that the wire did not take."""
        get, of = self.plane.context.get, self.plane.of_queues
        found: dict[str, int | list[int]] = {name: get(name) for name in ("came", "dropped", "sent", "unsent")}
        return found | {"put": of("put"), "missed": of("missed")}

    def stats(self) -> PortStats:
        """As of a NIC: what found its queue full is `imissed`."""
        get = self.plane.context.get
        return replace(
            super().stats(), imissed=sum(self.plane.of_queues("missed")), ibytes=get("came_bytes"),
            opackets=get("sent"), obytes=get("sent_bytes"), oerrors=get("unsent"),
        )  # fmt: skip

    def close(self) -> None:
        """Also frees what is in the queues."""
        if self._closed:
            return
        if hasattr(self, "plane"):
            self._ending.set()
            self._told.set()
            for each in self._threads:
                each.join()
            for queue, player in enumerate(self._players):
                native.port_receiver_gone(self.id, queue, player)
            for queue, waiting in enumerate(self.plane.of_queues("waiting")):
                free([self.plane.waits(queue, place) for place in range(waiting)])
            self._inner.close()
            if self._wire is not None and self._owns_wire:
                self._wire.close()
        super().close()

    # ---- threads ----

    def _work(self) -> None:
        with thread.registered():
            if self.plane.context.get("rate"):
                self._wait_for_workers()
            while not self._ending.is_set():
                if not self.plane.work(SLICE):
                    time.sleep(IDLE)

    def _wait_for_workers(self) -> None:
        """A rate begins when somebody polls: the first burst is there before."""
        context = self.plane.context
        rate = context.get("rate")
        context.set(rate=0)
        self.plane.work(BURST)
        while self.waiting and not self._ending.is_set():
            self.plane.work(0)
            time.sleep(IDLE)
        context.set(rate=rate, began=native.tsc(), made=0)

    def _follow(self) -> None:
        """Changes that become due while nobody calls."""
        while not self._ending.is_set():
            self._told.clear()
            self.plane.follow()
            left = self.model.next_change()
            self._told.wait(None if left is None else min(left, LOOK))

    def _in_force(self) -> None:
        """What a call of the model ends with, where a thread is at work."""
        if not self._threads or self._ending.is_set():
            return
        self.plane.follow()
        self._told.set()
        polls = self.plane.context.get("polls")
        if self._by_workers and not polls:  # they have not begun
            return
        until = time.monotonic() + (ENDED if self._by_workers else IN_FORCE)
        while not self.plane.is_read and time.monotonic() < until:
            time.sleep(0)
