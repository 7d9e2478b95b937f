"""`SteeringTable`: which queue each packet goes to. By rules, the first that matches; else by its hash, as RSS does.

Rules that ask for a whole flow key, and they can be a million, lie in a hash table; the few others are compared one
after the other, sixteen packets at once. Both have a rank, and the lower one decides. `steering/software.py` makes
these numbers of `SteeringRule`s.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from burstline.errors import UsageError
from burstline.native.fieldtypes import i64, shared
from burstline.native.struct import Struct
from burstline.packet.flow_key import flow_key
from burstline.state.base import LookAhead
from burstline.state.exact_rules import ExactRules
from burstline.state.published import Published
from burstline.state.region import Block, Region
from burstline.state.rule_set import RESULTS
from burstline.state.steering_rules import SteeringRules, Wildcard
from burstline.state.steering_words import Decision, words_of
from burstline.state.toeplitz import DEFAULT_KEY, SYMMETRIC_KEY, Toeplitz

MOST_QUEUES, MOST_BUCKETS, MOST_COUNTERS = 1024, 1 << 16, (1 << 15) - 1
COUNTER_SIZE = 16  # bytes: packets, bytes


class SteeringHead(Struct):
    """A worker's own."""

    tables: shared  # the address of the SteeringTables that count from the next burst on
    reading: shared  # of those that the worker reads
    results: i64  # address: of each packet of the burst its queue, 32 bits, or -1
    marks: i64  # and its mark
    decided: i64  # and its decision, 64 bits, before it has a queue
    toeplitz: i64  # address of a ToeplitzHead
    hashes: i64  # its results
    reta: i64  # address of the queue of each bucket, 16 bits
    bucket_mask: i64
    ports: i64  # packets of ports from this number on are left out
    counters: i64  # address of packets and bytes, by counter


