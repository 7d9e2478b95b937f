"""The steering of a live run: which back end each port has, and changing it while packets flow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from burstline.engine.config import Config
from burstline.engine.own_devices import XdpDevice
from burstline.engine.steer_choice import Choice, took
from burstline.engine.steered import check_control
from burstline.engine.steering_shown import shown
from burstline.errors import BurstlineError, UsageError
from burstline.pipeline.offloads import Offloads
from burstline.pipeline.pipeline import Pipeline
from burstline.state.rule import BadField
from burstline.state.toeplitz import Toeplitz
from burstline.steering.back_end import BackEnd, CannotSteer
from burstline.steering.degradation import Placed, place_rules, spread_over
from burstline.steering.edit import Done, Edit, carry_out
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.rule import SteeringRule
from burstline.steering.software import decision_of
from burstline.steering.target import RSS

if TYPE_CHECKING:
    from burstline.dpdk.pool import Pool
    from burstline.dpdk.port import Port
    from burstline.dpdk.ring_port import RingPort
    from burstline.steering.director import SoftwareDirector
    from burstline.steering.xdp.director import XdpDirector
    from burstline.steering.xdp.sockets import XdpSockets


@dataclass(frozen=True)
class RssFacts:
    """How a port spreads what no rule names: the key of its hash where it tells, and the queue of each bucket before
    anybody moved one; no buckets where there are none to move."""

    key: bytes | None
    reta: tuple[int, ...]

    @property
    def reta_size(self) -> int:
        return len(self.reta)


def steering_of(pipeline: Pipeline, config: Config) -> list[SteeringRule] | None:
    """The rules of a run that is steered, else None. Raises UsageError where there are rules and it is off."""
    rules = [*pipeline.steering, *(each.rule for each in config.steering)]
    if rules and config.enable_flow_director is False:
        raise UsageError(
            f"the pipeline has {len(rules)} steering rules, and the flow director is off",
            'write enable_flow_director = "auto" into burstline.toml',
        )
    if config.steering_control.act != "off" or config.numa_balance.act != "off":
        check_control(config)
        return rules
    return rules if rules or config.enable_flow_director is True else None


class LiveSteering:
    """`devices` as after dpdk:, of which the first `sources` are received from; `cores` are those of the workers, each
    of which polls the queue of its own number. `rules`, None where nothing is steered, are those of the pipeline and
    the settings; `offloads` are what the pipeline asks of ports. With `software`, nothing else steers. Raises
    UsageError for rules that no back end can do, and for back ends that cannot be had.

    `back_ends` are by number of the port, of sources only. Those that the software director steers share one.
    """

    def __init__(
        self,
        devices: Sequence[str],
        sources: int,
        config: Config,
        cores: Sequence[int],
        rules: Sequence[SteeringRule] | None,
        *,
        offloads: Offloads | None = None,
        software: bool = False,
    ) -> None:
        self.devices, self.sources, self.config, self.workers = list(devices), sources, config, len(cores)
        self.core_queue: Callable[[int], int] = {core: k for k, core in enumerate(cores)}.__getitem__
        self.enabled, self.rules = rules is not None, list(rules or ())
        self.check(self.rules)
        self.symmetric = any(config.offloads_of(f"dpdk:{d}", offloads).rss == "symmetric" for d in devices[:sources])
        self.back_ends: dict[int, BackEnd] = {}
        self.rss: dict[int, RssFacts] = {}
        self.choices: dict[int, Choice] = {}
        self._xdp: dict[int, tuple[XdpDirector, XdpSockets]] = {}
        self._lock = threading.RLock()
        for number, device in enumerate(self.devices[:sources] if self.enabled else ()):
            choice = Choice.of(device, config.port(f"dpdk:{device}"), self.workers)
            for name in ("rte_flow", "xdp") if software else ():
                choice.refuse(name, "an interpreted run steers by software", "leave --interpret out")
            self.choices[number] = choice

    # ---- while ports are opened ----

    def check(self, rules: Sequence[SteeringRule]) -> None:
        """Raises CannotSteer for queues and cores that there are not."""
        for number, rule in enumerate(rules):
            try:
                decision_of(rule, self.workers, self.core_queue, 0)
            except BadField as error:
                raise CannotSteer(error.name, error.problem, error.hint, f"rule {number}") from None

    @property
    def may_direct(self) -> bool:
        """Whether a software director may come between ports and workers."""
        return any("software" in choice.left for choice in self.choices.values())

    def queues(self, number: int) -> int:
        """How many queues a port is to have, as far as is known."""
        if not self.enabled:
            return self.workers
        by = [self.choices[number]] if number in self.choices else list(self.choices.values())
        return 1 if all(choice.name == "software" for choice in by) else self.workers

    def attached(self, number: int, port: Port) -> None:
        """The port can be asked: if it cannot be steered by itself, it gets one queue."""
        if not self.enabled:
            return
        info = port.info()
        queues, choice = min(info.max_rx_queues, info.max_tx_queues), self.choices.get(number)
        if choice is None:
            port.queues = port.queues if queues >= port.queues else 1
            return
        if queues < self.workers:
            choice.refuse("rte_flow", f"it has {queues} queue{'s' * (queues != 1)} for {self.workers} workers",
                          f"use --workers {queues}")  # fmt: skip
        from burstline.offload.planning.capabilities import ALIASES

        driver = ALIASES.get(info.driver, info.driver)
        choice.try_on_paper(
            driver, info.reta_size, self.workers, self.rules, self.core_queue, covers=not self.symmetric
        )
        port.queues = self.queues(number)

    def started(self, number: int, port: Port) -> None:
        """The port runs: from now on rules are in force, if its own back end takes them. Raises BurstlineError."""
        choice = self.choices.get(number)
        if choice is None or choice.name != "rte_flow":
            return
        from burstline.dpdk.flow_refused import FlowRefused
        from burstline.steering.hardware.port_device import PortDevice
        from burstline.steering.model.nic_port import NicPort

        model = port.model if isinstance(port, NicPort) else None
        device = model or PortDevice(port)
        back_end = RteFlow(device, self.core_queue, ports=self.config.parser.tunnel_ports)
        try:
            reta = tuple(device.reta()) if device.reta_size and port.rss else ()
        except FlowRefused:
            reta = ()
        key = model.key if model else _key_of(port)
        if self._begin(number, back_end, RssFacts(key, reta), device.driver):
            return
        back_end.close()  # what of the rules is there

    def open_xdp(self, number: int, pool: Pool, close: Callable[[Callable[[], object]], object]) -> RingPort:
        """The port of a device dpdk:xdp,..., whose rules are in force; `close` is told what is to be closed, the last
        first. Raises BurstlineError."""
        from burstline.steering.xdp.director import XdpDirector
        from burstline.steering.xdp.port import XdpPort
        from burstline.steering.xdp.sockets import XdpSockets

        device = XdpDevice.parse(self.devices[number])
        if number >= self.sources:
            port = XdpPort.to_send(device.interface, pool, self.queues(number))
            close(port.close)
            return port
        toeplitz = Toeplitz(symmetric=self.symmetric)
        director = XdpDirector(
            device.interface, self.queues(number), core_queue=self.core_queue, toeplitz=toeplitz, mode=device.mode,
            tunnels=self.config.parser.tunnel_ports,
        )  # fmt: skip
        close(director.close)
        if number in self.choices and self.choices[number].name == "xdp":
            facts = RssFacts(toeplitz.key, tuple(director.kernel.reta()))
            self._begin(number, director, facts, f"its program, in {director.mode} mode,")
        sockets = XdpSockets(director)
        close(sockets.close)
        port = XdpPort.over(sockets, pool)
        close(port.close)
        self._xdp[number] = director, sockets
        return port

    def surely_directed(self) -> int:
        """How many ports that is already known of before they are opened."""
        sources = sum(choice.name == "software" for choice in self.choices.values())
        return sources and sources + len(self.devices) - self.sources

    def directed(self, ports: Sequence[Port]) -> list[int]:
        """The ports that only a software director can serve, and those that it sends on."""
        if not self.enabled:
            return []
        sources = [number for number, choice in self.choices.items() if choice.name == "software"]
        sinks = range(self.sources, len(ports))
        return sources + [n for n in sinks if sources or ports[n].queues < self.workers]

    def direct_by(self, director: SoftwareDirector, facts: RssFacts) -> None:
        """The software director of all ports that have no other. Raises BurstlineError, with why there is no other."""
        numbers = [number for number, choice in self.choices.items() if choice.name == "software"]
        for number in numbers:
            self._begin(number, director, facts, "it")

    def _begin(self, number: int, back_end: BackEnd, facts: RssFacts, who: str) -> bool:
        """Whether a back end took the rules, and steers the port."""
        choice = self.choices[number]
        shared = any(other is back_end for other in self.back_ends.values())
        try:
            placed = self.choices[self._first(back_end)].placed if shared else self._place(back_end, self.rules, facts)
        except BurstlineError as error:
            if choice.asked == "auto" and choice.left == [choice.name]:
                raise
            choice.refuse(choice.name, error)
            return False
        choice.placed, choice.why = placed, took(who, len(self.rules), placed)
        self.back_ends[number], self.rss[number] = back_end, facts
        return True

    def _first(self, back_end: BackEnd) -> int:
        return next(number for number, each in self.back_ends.items() if each is back_end)

    def _place(self, back_end: BackEnd, rules: Sequence[SteeringRule], facts: RssFacts) -> list[Placed]:
        return place_rules(back_end, rules, self.core_queue, reta=facts.reta, covers=not self.symmetric)

    # ---- while packets flow ----

    def receives(self, number: int) -> bool:
        """Whether packets come from a port."""
        return number < self.sources

    def in_force(self) -> tuple[list[SteeringRule], list[int]]:
        """The rules and the RETA by which the first of the ports steers."""
        number = min(self.back_ends)
        placed, facts = self.choices[number].placed, self.rss[number]
        spread = next((each.rule.to for each in placed if each.level == "reta"), RSS)
        return list(self.back_ends[number].rules().values()), spread_over(spread, facts.reta, self.core_queue)

    def name(self, number: int) -> str:
        """Of the back end of a port: rte_flow, xdp or software. KeyError where it has none."""
        return self.back_ends[number].name

    def change(self, number: int, edits: Sequence[Edit]) -> list[Done]:
        """Carry out edits at a port, each or not, one caller at a time; what the software director is told goes for all
        ports that it steers. KeyError where the port is not steered."""
        back_end = self.back_ends[number]
        with self._lock:
            done = list[Done]()
            for edit in edits:
                try:
                    done.append(carry_out(back_end, edit))
                except KeyError as missing:  # a swap has brought other rules, with handles of their own
                    hint = "rules go with the pipeline whose they were"
                    done.append(Done(error=UsageError(f"there is no steering rule {missing}", hint)))
            return done

    @contextmanager
    def steer_as(self, rules: Sequence[SteeringRule]) -> Iterator[None]:
        """These rules for those of the pipeline from now on, and those before again where the block fails. Raises
        BurstlineError."""
        if list(rules) == self.rules:
            yield
            return
        if not self.enabled:
            raise UsageError(
                "the pipeline has steering rules, and this run began without a flow director",
                "start it with enable_flow_director = true",
            )
        self.check(rules)
        with self._lock:
            before = {self._first(b): (b.rules(), self.choices[self._first(b)].placed) for b in self.back_ends.values()}
            own, self.rules = self.rules, list(rules)
        try:
            with self._lock:
                for number in before:
                    self._replace(number, rules)
            yield  # not with the lock: others may change rules while a pipeline is compiled
        except BaseException:
            with self._lock:
                self.rules = own
                for number, (held, placed) in before.items():
                    self._restore(number, held, placed)
            raise

    def _replace(self, number: int, rules: Sequence[SteeringRule]) -> None:
        back_end, facts, choice = self.back_ends[number], self.rss[number], self.choices[number]
        placed = self._place(back_end, rules, facts)
        if _is_spread(choice.placed) and not _is_spread(placed):
            back_end.set_reta(list(facts.reta))
        for k in self._sharing(number):
            self.choices[k].placed, self.choices[k].why = placed, took(SHORT[back_end.name], len(rules), placed)

    def _restore(self, number: int, held: Mapping[int, SteeringRule], placed: Sequence[Placed]) -> None:
        back_end, facts = self.back_ends[number], self.rss[number]
        if back_end.rules() != held:
            now = dict(zip(held, back_end.apply(held.values()), strict=True))
            placed = [replace(each, handle=now.get(each.handle or 0)) for each in placed]
        spread = next((each.rule.to for each in placed if each.level == "reta"), RSS)
        if facts.reta and (spread != RSS or _is_spread(self.choices[number].placed)):
            back_end.set_reta(spread_over(spread, facts.reta, self.core_queue))
        for k in self._sharing(number):
            self.choices[k].placed = list(placed)

    def _sharing(self, number: int) -> list[int]:
        return [k for k, each in self.back_ends.items() if each is self.back_ends[number]]

    # ---- what is shown ----

    def lines(self) -> list[str]:
        """One line for each port that is steered, for the log."""
        return [choice.line() for number, choice in sorted(self.choices.items()) if number in self.back_ends]

    def as_json(self, workers: Sequence[int]) -> dict[str, Any]:
        """What was steered, for the report; `workers` are the packets that each had."""
        if not self.back_ends:
            return {}
        with self._lock:
            ports = [
                shown(number, self.choices[number], back_end, self._sharing(number))
                for number, back_end in sorted(self.back_ends.items())
            ]
        return {"workers": list(workers), "ports": ports}


SHORT = {"rte_flow": "the device", "xdp": "its program", "software": "it"}


def _is_spread(placed: Sequence[Placed]) -> bool:
    return any(each.level == "reta" for each in placed)


def _key_of(port: Port) -> bytes | None:
    from burstline.dpdk.rss import rss

    try:
        return rss(port).key or None
    except BurstlineError:
        return None
