"""A port of DPDK as the device of a back end."""

from __future__ import annotations

from collections.abc import Mapping

from burstline.dpdk import flow, rss
from burstline.dpdk.flow_refused import FlowRefused
from burstline.dpdk.port import Port
from burstline.errors import BurstlineError
from burstline.offload.planning.capabilities import ALIASES
from burstline.steering.hardware.flow_device import FlowRule


class PortDevice:
    """An open port; rules of most drivers need it started, and go when it stops."""

    def __init__(self, port: Port) -> None:
        self.port = port
        info = port.info()
        self._driver, self._reta_size = ALIASES.get(info.driver, info.driver), info.reta_size

    @property
    def driver(self) -> str:
        return self._driver

    @property
    def queues(self) -> int:
        return self.port.queues

    @property
    def reta_size(self) -> int:
        return self._reta_size

    def create(self, rule: FlowRule) -> int:
        return flow.create(self.port, *_plain(rule), priority=rule.priority)

    def validate(self, rule: FlowRule) -> None:
        """What the driver says that it would do."""
        flow.validate(self.port, *_plain(rule), priority=rule.priority)

    def destroy(self, handle: int) -> None:
        flow.destroy(self.port, handle)

    def flush(self) -> None:
        flow.flush(self.port)

    def query(self, handle: int) -> tuple[int, int]:
        return flow.query(self.port, handle)

    def isolate(self, on: bool) -> None:
        flow.isolate(self.port, on)

    def reta(self) -> list[int]:
        try:
            return rss.reta(self.port)
        except BurstlineError as error:
            raise FlowRefused("rte_eth_dev_rss_reta_query", 0, said=error.message) from None

    def update_reta(self, entries: Mapping[int, int]) -> None:
        try:
            rss.update_reta(self.port, entries)
        except BurstlineError as error:
            raise FlowRefused("rte_eth_dev_rss_reta_update", 0, said=error.message) from None


def _plain(rule: FlowRule) -> tuple[list[flow.FlowItem], list[flow.FlowAction]]:
    items = [(one.kind, one.spec, one.mask, one.last) for one in rule.items]
    return items, [(action.kind, action.number, action.queues) for action in rule.actions]