class SteeringTable(LookAhead):
    """`table = SteeringTable(queues=4)`; in a stage `table.queue(pkt)` is the queue that the packet goes to, or -1
    where a rule drops it, and `table.mark(pkt)` the mark that a rule gives it, or 0.

    Without a rule that is the queue of its bucket: of `buckets`, a power of two, the one that its Toeplitz hash says;
    `symmetric` puts both directions of a flow into one. `flows` is how many exact rules there is room for. Of
    packets from port number `ports` on nothing is worked out. Raises UsageError.
    """

    def __init__(
        self,
        queues: int,
        *,
        buckets: int = 128,
        key: bytes = DEFAULT_KEY,
        symmetric: bool = False,
        flows: int = 1 << 16,
        ports: int = 1 << 16,
    ) -> None:
        if type(queues) is not int or not 1 <= queues <= MOST_QUEUES:
            raise UsageError(f"queues is {queues!r}", f"give 1 to {MOST_QUEUES:,}")
        if type(buckets) is not int or not 1 <= buckets <= MOST_BUCKETS or buckets & buckets - 1:
            raise UsageError(f"buckets is {buckets!r}", f"give a power of two up to {MOST_BUCKETS:,}")
        self.queues, self.buckets, self._ports = queues, buckets, ports
        self._toeplitz = Toeplitz(SYMMETRIC_KEY[:52] if symmetric else key)
        self._reta = Region(2 * buckets)
        self._heads: list[tuple[Block, tuple[Region, ...]]] = []
        self._built = Published[SteeringRules]()
        self._own = [[0, 0] for _ in range(MOST_COUNTERS + 1)]
        self._bases: dict[int, tuple[int, int]] = {}  # what was counted before for another rule
        self._publishing = threading.Lock()
        self.wildcards: tuple[Wildcard, ...] = ()
        self.groups: tuple[tuple[int, ...], ...] = ()
        self.exact = ExactRules(flows)
        self.set_reta([bucket % queues for bucket in range(buckets)])

    # What is set by the control thread, also while packets flow.

    def set_reta(self, queues: Sequence[int]) -> None:
        """The queue of each bucket."""
        check_reta(queues, self.buckets, self.queues)
        for bucket, queue in enumerate(queues):
            self.move_bucket(bucket, queue)

    def move_bucket(self, bucket: int, queue: int) -> None:
        """From now on a bucket's packets go to this queue. Raises UsageError."""
        check_bucket(bucket, queue, self.buckets, self.queues)
        self._reta.write(2 * bucket, queue.to_bytes(2, "little"))

    def reta(self) -> list[int]:
        """The queue of each bucket."""
        return [int.from_bytes(self._reta.read(2 * b, 2), "little") for b in range(self.buckets)]

    @property
    def key(self) -> bytes:
        """Of the Toeplitz hash."""
        return self._toeplitz.key

    def set_wildcards(self, wildcards: Sequence[Wildcard], groups: Sequence[Sequence[int]] = ()) -> None:
        """Other rules that are compared, all at once, for all packets from the next burst on. A decision's `group` is
        one of `groups`, among whose queues the hash chooses."""
        with self._publishing:
            self.wildcards = tuple(sorted(wildcards, key=lambda w: w.rank))
            self.groups = tuple(tuple(group) for group in groups)
            self._publish()

    def replace(
        self,
        wildcards: Sequence[Wildcard],
        groups: Sequence[Sequence[int]],
        keys: bytes,
        ranks: Sequence[int],
        decisions: Sequence[Decision],
    ) -> None:
        """Other rules of both kinds, all at once. Raises TableFull, and leaves all as it was."""
        exact = ExactRules(self.exact.flows)
        exact.put(keys, ranks, [d.word for d in decisions])
        with self._publishing:
            self.exact = exact
            self.wildcards = tuple(sorted(wildcards, key=lambda w: w.rank))
            self.groups = tuple(tuple(group) for group in groups)
            self._publish()

    def put(self, keys: bytes, ranks: Sequence[int], decisions: Sequence[Decision]) -> None:
        """Exact rules for flow keys of 40 bytes each (packet/flow_key.py); one that is there gets the new decision.
        Raises TableFull, and puts none."""
        with self._publishing:
            if self.exact.put(keys, ranks, [d.word for d in decisions]):
                self._publish()

    def put_words(self, keys: Any, rank: int, word: int) -> None:
        """The same for an array of keys, all with one decision: `Decision.word`."""
        with self._publishing:
            count = len(keys)
            if self.exact.put(keys.tobytes(), [rank] * count, [word] * count):
                self._publish()

    def remove(self, keys: bytes) -> int:
        """No rule for these keys any more; returns how many there were."""
        with self._publishing:
            return self.exact.remove(keys)

    def restart(self, counter: int) -> None:
        """Count by this counter from 0 on."""
        self._bases[counter] = self._counted(counter)

    def counted(self, counter: int) -> tuple[int, int]:
        """Packets and bytes of a counter, over all workers."""
        packets, size = self._counted(counter)
        before = self._bases.get(counter, (0, 0))
        return packets - before[0], size - before[1]

    def _counted(self, counter: int) -> tuple[int, int]:
        at = COUNTER_SIZE * counter
        found = [(regions[-1].i64(at), regions[-1].i64(at + 8)) for _, regions in self._heads]
        packets, size = self._own[counter]
        return packets + sum(p for p, _ in found), size + sum(b for _, b in found)

    # What stages ask.

    def queue(self, pkt: Any) -> int:
        """The queue of a packet, or -1."""
        return int(self.seen(pkt, self._decide)[0])

    def mark(self, pkt: Any) -> int:
        """Its mark, or 0."""
        return int(self.seen(pkt, self._decide)[1])

    def bucket(self, pkt: Any) -> int:
        """The bucket that its hash says."""
        return self._toeplitz._hash(pkt) & self.buckets - 1

    def look_ahead(self, pkt: Any) -> None:
        if pkt.port < self._ports:
            self.note(pkt, self._decide(pkt, count=True))

    def _decide(self, pkt: Any, count: bool = False) -> tuple[int, int]:
        words, key = words_of(pkt), flow_key(pkt._data, pkt._levels.outer)
        found = [(w.rank, w.decision) for w in self.wildcards if all(c.holds(words) for c in w.conditions)][:1]
        if pkt.tcp or pkt.udp or pkt.sctp:
            exact = self.exact.find(key)
            found += [(exact[0], Decision.of(exact[1]))] if exact else []
        hashed = self._toeplitz._hash(pkt)
        queue = self.reta()[hashed & self.buckets - 1]
        if not found:
            return queue, 0
        decision = min(found, key=lambda pair: pair[0])[1]
        if count and decision.counter:
            self._own[decision.counter][0] += 1
            self._own[decision.counter][1] += pkt.length
        return decision.queue_of(hashed, queue, self.groups), decision.mark

    # As State.

    def signature(self) -> tuple[Any, ...]:
        return ()

    def attach(self) -> int:
        with self._publishing:  # or rules that change meanwhile are published past a worker that begins
            if not self._heads:
                self._built.begin(self._build())
            worker = len(self._heads)
            head = Block(SteeringHead.layout)
            sizes = (4 * RESULTS, 4 * RESULTS, 8 * RESULTS, COUNTER_SIZE * (MOST_COUNTERS + 1))
            regions = tuple(Region(size) for size in sizes)
            hashed = self._toeplitz.address(worker)
            head.set(
                tables=self._built.last.address, results=regions[0].address, marks=regions[1].address,
                decided=regions[2].address, counters=regions[3].address, toeplitz=hashed,
                hashes=self._toeplitz.results(worker), reta=self._reta.address, bucket_mask=self.buckets - 1,
                ports=self._ports,
            )  # fmt: skip
            self._heads.append((head, regions))
            return head.address

    def addresses(self) -> list[int]:
        return [head.address for head, _ in self._heads]

    def reset(self) -> None:
        """Rules stay: they are no traffic's."""
        self._heads = []
        self._built.end()
        self._toeplitz.reset()
        self._bases = {}
        self._own = [[0, 0] for _ in range(MOST_COUNTERS + 1)]

    def _build(self) -> SteeringRules:
        return SteeringRules(self.wildcards, self.groups, self.exact)

    def _publish(self) -> None:
        if self._heads:
            self._built.publish(self._build(), [head for head, _ in self._heads])


def check_reta(queues: Sequence[int], buckets: int, count: int) -> None:
    """Raises UsageError for what is no RETA of so many buckets and queues."""
    if len(queues) != buckets or not all(0 <= queue < count for queue in queues):
        raise UsageError(f"a RETA of {len(queues)} entries", f"give {buckets}, of 0 to {count - 1}")


def check_bucket(bucket: int, queue: int, buckets: int, queues: int) -> None:
    """Raises UsageError for a bucket or a queue that there is not."""
    if not 0 <= bucket < buckets or not 0 <= queue < queues:
        hint = f"buckets are 0 to {buckets - 1}, queues 0 to {queues - 1}"
        raise UsageError(f"there is no bucket {bucket} or no queue {queue}", hint)
