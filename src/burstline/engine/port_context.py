"""A worker's memory between ports: what its compiled loop is told, with all that this points to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from burstline.engine.burst_costs import PHASE_SIZE, PHASES
from burstline.engine.burst_size import LEAST
from burstline.engine.config import Engine
from burstline.engine.flow_prefetch import NEAR
from burstline.engine.live_ports import LivePorts
from burstline.engine.worker import QUEUE_SIZE, SLACK, PortQueue, PortWorker, most_made
from burstline.offload.twins import receive, transmit
from burstline.packet.burst import Burst
from burstline.packet.made import Made
from burstline.ports.tape import Tape
from burstline.state.region import Block, Region

if TYPE_CHECKING:
    from burstline.dpdk.port import Port


@dataclass(frozen=True)
class PortContext:
    """`block` is a PortWorker; `queues` are its PortQueues, `costs` what its phases take, while that is counted."""

    block: Block
    queues: Region
    costs: Region
    kept: list[Region | Block] = field(default_factory=list)


def port_context(
    index: int,
    ports: Sequence[Port],
    live: LivePorts,
    engine: Engine,
    *,
    stop: Region,
    tape: Tape | None,
) -> PortContext:
    """Of worker `index`, which takes packets from `ports` and sends on them."""
    batch, adapts = engine.most_burst, engine.burst == "auto"
    queues, counts = Region(len(ports) * QUEUE_SIZE), Region(len(ports) * 8)
    outbound, unwanted = Region(len(ports) * batch * 8), Region(batch * 8)
    burst = Region(Burst(batch + SLACK).size)
    layout = PortQueue.layout
    for number, port in enumerate(ports):
        base = number * QUEUE_SIZE
        queues.set_i64(base + layout.offset("port"), port.id)
        queues.set_i64(base + layout.offset("queue"), index % port.queues)
        queues.set_i64(base + layout.offset("receives"), int(live.receives(number)))
        queues.set_i64(base + layout.offset("pools"), live.table(number, port, index))
        twins = live.around.twins(number, port, index)
        queues.set_i64(base + layout.offset("twins"), twins.address if twins else 0)
        line = live.around.stamps.get(number)
        queues.set_i64(base + layout.offset("stamps"), line.address if line else 0)
    made_burst, making = Region(Burst(batch + SLACK).size), Block(Made.layout)
    costs = Region(len(PHASES) * PHASE_SIZE)
    making.set(burst=made_burst.address, room=most_made(batch), source=live.table(0, ports[0], index))
    context = Block(PortWorker.layout, 128)
    if live.around.has_twins:
        context.set(receive=receive.address, transmit=transmit.address)
    context.set(
        index=index, workers=1, burst=burst.address, stop=stop.address,
        queues=queues.address, ports=len(ports), batch=LEAST if adapts else batch, prefetch=NEAR,
        most=batch, adapts=int(adapts), costs=costs.address,
        poll=int(engine.idle == "poll"),
        out=live.out, has_sink=int(tape is not None),
        tape=tape.block.address if tape else 0, outbound=outbound.address,
        counts=counts.address, unwanted=unwanted.address, budget=1, making=making.address,
    )  # fmt: skip
    return PortContext(context, queues, costs, [counts, outbound, unwanted, burst, made_burst, making])
