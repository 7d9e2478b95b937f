"""What decides which worker has a packet, around a live run's ports: back ends, a software director for ports that have
no other, moves of flows when rules change, and the controller that changes them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from burstline.engine.config import Config
from burstline.engine.flow_prefetch import NEAR
from burstline.engine.live_director import RING, LiveDirector
from burstline.engine.live_steering import LiveSteering, RssFacts
from burstline.engine.moves.flow_moves import FlowMoves, PortsWithMoves, at_once, sift_program
from burstline.engine.program import prepare
from burstline.engine.report import Report
from burstline.engine.steered import Steered, steered_by, unsent
from burstline.engine.threads import usable_cores
from burstline.engine.versions import Versions
from burstline.engine.worker import ENDED, SLACK, PortWorker
from burstline.errors import UsageError
from burstline.packet.burst import Burst
from burstline.pipeline.pipeline import Pipeline
from burstline.state.region import Block, Region
from burstline.state.steering_table import SteeringTable
from burstline.state.toeplitz import DEFAULT_KEY
from burstline.steering.edit import Done, Edit
from burstline.steering.rule import SteeringRule

if TYPE_CHECKING:
    from burstline.dpdk.port import Port
    from burstline.engine.live_controller import LiveController

# Seconds until a change at a port is surely in force, and what it sent before has arrived.
SETTLE = {"software": 0.0, "xdp": 0.0005, "rte_flow": 0.002}
MERGING = 0.001  # until software around a port has surely looked for what it held for long enough
DEEPEST = 4096  # packets that wait at a port at most, where it does not say


class DirectorAtWork(NamedTuple):
    by: LiveDirector
    versions: Versions
    context: Block
    stop: Region
    rooms: list[Region]

    def effective(self) -> Callable[[], bool]:
        """Whether what it now polls goes by the rules that there are at this moment."""
        polls = self.context.get("polls") + 2 * self.context.get("ports")
        return lambda: self.context.get("polls") >= polls or self.context.get("running") == ENDED


class LiveDirecting:
    """Of a run whose workers have these `cores`."""

    def __init__(self, steering: LiveSteering, config: Config, cores: Sequence[int]) -> None:
        self.steering, self.config, self._cores = steering, config, cores
        self.director: LiveDirector | None = None  # from when ports are open on, if some need one
        self.at_work: DirectorAtWork | None = None
        self.moves: FlowMoves | None = None
        self.control: LiveController | None = None
        self._ports: Steered | None = None  # all that packets come from, as one
        self._directed: list[int] = []  # ports that the director serves

    @property
    def moves_flows(self) -> bool:
        return self.steering.enabled and len(self._cores) > 1

    @property
    def is_controlled(self) -> bool:
        return self.config.steering_control.act != "off" or self.config.numa_balance.act != "off"

    def compile(self, stop: Callable[[], None]) -> None:
        """What surely will run, now: ports fill up while something is compiled."""
        if surely := self.steering.surely_directed():
            self._program(LiveDirector([1] * surely, self._cores), stop)
        if self.moves_flows:
            sift_program(self._tables(1, DEFAULT_KEY), self.config.engine.most_burst, self.config.parser.tunnel_ports)

    @contextmanager
    def opened(self, ports: Sequence[Port]) -> Iterator[list[Port]]:
        """What workers poll and send on, in place of ports where the director is between. Raises BurstlineError."""
        self._directed = self.steering.directed(ports)
        inner = list(ports)
        if not self._directed:
            yield inner
            return
        queues = [ports[n].queues if self.steering.receives(n) else 1 for n in self._directed]
        self.director = LiveDirector(queues, self._cores, symmetric=self.steering.symmetric)
        self.steering.direct_by(
            self.director.rules, RssFacts(self.director.table.key, tuple(self.director.table.reta()))
        )
        with self.director.opened([ports[number] for number in self._directed]) as rings:
            for number, ring in zip(self._directed, rings, strict=True):
                inner[number] = ring
            yield inner

    def begin(
        self,
        versions: Versions,
        contexts: Sequence[Block],
        ports: Sequence[Port],
        symbols: dict[str, int],
        *,
        stop: Callable[[], None],
        source: str,
        explain: Callable[[str], None] | None,
        holds: float = 0.0,
    ) -> None:
        """Get ready for workers with these contexts, whose software holds packets for so many seconds at most. Raises
        BurstlineError."""
        if self.director is not None:
            self.at_work = self._at_work(self.director, ports, symbols, stop)
        self._ports = steered = self._steered()
        if steered is None or not self.moves_flows:
            return
        self.moves = moves = self._moves(versions.pipeline, contexts, ports, steered, holds)
        versions.still = lambda: moves.still(lambda: versions.pipeline)
        if self.is_controlled:
            self.control = self._controlled(versions.pipeline, contexts, ports, source, explain)

    @property
    def core(self) -> int | None:
        """Of the director's thread, if there is one."""
        return _spare_core(self._cores) if self.at_work else None

    def step(self, contexts: Sequence[Block], stop_workers: Region) -> None:
        if self.at_work:
            self.at_work.by.step(self.at_work.context, contexts, stop_workers, self.at_work.stop)

    def end(self) -> bool:
        """The run is to end. Flows that move come to where they go; False where workers may be stopped at once, else
        `step` will do it."""
        if self.control:
            self.control.end()
        if self.moves:
            self.moves.end()
        if self.director:
            self.director.end()
        return self.director is not None

    @property
    def is_ending(self) -> bool:
        return self.director is not None and self.director.is_ending

    def change(self, edits: Sequence[Edit]) -> list[Done]:
        """Carry out edits at all ports that packets come from, each or not. Raises UsageError."""
        if self.moves is not None:
            return self.moves.change(edits)
        if self._ports is None:
            raise UsageError(
                "the run is not steered, has not begun, or has ports that do not tell how they hash packets",
                'write enable_flow_director = true, and steer = "software" for such ports in [[ports]]',
            )
        return self._ports.change(edits)

    @contextmanager
    def swapping(self, pipeline: Pipeline, rules: Sequence[SteeringRule]) -> Iterator[None]:
        """The rules of another pipeline, to which workers go over in the block; those before where that fails. Raises
        BurstlineError."""
        with self.control.swapping(pipeline) if self.control else nullcontext():
            moves, before = self.moves, list(self.steering.rules)
            if moves is None or list(rules) == before:
                with self.steering.steer_as(rules):
                    yield
                return
            with ExitStack() as stack:
                moves.follow(rules, lambda: stack.enter_context(self.steering.steer_as(rules)), self.steering.in_force)
                try:
                    yield
                except BaseException:
                    error = sys.exc_info()
                    moves.follow(before, lambda: stack.__exit__(*error), self.steering.in_force)
                    raise

    def as_json(self, contexts: Sequence[Block]) -> dict[str, Any]:
        """For the report."""
        found = self.steering.as_json([context.get("packets_in") for context in contexts])
        if self.moves and found:
            found["moved"] = self.moves.as_json()
        return found | (self.control.as_json() if self.control else {})

    def left_over(self) -> list[int]:
        """The mbufs that workers held which ended too early."""
        return self.moves.left_over() if self.moves else []

    def warnings(self) -> list[str]:
        late = self.moves.late if self.moves else 0
        said = (
            f"{late:,} times packets of flows that moved may have been overtaken: a worker had no end of others before"
        )
        return [*(self.control.warnings if self.control else []), *([said] if late else [])]

    def _steered(self) -> Steered | None:
        """The ports, for who changes rules; None where flows cannot move, since nobody knows where they are. Raises
        UsageError for that where the controller is to run."""
        if not self.steering.back_ends:
            return None
        try:
            for number, facts in self.steering.rss.items():
                if not facts.reta:
                    problem = f"dpdk:{self.steering.devices[number]} does not tell which queue each of its buckets has"
                    raise UsageError(problem, 'write steer = "software" for it in [[ports]]')
            return steered_by(self.steering)
        except UsageError:
            if self.is_controlled:
                raise
            return None

    def _moves(
        self, pipeline: Pipeline, contexts: Sequence[Block], ports: Sequence[Port], steered: Steered, holds: float
    ) -> FlowMoves:
        rules, reta = self.steering.in_force()
        depths = [RING if n in self._directed else port.deepest or DEEPEST for n, port in enumerate(ports)]
        moves = FlowMoves(
            pipeline, contexts, depths, self._tables(len(reta), steered.key),
            batch=self.config.engine.most_burst, tunnel_ports=self.config.parser.tunnel_ports,
        )  # fmt: skip
        names = {back_end.name for back_end in self.steering.back_ends.values()}
        merging = MERGING + holds if any(context.get("receive") for context in contexts) else 0.0
        moves.begin(
            steered, rules, reta, self.steering.core_queue,
            effective=self.at_work.effective if self.at_work else at_once,
            settle=max(SETTLE[name] for name in names), merging=merging, own_groups="rte_flow" in names,
        )  # fmt: skip
        return moves

    def _tables(self, buckets: int, key: bytes) -> tuple[SteeringTable, SteeringTable]:
        one, other = (SteeringTable(len(self._cores), buckets=buckets, key=key) for _ in range(2))
        return one, other

    def _controlled(
        self,
        pipeline: Pipeline,
        contexts: Sequence[Block],
        ports: Sequence[Port],
        source: str,
        explain: Callable[[str], None] | None,
    ) -> LiveController:
        from burstline.dpdk.binding import native
        from burstline.engine.balance_parts import balance
        from burstline.engine.live_control import LiveControl

        assert self.moves
        at_work, polled = self.at_work, [ports[n] for n in self.steering.back_ends if n not in self._directed]

        def missed() -> int:
            by_ports = sum(port.stats().imissed for port in polled)
            return by_ports + (unsent(at_work.context) if at_work else 0)

        if self.config.numa_balance.act != "off":
            nodes = [ports[n].numa_node for n in self.steering.back_ends]
            control: LiveController = balance(
                self.config, pipeline, self.moves, self._cores, nodes, missed=missed, say=explain, source=source
            )
        else:
            control = LiveControl(
                self.config.steering_control, pipeline, PortsWithMoves(self.moves), self._cores,
                missed=missed, say=explain, source=source,
            )  # fmt: skip
        control.attach(contexts, native.tsc_hz())
        return control

    def _at_work(
        self, director: LiveDirector, ports: Sequence[Port], symbols: dict[str, int], stop_run: Callable[[], None]
    ) -> DirectorAtWork:
        """The director's program and memory."""
        batch, stop = self.config.engine.most_burst, Region(64)
        queues, count = director.queues(
            [ports[number] for number in self._directed], [self.steering.receives(n) for n in self._directed]
        )
        rooms = [Region(size) for size in (Burst(batch + SLACK).size, 8 * count, 8 * count * batch, 8 * batch)]
        made = self._program(director, stop_run)
        context = Block(PortWorker.layout, 128)
        context.set(
            workers=1, burst=rooms[0].address, stop=stop.address, queues=queues.address, ports=count, out=-1,
            batch=batch, most=batch, poll=int(self.config.engine.idle == "poll"), budget=1, prefetch=NEAR,
            counts=rooms[1].address, outbound=rooms[2].address, unwanted=rooms[3].address,
        )  # fmt: skip
        made.link([context], symbols, [_spare_core(self._cores)])
        return DirectorAtWork(director, made, context, stop, rooms)

    def _program(self, director: LiveDirector, stop: Callable[[], None]) -> Versions:
        compile = partial(
            prepare, mode="ports", capacity=self.config.engine.most_burst + SLACK, workers=1, dispatch="auto",
            tunnel_ports=self.config.parser.tunnel_ports,
        )  # fmt: skip
        return Versions(director.pipeline, compile, Report("", ""), stop)


def _spare_core(taken: Sequence[int]) -> int:
    """One that no worker runs on, where there is one."""
    usable = usable_cores()
    return next((core for core in usable if core not in taken), usable[-1])
