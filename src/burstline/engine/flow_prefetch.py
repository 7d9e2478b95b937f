"""What flow tables will touch is fetched some packets ahead: their buckets first, then the entries that these name.

Far enough that memory has answered, and near enough that the L1 cache still has it: 32 packets' lines of buckets and 16
of entries are 3 KiB. Workers over ports take other distances where the learned cost model advises them.
"""

from __future__ import annotations

from collections.abc import Callable

from burstline.native.memory import external, load16
from burstline.packet.burst import BurstColumns
from burstline.packet.burst_type import burst_address

# Of all tables, made by compiler/kinds/flow_table.py.
first_look = external("burstline_flows_first", 2)  # (burst, packet)
second_look = external("burstline_flows_second", 2)
begin_flows = external("burstline_flows_begin", 2)  # (time, packets): before a burst, or where none came
end_flows = external("burstline_flows_end", 0)
NEAR = 16  # packets ahead that entries are fetched, usually; buckets twice as many

Prologue = Callable[[BurstColumns, int, int, int, int], None]


def flow_looks(shared: bool) -> tuple[Prologue, Prologue]:
    """Before the first packet of a burst, and before each: `(burst, k, count, own, near)`, where k counts the packets
    of the burst, or those in the list at `own` of a worker that shares it; `near` is how far ahead entries are fetched.
    """

    def number(k: int, own: int) -> int:
        return load16(own + 8 + 2 * k) if shared else k

    def look_first(burst: BurstColumns, k: int, count: int, own: int, near: int) -> None:
        for ahead in range(k, min(count, k + 2 * near)):
            first_look(burst_address(burst), number(ahead, own))
        for ahead in range(k, min(count, k + near)):
            second_look(burst_address(burst), number(ahead, own))

    def look(burst: BurstColumns, k: int, count: int, own: int, near: int) -> None:
        if k + 2 * near < count:
            first_look(burst_address(burst), number(k + 2 * near, own))
        if k + near < count:
            second_look(burst_address(burst), number(k + near, own))

    return look_first, look
