"""What a `SteeringTable` is to the software director, as maps and a program in the kernel."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence

from burstline.errors import BurstlineError, UsageError
from burstline.packet.flow_key import KEY_SIZE
from burstline.packet.machine import USUAL_PORTS, TunnelPorts
from burstline.state.exact_rules import TableFull
from burstline.state.steering_rules import Wildcard, grouped
from burstline.state.steering_table import (
    MOST_COUNTERS,
    MOST_QUEUES,
    check_bucket,
    check_reta,
)
from burstline.state.steering_words import Decision
from burstline.state.toeplitz import Toeplitz
from burstline.steering.xdp.hash import byte_tables
from burstline.steering.xdp.layout import (
    EXACT_AT,
    GROUPS_AT,
    MOST_BUCKETS,
    MOST_GROUPED,
    RETA_AT,
    SCRATCH,
    SETTINGS,
    TABLES,
    VALUE,
)
from burstline.steering.xdp.link import Link
from burstline.steering.xdp.loaded import Loaded
from burstline.steering.xdp.maps import HASH, NO_PREALLOC, PERCPU_ARRAY, XSKMAP, Counters, Map, Settings
from burstline.steering.xdp.object import Place
from burstline.steering.xdp.program import Shape


class Exact(Map):
    """Exact rules by flow key. Not preallocated: there a reader may see the decision of a key that took the place of
    the one it asked for; else memory is given back only when all have stopped to read (kernel/bpf/hashtab.c)."""

    def __init__(self, flows: int) -> None:
        super().__init__("exact", HASH, KEY_SIZE, VALUE, flows, NO_PREALLOC)
        self.flows = flows
        self.keys: set[bytes] = set()

    def __len__(self) -> int:
        return len(self.keys)

    def put(self, keys: Sequence[bytes], ranks: Sequence[int], decisions: Sequence[Decision]) -> None:
        """Raises TableFull, and puts none."""
        count = len(self.keys) + sum(key not in self.keys for key in keys)
        if count > self.flows:
            raise TableFull(f"{count:,} exact rules are more than {self.flows:,}", "remove some first")
        values = [struct.pack("<QQ", rank, d.word) for rank, d in zip(ranks, decisions, strict=True)]
        try:
            if len(keys) == 1:
                self.set(keys[0], values[0])
            elif keys:
                self.set_many(b"".join(keys), b"".join(values))
        except OSError as error:
            hint = "there is no memory for them" if error.errno == errno.ENOMEM else "steer in software"
            raise TableFull(f"the kernel took no more exact rules: {error.strerror}", hint) from None
        self.keys.update(keys)


class XdpTable:
    """Maps and the program over them; without a `link` it only runs when it is asked to. Raises BurstlineError."""

    def __init__(
        self,
        queues: int,
        *,
        rx_queues: int = 1,
        buckets: int = 128,
        toeplitz: Toeplitz | None = None,
        flows: int = 1 << 16,
        tunnels: TunnelPorts = USUAL_PORTS,
    ) -> None:
        if type(queues) is not int or not 1 <= queues <= MOST_QUEUES:
            raise UsageError(f"queues is {queues!r}", f"give 1 to {MOST_QUEUES:,}")
        if type(buckets) is not int or not 1 <= buckets <= MOST_BUCKETS or buckets & buckets - 1:
            raise UsageError(f"buckets is {buckets!r}", f"give a power of two up to {MOST_BUCKETS:,}")
        if type(flows) is not int or flows < 1:
            raise UsageError(f"flows is {flows!r}", "give how many exact rules there is to be room for")
        hashing = toeplitz or Toeplitz()
        self.queues, self.rx_queues, self.buckets = queues, rx_queues, buckets
        self.shape = Shape(queues, buckets, hashing.fields == "ports", tunnels)
        self.wildcards: tuple[Wildcard, ...] = ()
        self.link: Link | None = None
        self._bases: dict[int, tuple[int, int]] = {}
        self._maps: list[Map] = []
        self._loaded: Loaded | None = None
        try:
            self._scratch = self._held(Map("scratch", PERCPU_ARRAY, 4, SCRATCH, 1))
            self._settings = Settings("settings", SETTINGS)
            self._held(self._settings)
            self._rules, self._queues = Counters("rules", MOST_COUNTERS + 1), Counters("queues", queues + 1)
            self._held(self._rules), self._held(self._queues)
            self.sockets = self._held(Map("sockets", XSKMAP, 4, 4, queues * rx_queues))
            self.exact = Exact(flows)
            self._settings.write(0, byte_tables(hashing.key))
            self._reta = self._settings.words("I", RETA_AT, buckets)
            self._any_exact = self._settings.words("Q", EXACT_AT, 1)
            self.set_reta([bucket % queues for bucket in range(buckets)])
            self._loaded = self._load((), self.exact)
        except Exception:
            self.close()
            raise
        assert TABLES <= RETA_AT

    def _held(self, made: Map) -> Map:
        self._maps.append(made)
        return made

    @property
    def program(self) -> Loaded:
        assert self._loaded is not None
        return self._loaded

    def set_reta(self, queues: Sequence[int]) -> None:
        """The queue of each bucket."""
        check_reta(queues, self.buckets, self.queues)
        for bucket, queue in enumerate(queues):
            self._reta[bucket] = queue

    def move_bucket(self, bucket: int, queue: int) -> None:
        """From now on a bucket's packets go to this queue. Raises UsageError."""
        check_bucket(bucket, queue, self.buckets, self.queues)
        self._reta[bucket] = queue

    def reta(self) -> list[int]:
        """The queue of each bucket."""
        return list(self._reta)

    def set_wildcards(self, wildcards: Sequence[Wildcard], groups: Sequence[Sequence[int]] = ()) -> None:
        """Another program in place of this one, between two packets. Raises BurstlineError, and leaves all as it is."""
        self._write_groups(groups)
        ordered = tuple(sorted(wildcards, key=lambda w: w.rank))
        if ordered != self.wildcards:
            self._take(self._load(ordered, self.exact), ordered, self.exact)

    def replace(
        self,
        wildcards: Sequence[Wildcard],
        groups: Sequence[Sequence[int]],
        keys: bytes,
        ranks: Sequence[int],
        decisions: Sequence[Decision],
    ) -> None:
        """Other rules of both kinds, between two packets. Raises TableFull, and leaves all as it was."""
        self._write_groups(groups)
        ordered = tuple(sorted(wildcards, key=lambda w: w.rank))
        exact = Exact(self.exact.flows)
        try:
            exact.put([keys[at : at + KEY_SIZE] for at in range(0, len(keys), KEY_SIZE)], ranks, decisions)
            loaded = self._load(ordered, exact)
        except Exception:
            exact.close()
            raise
        self._any_exact[0] = 1  # whichever of the two programs asks
        self._take(loaded, ordered, exact)
        self._any_exact[0] = len(exact)

    def put(self, keys: bytes, ranks: Sequence[int], decisions: Sequence[Decision]) -> None:
        """Exact rules for flow keys of 40 bytes; one that is there gets the new decision. Raises TableFull."""
        self.exact.put([keys[at : at + KEY_SIZE] for at in range(0, len(keys), KEY_SIZE)], ranks, decisions)
        self._any_exact[0] = len(self.exact)

    def remove(self, keys: bytes) -> int:
        """No rule for this key any more; returns how many there were."""
        self.exact.keys.discard(keys)
        found = self.exact.remove(keys)
        self._any_exact[0] = len(self.exact)
        return int(found)

    def restart(self, counter: int) -> None:
        """Count by this counter from 0 on."""
        self._bases[counter] = self._rules.read(counter)

    def counted(self, counter: int) -> tuple[int, int]:
        """Packets and bytes of a counter."""
        (packets, size), before = self._rules.read(counter), self._bases.get(counter, (0, 0))
        return packets - before[0], size - before[1]

    def queue_counts(self) -> list[tuple[int, int]]:
        """Packets and bytes that were steered to each queue; the last pair is of those that rules dropped."""
        return [self._queues.read(queue) for queue in range(self.queues + 1)]

    def close(self) -> None:
        """Nothing of it is in the kernel any more."""
        for held in (self.link, self._loaded, getattr(self, "exact", None), *self._maps):
            if held is not None:
                held.close()
        self.link = None

    def _load(self, wildcards: Sequence[Wildcard], exact: Exact) -> Loaded:
        return Loaded.of_rules(self.shape, wildcards, self.places(exact))

    def places(self, exact: Exact | None = None) -> dict[str, Place]:
        """What a program names its maps."""
        return {m.name: Place(m.fd, m is self._settings) for m in (*self._maps, self.exact if exact is None else exact)}

    def _take(self, loaded: Loaded, wildcards: tuple[Wildcard, ...], exact: Exact) -> None:
        """This program counts from the next packet on."""
        if self.link is not None:
            try:
                self.link.update(loaded.fd)
            except Exception:
                loaded.close()
                raise
        self.program.close()
        if exact is not self.exact:
            self.exact.close()
        self._loaded, self.wildcards, self.exact = loaded, wildcards, exact

    def _write_groups(self, groups: Sequence[Sequence[int]]) -> None:
        """Those that were there before keep their places, so that a program that still runs finds them."""
        numbers = grouped(groups)
        if len(numbers) > MOST_GROUPED:
            raise BurstlineError(
                f"the rules name {len(groups):,} groups of cores, which are {len(numbers):,} numbers",
                f"an XDP program holds {MOST_GROUPED:,}: let rules share groups",
            )
        self._settings.write(GROUPS_AT, numbers.tobytes())
