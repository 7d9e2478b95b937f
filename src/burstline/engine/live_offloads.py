"""What the ports of a live run are asked for, tuned to and given: intents, profiles and plans, port by port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from burstline.buffers.receive import AROUND, Capabilities, Mode
from burstline.engine.config import Config
from burstline.engine.config import Port as Settings
from burstline.engine.large_classes import largest_template
from burstline.engine.live_buffers import ETHERNET, LiveBuffers
from burstline.engine.live_buffers import ORDINARY_MTU as ORDINARY_MTU
from burstline.engine.own_devices import RING_LOOP, XdpDevice, is_own, is_xdp
from burstline.errors import BurstlineError, UsageError
from burstline.offload.mbuf import MOST_SEGMENT
from burstline.offload.planning.capabilities import Descriptors, PortCapabilities, recorded
from burstline.offload.planning.choice import PortUse
from burstline.offload.planning.plan import Asked, OffloadPlan, check_mtu, plan_offloads, plan_ports, replanned
from burstline.offload.planning.tuning import NO_TUNING, Tuning, tune
from burstline.pipeline.needs import needs_of
from burstline.pipeline.offloads import NAMES, Offloads
from burstline.pipeline.pipeline import Pipeline
from burstline.simd import level
from burstline.state.toeplitz import SYMMETRIC_KEY

if TYPE_CHECKING:
    from burstline.dpdk.port import Port


class LiveOffloads:
    """The offloads of a run over `devices`, of which the first `sources` are received from. `out` is the device that
    packets go to by default, if they go to one; without a pipeline, they may go anywhere."""

    def __init__(
        self, config: Config, devices: Sequence[str], sources: int, out: str | None, pipeline: Pipeline | None
    ) -> None:
        self.config, self.devices, self.sources, self.out = config, list(devices), sources, out
        self.pipeline = pipeline
        needs = None if pipeline is None else needs_of(pipeline)
        self.sends = needs is None or needs.sends
        self.cuts = needs is None or needs.cuts
        self.largest_made = 0 if pipeline is None else largest_template(pipeline)
        self.tunings: dict[str, Tuning] = {}  # as far as they are known
        self.plans: list[OffloadPlan] = []

    def intent(self, device: str) -> Offloads:
        """What is asked of a device; every key is set."""
        return self.config.offloads_of(f"dpdk:{device}", self.pipeline.offloads if self.pipeline else None)

    def check_same(self, pipeline: Pipeline) -> None:
        """Raise UsageError where another pipeline asks something else of a port than it was set up for."""
        for device in self.devices:
            is_set, wanted = self.intent(device), self.config.offloads_of(f"dpdk:{device}", pipeline.offloads)
            for name in (key.name for key in fields(Offloads)):
                if getattr(is_set, name) != getattr(wanted, name):
                    raise UsageError(
                        f"dpdk:{device} was set up with {name} = {is_set.text(name)}, and the pipeline that is to come "
                        f"asks for {wanted.text(name)}",
                        "a port's offloads stay as they are while it runs: end the run and start it with that pipeline",
                    )

    def text(self, device: str) -> str:
        """The device as DPDK is told it, with the arguments that its profile adds to those written."""
        from burstline.dpdk.device import Device
        from burstline.dpdk.drivers import driver_for

        if is_own(device) or self.intent(device).tune == "off":
            return device
        made = Device.parse(device)
        return str(made.with_arguments(self._tuning(device, driver_for(made)).devargs))

    def eal_arguments(self) -> list[str]:
        """What the profiles want EAL to be told, where the settings have not settled it."""
        from burstline.dpdk.device import Device
        from burstline.dpdk.drivers import driver_for

        given = {argument.split("=")[0] for argument in self.config.dpdk.eal_args}
        real = [d for d in self.devices if not is_own(d) and self.intent(d).tune != "off"]
        wanted = [option for d in real for option in self._tuning(d, driver_for(Device.parse(d))).eal]
        return [option for option in dict.fromkeys(wanted) if option.split("=")[0] not in given]

    def tuned(self, found: Sequence[PortCapabilities]) -> Config:
        """The settings, with the rings that profiles give to ports for which none are set. Raises BurstlineError for an
        MTU that a port does not take."""
        changed = list[Settings]()
        for device, can in zip(self.devices, found, strict=True):
            settings = self.config.port(f"dpdk:{device}")
            if settings.mtu is not None:
                check_mtu(f"dpdk:{device}", can, settings.mtu)
            tuning = NO_TUNING if is_own(device) else self._tuning(device, can.driver, can)
            self.tunings[device] = tuning
            changed.append(
                replace(
                    settings,
                    rx_descriptors=settings.rx_descriptors or _fitting(tuning.rx_descriptors, can.rx_descriptors),
                    tx_descriptors=settings.tx_descriptors or _fitting(tuning.tx_descriptors, can.tx_descriptors),
                )
            )
        known = {settings.device for settings in changed}
        others = [settings for settings in self.config.ports if settings.device not in known]
        return replace(self.config, ports=(*changed, *others))

    def restricted(self, device: str, can: Capabilities) -> Capabilities:
        """What a device can do to receive, less what is not wanted of it."""
        intent = self.intent(device)
        if intent.scatter is False and can.scatter:
            can = replace(can, scatter=False)
        return replace(can, segments=0) if intent.buffer_split is False else can

    def wanted(self, device: str) -> Mode | None:
        """The way of receiving that the device's offloads demand, if they demand one."""
        intent = self.intent(device)
        return "split" if intent.buffer_split is True else "scatter" if intent.scatter is True else None

    def plan(self, found: Sequence[PortCapabilities], mtus: Sequence[int], buffers: LiveBuffers) -> list[OffloadPlan]:
        """The plans of all ports. `mtus` are those that they will have. Raises BurstlineError."""
        chains = any(
            port.plan.mode in ("scatter", "split") and not port.plan.whole for port in buffers.ports[: self.sources]
        )
        # Also a pipeline that comes by a swap may make packets, of any class.
        pools = len({node for port in buffers.ports for node in port.nodes}) * len(self.config.pools.size_classes.sizes)
        asked = []
        for number, (device, can, mtu, port) in enumerate(zip(self.devices, found, mtus, buffers.ports, strict=True)):
            settings = self.config.port(f"dpdk:{device}")
            use = PortUse(
                port=f"dpdk:{device}",
                mtu=settings.mtu or mtu,
                mtu_asked=settings.mtu is not None,
                queues=self.config.engine.workers,
                receives=number < self.sources,
                sends=self.sends or device == self.out,
                receive_offloads=port.plan.offloads,
                chains=chains,
                emits=self.cuts or self.largest_made > (settings.mtu or mtu) + ETHERNET,
                pools=pools,
                peer_segments=can.driver == "net_vhost" and _says(device, "tso=1"),
            )
            asked.append(Asked(self.intent(device), can, use, self.tunings.get(device, NO_TUNING)))
        self.plans = plan_ports(asked)
        return self.plans

    def most_merged(self, pipeline: Pipeline | None, all_gathered: bool) -> int:
        """Bytes of the largest IP packet to merge: one that stages look into is gathered into one buffer."""
        gathered = all_gathered or pipeline is None or needs_of(pipeline).payloads
        return min(MOST_SEGMENT, self.config.pools.size_classes.largest - AROUND) if gathered else MOST_SEGMENT

    def revised(self, number: int, can: PortCapabilities) -> OffloadPlan:
        """The plan of a port of which it was only assumed what it can do. Raises BurstlineError."""
        asked = self.plans[number].asked
        if can != asked.can:
            self.plans[number] = plan_offloads(replace(asked, can=can))
        return self.plans[number]

    def follow(self, number: int, at: Port) -> str:
        """Plan again when the MTU of a port is another than it was; what there is to say of it, or nothing."""
        plan, mtu = self.plans[number], mtu_of(at)
        port = plan.asked.use.port
        if mtu == plan.mtu or self.config.port(f"dpdk:{self.devices[number]}").mtu is not None:
            return ""
        try:
            self.plans[number] = replaced = replanned(plan, mtu=mtu) or plan
        except BurstlineError as error:
            return f"{port} has an MTU of {mtu:,} now, and its offloads stay as they are: {error.message}"
        self.plans[number] = replace(replaced, bursts=plan.bursts)
        return f"{port} has an MTU of {mtu:,} now, no longer {plan.mtu:,}: its offloads were planned again"

    @property
    def can_cut(self) -> bool:
        """Whether all ports that packets may leave by cut large ones, by whom ever."""
        return all(plan.gso or plan.tso for plan in self.plans if plan.asked.use.sends)

    def started(self, number: int, port: Port) -> None:
        """Note how the driver of a started port moves packets."""
        rx, tx = port.burst_modes()
        told = (f"receive: {rx}", f"send: {tx}") if rx.text or tx.text else ("the driver does not tell",)
        self.plans[number] = replace(self.plans[number], bursts=told)

    def _tuning(self, device: str, driver: str, can: PortCapabilities | None = None) -> Tuning:
        from burstline.dpdk.device import Device

        intent, settings = self.intent(device), self.config.port(f"dpdk:{device}")
        return tune(
            driver,
            intent.tune or "off",
            arguments=Device.parse(device).argument_names,
            taken=[name for name in ("rx_descriptors", "tx_descriptors") if getattr(settings, name) is not None],
            asked=[name for name in NAMES if getattr(intent, name) is True],
            cpu=level.known(),
            can=can,
        )


