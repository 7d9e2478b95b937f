"""The refusal of an rte_flow call, by a driver or by what stands in for one."""

from __future__ import annotations

import errno
import os

from burstline.errors import BurstlineError

# What ends a rule for want of room; drivers use either.
FULL = frozenset({errno.ENOSPC, errno.ENOMEM})


class FlowRefused(BurstlineError):
    """An rte_flow call failed. `errno` is DPDK's; `kind` is what it was that it disliked, as rte_flow_error_type names
    it in small letters ("item", "attr priority", "action conf"), and `item` its number in the pattern, where told."""

    def __init__(
        self, call: str, number: int, kind: str = "unspecified", said: str = "", item: int | None = None
    ) -> None:
        why = said or os.strerror(number)
        about = f" (about {kind})" if kind not in ("none", "unspecified") else ""
        super().__init__(f"{call}: {why}{about}", _hint(number))
        self.call, self.errno, self.kind, self.said, self.item = call, number, kind, said, item


def _hint(number: int) -> str | None:
    if number in (errno.ENOSYS, errno.ENOTSUP):
        return "the driver cannot do it: take another back end, such as the software director"
    if number in FULL:
        return "the table is full: remove rules, or leave the rest to the software director"
    if number == errno.EEXIST:
        return (
            "the port may have such a rule already: flush its rules; net_tap says so, too, where the kernel lacks"
            " cls_flower, sch_multiq or act_skbedit"
        )
    return None
