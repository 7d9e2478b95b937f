"""The clock by which a port stamps packets, read beside the system's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from burstline.errors import BurstlineError
from burstline.offload.planning.stamp_clocks import StampClock
from burstline.offload.stamps import StampLine

if TYPE_CHECKING:
    from burstline.dpdk.port import Port


def stamp_line(port: Port, clock: StampClock) -> StampLine:
    """What the stamps of a started port mean. Raises BurstlineError where its clock cannot be read."""
    from burstline.dpdk.binding import native

    place, flag = native.timestamp_place()
    if clock.kind == "microseconds":
        return StampLine(place, flag, None)
    try:
        if clock.kind == "timesync":
            native.port_timesync_start(port.id)
            return StampLine(place, flag, partial(native.port_timesync, port.id))
        return StampLine(place, flag, partial(native.port_counter, port.id))
    except OSError as error:
        raise BurstlineError(
            f"dpdk:{port.device}: the clock by which it stamps packets cannot be read: {error}",
            "write timestamp = false in the offloads of its [[ports]]: pkt.time is then the worker's clock",
        ) from None
