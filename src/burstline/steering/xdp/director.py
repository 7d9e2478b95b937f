"""The XDP back end of the flow director: the rules of any interface of the kernel's, carried out ahead of its stack."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from burstline.packet.machine import USUAL_PORTS, TunnelPorts
from burstline.state.toeplitz import Toeplitz
from burstline.steering.back_end import CannotSteer, Limits
from burstline.steering.director import SoftwareDirector
from burstline.steering.rule import SteeringRule
from burstline.steering.xdp.interface import Interface
from burstline.steering.xdp.kinds import room_left
from burstline.steering.xdp.link import Link, Mode
from burstline.steering.xdp.table import XdpTable

SAFE_UPDATES = 10_000.0  # a second, of exact rules, a fraction of what `burstline bench xdp` sees


class XdpDirector(SoftwareDirector):
    """`XdpDirector("eth0", queues=4)`: from now on the program counts the packets of each queue, drops what rules drop,
    and hands each packet to the AF_XDP socket of its queue (sockets.py), or to the kernel's own stack where there is
    none. The interface is one of the network namespace that the calling thread is in.

    `toeplitz` says how packets without a rule are hashed, `core_queue` which queue the worker of a core polls, `flows`
    how many exact rules there is room for. `mode` is "native" or "generic"; by itself the first that the driver can.
    When it is closed, or the process ends, the interface is as it was. Raises UsageError and BurstlineError.
    """

    name = "xdp"

    def __init__(
        self,
        interface: str,
        queues: int,
        *,
        core_queue: Callable[[int], int] = lambda core: core,
        buckets: int = 128,
        toeplitz: Toeplitz | None = None,
        flows: int = 1 << 16,
        tunnels: TunnelPorts = USUAL_PORTS,
        mode: Mode | None = None,
    ) -> None:
        self.interface = Interface(interface)
        try:
            self.kernel = XdpTable(
                queues,
                rx_queues=self.interface.rx_queues,
                buckets=buckets,
                toeplitz=toeplitz,
                flows=flows,
                tunnels=tunnels,
            )
            try:
                self.kernel.link = Link(self.interface, self.kernel.program.fd, mode)
            except Exception:
                self.kernel.close()
                raise
        except Exception:
            self.interface.close()
            raise
        super().__init__(self.kernel, core_queue)
        self.mode: Mode = self.kernel.link.mode

    def queue_counts(self) -> list[tuple[int, int]]:
        """Packets and bytes that were steered to each queue, by rules or by their hash."""
        return self.kernel.queue_counts()[:-1]

    def dropped(self) -> tuple[int, int]:
        """Packets and bytes that rules dropped."""
        return self.kernel.queue_counts()[-1]

    @property
    def limits(self) -> Limits:
        exact = self.kernel.exact
        wildcards = room_left(self.kernel.wildcards)
        return Limits(exact.flows - len(exact), wildcards, SAFE_UPDATES, self.kernel.buckets)

    def close(self) -> None:
        """The interface is as it was, its packets go to the kernel's stack."""
        self.kernel.close()
        self.interface.close()

    detach = close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _hold(self, rule: SteeringRule, handle: int, where: str) -> int:
        if rule.vlan is not None and self.interface.strips_tags():
            raise CannotSteer(
                "vlan",
                f"{self.interface.name} takes VLAN tags out of packets before an XDP program sees them",
                f"run `ethtool -K {self.interface.name} rxvlan off`, on a veth pair also `txvlan off` at its other end",
            )
        return super()._hold(rule, handle, where)