def presumed(device: str) -> PortCapabilities | None:
    """What a device can do that is not there before it is set up; None for all others."""
    if is_xdp(device):
        hashed = frozenset({f"NONFRAG_{ip}_{l4}" for ip in ("IPV4", "IPV6") for l4 in ("TCP", "UDP", "SCTP")})
        return PortCapabilities(
            "net_ring", rx=frozenset({"SCATTER"}), tx=frozenset({"MULTI_SEGS"}),
            rss=hashed | {"IPV4", "IPV6"}, reta_size=128, key_size=len(SYMMETRIC_KEY),
        )  # fmt: skip
    if is_own(device):
        from burstline.engine.ring_loop import verifies

        good = device.startswith(RING_LOOP) and verifies(device)
        checksums = {"IPV4_CKSUM", "TCP_CKSUM", "UDP_CKSUM"} if good else set[str]()
        return PortCapabilities("net_ring", rx=frozenset({"SCATTER", *checksums}), tx=frozenset({"MULTI_SEGS"}))
    if device.startswith("net_virtio_user"):
        can = recorded("virtio_user")
        return replace(can, rx=can.rx - {"SCATTER"}) if _says(device, "mrg_rxbuf=0") else can
    return None


def mtu_of(port: Port | None, device: str = "") -> int:
    """The MTU that an attached port has, or the interface of the kernel that it stands for, as `device` will."""
    from burstline.dpdk.device import interface_mtu

    if port is None:
        return (is_xdp(device) and interface_mtu(XdpDevice.parse(device).interface)) or ORDINARY_MTU
    return interface_mtu(port.device.interface or "") or port.info().mtu


def _says(device: str, argument: str) -> bool:
    return argument in device.split(",")


def _fitting(wanted: int | None, limits: Descriptors) -> int | None:
    return None if wanted is None else limits.nearest(wanted)
