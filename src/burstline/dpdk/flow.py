"""rte_flow rules of a port, with errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence

from burstline.dpdk.binding import native
from burstline.dpdk.flow_refused import FlowRefused
from burstline.dpdk.log import captured
from burstline.dpdk.port import Port
from burstline.errors import UsageError

FlowItem = tuple[str, bytes, bytes, bytes]  # what it is, spec, mask, last
FlowAction = tuple[str, int, Sequence[int]]  # what it is, the number of QUEUE and MARK, the queues of RSS


def create(port: Port, items: Sequence[FlowItem], actions: Sequence[FlowAction], priority: int = 0) -> int:
    """A rule for received packets; returns its handle. Items and actions are named as rte_flow names them ("IPV4",
    "QUEUE"), with the bytes of their structures. Of what RSS spreads it hashes what the port does. Raises FlowRefused,
    and UsageError for names that mean nothing."""
    with _refusals():
        return native.flow_create(port.id, priority, _items(items), _actions(actions), port.info().rss & native.RSS)


def validate(port: Port, items: Sequence[FlowItem], actions: Sequence[FlowAction], priority: int = 0) -> None:
    """Whether the driver says that it would take a rule, which many drivers say of rules that they then refuse.
    Raises as `create` does."""
    with _refusals():
        native.flow_validate(port.id, priority, _items(items), _actions(actions), port.info().rss & native.RSS)


def destroy(port: Port, handle: int) -> None:
    """A rule goes; its handle means nothing any more. Raises FlowRefused."""
    with _refusals():
        native.flow_destroy(port.id, handle)


def flush(port: Port) -> None:
    """All rules of the port go. Raises FlowRefused."""
    with _refusals():
        native.flow_flush(port.id)


def query(port: Port, handle: int) -> tuple[int, int]:
    """Packets and bytes that a rule with COUNT matched; 0 for what the driver does not tell. Raises FlowRefused."""
    with _refusals():
        return native.flow_query(port.id, handle)


def isolate(port: Port, on: bool) -> None:
    """Whether packets that no rule matches stay out of the port; some drivers want it said before it is set up. Raises
    FlowRefused."""
    with _refusals():
        native.flow_isolate(port.id, on)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        with captured():
            yield
    except native.FlowError as error:
        raise FlowRefused(error.call, error.errno or errno.EIO, error.kind, error.said, error.item) from None


def _items(items: Sequence[FlowItem]) -> list[tuple[int, bytes, bytes, bytes]]:
    return [(_number(native.FLOW_ITEMS, kind), spec, mask, last) for kind, spec, mask, last in items]


def _actions(actions: Sequence[FlowAction]) -> list[tuple[int, int, tuple[int, ...]]]:
    return [(_number(native.FLOW_ACTIONS, kind), number, tuple(queues)) for kind, number, queues in actions]


def _number(known: dict[str, int], kind: str) -> int:
    if kind not in known:
        raise UsageError(f"{kind!r} is nothing that a rule of rte_flow is made of", f"there are {', '.join(known)}")
    return known[kind]
