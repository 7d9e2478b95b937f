"""Which back ends may steer a port, the best first, and why others are out: what is known before rules are created."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from burstline.engine.config import Port as Settings
from burstline.engine.own_devices import RING_LOOP, is_xdp
from burstline.engine.report import BACK_ENDS
from burstline.errors import BurstlineError, UsageError
from burstline.steering.degradation import Placed, place_rules
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.hardware.driver import HardwareDriver, find
from burstline.steering.hardware.willing import WillingDevice
from burstline.steering.rule import SteeringRule

Name = Literal["rte_flow", "xdp", "software"]
# These take no rules, and are told how many queues to have before they can be asked.
NO_RULES = ("net_af_packet", "eth_af_packet", "net_af_xdp", "net_pcap", RING_LOOP)


@dataclass(frozen=True)
class Refused:
    """A better back end that was not taken."""

    back_end: Name
    why: str

    def as_json(self) -> dict[str, str]:
        return {"back_end": self.back_end, "why": self.why}


@dataclass
class Choice:
    """Of one port: what is still to be tried, the best first; at the end the first of these steers it."""

    device: str  # as on the command line, dpdk:...
    asked: str = "auto"
    left: list[Name] = field(default_factory=lambda: ["rte_flow", "xdp", "software"])
    refused: list[Refused] = field(default_factory=list)
    why: str = ""
    placed: list[Placed] = field(default_factory=list)

    @classmethod
    def of(cls, device: str, settings: Settings, workers: int) -> Choice:
        """What the device's name and settings say. Raises UsageError where what is asked for cannot be."""
        made = cls(f"dpdk:{device}", settings.steer)
        if made.asked != "auto":
            made.left = [name for name in made.left if name == made.asked]
        if is_xdp(device):
            made.refuse("rte_flow", "an interface of the kernel takes no rules of rte_flow")
        else:
            made.refuse("xdp", "it is no interface of the kernel's", "write dpdk:xdp,iface=eth0 for one that is")
        if device.startswith(NO_RULES):
            made.refuse("rte_flow", f"{device.partition(',')[0]} takes no rules", 'write steer = "software"')
        if settings.queues is not None and settings.queues != workers:
            for name in ("rte_flow", "xdp"):
                made.refuse(name, f"its [[ports]] has queues = {settings.queues}, for {workers} workers",
                            "leave queues out")  # fmt: skip
        return made

    @property
    def name(self) -> Name:
        return self.left[0]

    def refuse(self, name: Name, why: str | BurstlineError, hint: str | None = None) -> None:
        """A back end cannot do it. Raises where it was asked for by name."""
        if name not in self.left:
            return
        problem, hint = (why, hint) if isinstance(why, str) else (why.message, why.hint)
        if self.asked == name:
            kind = BurstlineError if isinstance(why, BurstlineError) and not isinstance(why, UsageError) else UsageError
            raise kind(f'{self.device} cannot be steered as steer = "{name}" says: {problem}', hint)
        self.left.remove(name)
        self.refused.append(Refused(name, problem))
        self.refused.sort(key=lambda each: list(BACK_ENDS).index(each.back_end))

    def try_on_paper(
        self, driver: str, reta_size: int, queues: int, rules: Sequence[SteeringRule], core_queue: Callable[[int], int],
        *, covers: bool,
    ) -> None:  # fmt: skip
        """What is known of the driver decides, unless it can do the rules: then the device will."""
        if "rte_flow" not in self.left:
            return
        try:
            try_rules(driver, reta_size, queues, rules, core_queue, covers=covers)
        except BurstlineError as error:
            self.refuse("rte_flow", error)

    def outlook(self, rules: int) -> str:
        """What would become of so many rules, as far as is known without creating them."""
        count = "the rule" if rules == 1 else f"the {rules:,} rules"
        others = "".join(f"; not by {each.back_end}: {each.why}" for each in self.refused if each.back_end != "xdp")
        if self.name == "software":
            return f"{count} of this run would be carried out by the software director{others}"
        return f"{count} of this run can be carried out by {BACK_ENDS[self.name]}, if the device creates them"

    def line(self) -> str:
        """For the log."""
        others = "".join(f"; not by {BACK_ENDS[each.back_end]}: {each.why}" for each in self.refused)
        return f"{self.device}: steered by {BACK_ENDS[self.name]}: {self.why}{others}"


def try_rules(
    driver: str, reta_size: int, queues: int, rules: Sequence[SteeringRule], core_queue: Callable[[int], int],
    *, covers: bool,
) -> list[Placed]:  # fmt: skip
    """How a device of this driver would carry out rules, if it created them all. Raises BurstlineError."""
    device = WillingDevice(driver, queues, reta_size)
    if not rules and not find(driver).rules and not reta_size:
        raise UsageError(f"{driver} takes no rules and has no RETA", "steer by software")
    return place_rules(RteFlow(device, core_queue), rules, core_queue, reta=device.reta(), covers=covers)


def took(who: str, rules: int, placed: Sequence[Placed]) -> str:
    """That all rules are carried out, and those that are not as they are."""
    buckets = sum(each.level == "reta" for each in placed)
    coarse = sum(each.instead is not None for each in placed)
    made = [f"{coarse:,} by coarser ones"] * (coarse > 0) + ["one by its RETA"] * buckets
    if not rules:
        return f"there are no rules, and {who} can take some"
    count = "the rule" if rules == 1 else f"all {rules:,} rules"
    return f"{who} takes {count}" + (f", {', '.join(made)}" if made else "")


def steered_with(device: str, driver: str, reta_size: int) -> list[str]:
    """What a port could be steered with, the best first."""
    reta = f"RETA of {reta_size:,} buckets" if reta_size else "no RETA"
    if is_xdp(device):
        return ["XDP: all rules, as many as its program has room for, and 128 buckets", "the software director"]
    known = find(driver)
    if not known.rules:
        return [f"no rules of {driver} are known, {reta}", "the software director: all rules, 128 buckets"]
    return [f"rte_flow: {_can(known)}; {reta}", "the software director: all rules, 128 buckets"]


def _can(driver: HardwareDriver) -> str:
    words = {"QUEUE": "to a queue", "RSS": "to several", "DROP": "drop", "PASSTHRU": "on to RSS"}
    does = [words[name] for name in words if name in driver.actions]
    does += [word for name, word in (("MARK", "mark"), ("COUNT", "count")) if name in driver.beside]
    room = f", up to {driver.capacity:,} rules" if driver.capacity else ""
    return f"by {', '.join(sorted(driver.items))}: {', '.join(does)}{room}"
