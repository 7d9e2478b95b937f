"""What each setting is for, by its place in the file."""

from __future__ import annotations

STEERING = (
    "src_mac", "dst_mac", "vlan", "src", "dst", "proto", "sport", "dport", "flags", "tunnel", "tunnel_id", "priority",
    "to", "mark", "count",
)  # fmt: skip
SETTINGS = {
    "engine.workers": "Worker threads, each pinned to a core; `--workers`.",
    "engine.burst": "Packets to receive at once from a port; `--burst`.",
    "engine.idle": "What a worker without packets does: `adaptive` sleeps for 20 to 100 µs at a time once 512 polls in "
    "a row found nothing, `poll` never sleeps; `--idle`.",
    "engine.dispatch": "How a stage hands a packet to the next: `fused` makes one function of all, `tail` jumps from "
    "stage to stage, `called` calls and returns, for comparison, `bucketed` runs a burst chain by chain, `auto` "
    "chooses; `--dispatch`.",
    "engine.simd": "The vector instructions that code is made of: `auto` takes all that the CPU has, `scalar` none; "
    "`BURSTLINE_SIMD` in the environment overrides it.",
    "engine.duration": "Seconds after which a run stops; `--duration`.",
    "engine.stats_interval": "Seconds between snapshots of the counts, for `burstline stats`; `false` takes none.",
    "engine.cores": "Cores for the workers, one each; without it, those that the process may use, in order; `--cores`.",
    "flows.export": "[Sinks](flow-export.md) of flow records, instead of those that the application's tables name; "
    "`--export`.",
    "dpdk.eal_args": "Options of DPDK's environment abstraction layer, which override burstline's own.",
    "dpdk.hugepages": "`auto` takes huge pages when enough are free, `true` demands them, `false` does without; "
    "`--no-huge`.",
    "ports.device": "The device, spelled as on the command line. Each device has one `[[ports]]`.",
    "ports.queues": "Receive and transmit queues: one for each worker, which is also the default.",
    "ports.rx_descriptors": "Size of a receive ring; without it, up to 1024, as the core's share of L3 has room.",
    "ports.tx_descriptors": "Size of a transmit ring; 1024 when it is not given.",
    "ports.mtu": "The largest packet after the Ethernet header, in bytes; left as the device has it when not given.",
    "ports.steer": "Who carries out [steering rules](steering.md): `rte_flow`, `xdp`, `software`, or the best of them "
    "that can, `auto`.",
    "ports.offloads": "Keys of `[offloads]` for this port alone, such as `{ tso = false }`.",
    "offloads.checksum": "`true` verifies checksums on receive, drops what is wrong by name, and fills them in on "
    'send; `"verify"` and `"fill"` do one of the two. Without it, neither.',
    "offloads.tso": "Packets larger than the MTU are cut by the port. Without it, `auto`: where such packets are "
    "sent, and by software where the port cannot.",
    "offloads.gso": "Software cuts what ports do not; `auto` without it.",
    "offloads.lro": "The port merges received TCP packets, or software does; `false` without it.",
    "offloads.gro": "Software merges received TCP and UDP packets. Without it, `auto`: in the place of `lro` where "
    "the port cannot.",
    "offloads.gro_timeout": "Seconds for which software holds packets to merge others with them; 0, as without it: "
    "until the end of a burst.",
    "offloads.vlan": "The tag of this VLAN is taken off on receive and put on on send; `false` without it.",
    "offloads.rss": "The port spreads flows over its queues; `symmetric`: both directions of one to the same. "
    "Without it, `auto`: where there are several queues.",
    "offloads.scatter": "Long frames come in several buffers; without it, `auto`, as "
    "[receiving](buffers-receive.md) needs it.",
    "offloads.buffer_split": "The beginning of a packet comes in a buffer of its own; `auto` without it.",
    "offloads.multi_segment": "The port sends packets that lie in several buffers; `auto` without it. `false`: "
    "they are copied into one.",
    "offloads.fast_free": "The driver gives sent buffers back without looking at them; without it, `auto`: where "
    "all come from one pool.",
    "offloads.timestamp": "`pkt.time` is when the port says that a packet came, where it stamps packets, else the time "
    "of their burst; `false`, the latter only, without it.",
    "offloads.segment_size": "Bytes of payload for packets that stages emit without a segment size; without it, "
    "what the MTU has room for.",
    "offloads.require": "Who must do all that is asked for, or a list of offloads that hardware must do; what "
    "cannot be had is an error. `auto` without it.",
    "offloads.tune": "The [profile](offloads.md) of each driver; `off` without it.",
    "parser.vxlan": "UDP ports that [VXLAN](parser.md) is found at, as destination or source.",
    "parser.geneve": "UDP ports that Geneve is found at.",
    "parser.gtpu": "UDP ports that GTP-U is found at.",
    "pools.classes": "Bytes of packet that buffers hold: [size classes](buffers-receive.md). `burstline buffers` "
    "proposes some.",
    "pools.receive": "How ports receive: `auto` takes the first of the others that the driver can do; they demand it.",
    "pools.ops": "Where free buffers are: `burstline` keeps them in its own magazines, any other name is that of "
    "DPDK's mempool ops; `auto` takes burstline's where DPDK would take a ring.",
    "pools.buffers": "Packet buffers of each class: mbufs that ports receive into; without it, as many as rings, "
    "bursts and caches can hold. Of a file, buffers for packets that stages make; without it, as many as clones take.",
    "pools.most": "Buffers of each class that burstline's own pools may grow to, ahead of a load; without it, they "
    "stay as they are.",
    "pools.buffer_size": "Bytes of the buffers that ports receive into, 128 bytes of headroom included; without it, "
    "those of the class that suits each port.",
    "pools.cache": "Buffers that each worker keeps at hand, by class; without it, up to 256, as its L2 has room.",
    "numa.enabled": "The packet buffers of a port lie on its NUMA node; of a virtual device, on that of the first PCI "
    "port.",
    "numa.node": "They lie on this node instead.",
    "numa.plan": "A plan that a run between ports [carries out](numa-engine.md): `auto` makes one for this machine, a "
    "file of `burstline plan --save` has one; `--plan`.",
    "numa.irqs": "While a plan is carried out, interrupts of network cards are kept off the workers' cores, where the "
    "process may do that; they are put back at the end.",
    "numa_balance.act": "Whether the [balancer](numa-balance.md) runs beside live ports: `on` moves buckets with their "
    "flows, `dry-run` decides and changes nothing; it needs a flow director and two workers.",
    "numa_balance.log": "A file that each decision is written to, with its reason, as a line of JSON.",
    "numa_balance.look": "Seconds from one look of the balancer at the workers to the next.",
    "numa_balance.least": "Seconds for which a gain is counted on, at least; as long as traffic has been what it is,",
    "numa_balance.horizon": "and at most.",
    "numa_balance.held": "Seconds for which packets of what moves wait, for the estimate of what a move costs.",
    "numa_balance.late": "A packet that waits for more seconds is late, and how much more does not count.",
    "numa_balance.sure": "A move must pay with loads that are this many standard errors worse for it than they seem.",
    "numa_balance.margin": "It must gain so many times its price.",
    "numa_balance.near": "A worker in the same L3 domain, or on the same node, is taken when it brings this share of "
    "what the best one does.",
    "numa_balance.dwell": "Seconds for which what has moved stays, doubled with each move while its traffic is as it "
    "was.",
    "numa_balance.moves": "Moves a second, at most,",
    "numa_balance.at_once": "and from one look to the next.",
    "numa_balance.park": "Workers that the load does not need get no packets.",
    "numa_balance.low": "Mean load of the others up to which a worker is not needed.",
    "numa_balance.high": "Mean load from which on one that was parked is woken.",
    "numa_balance.calm": "Seconds for which a worker must not have been needed, doubled each time it was nevertheless.",
    "numa_balance.tune": "Workers take the burst size, how far to prefetch and whether to sleep, balancer and plans "
    "what hops cost, as the [learned cost model](numa-balance.md#the-learned-cost-model) advises; "
    "otherwise its advice is only logged.",
    "steering_control.act": "Whether the [controller](steering-control.md) runs beside live ports: `on` steers, "
    "`dry-run` decides and changes nothing; it needs a flow director and two workers; `--steer`.",
    "steering_control.log": "A file that each decision is written to, with its reason, as a line of JSON; "
    "`burstline steer FILE` shows it. Without it, none.",
    "steering_control.look": "Seconds from one look of the controller at the load to the next.",
    "steering_control.enter": "It acts when the fullest core has so many times the mean load,",
    "steering_control.leave": "and comes so near to it.",
    "steering_control.heavy": "A flow gets a rule of its own from this share of a core's mean load on.",
    "steering_control.age": "A flow gets a rule when it has been heavy for so many seconds.",
    "steering_control.agree": "Looks by which a change must pay on paper before it is made, at least;",
    "steering_control.window": "after so many it is made or dropped.",
    "steering_control.dwell": "Looks for which what has moved stays.",
    "steering_control.unused": "A rule goes when nothing hit it for so many seconds.",
    "steering_control.horizon": "Seconds for which a gain is counted on, at most.",
    "steering_control.gain": "A gain of less than this share of the mean load is none.",
    "steering_control.held": "Seconds for which packets of a flow that moves wait, for the estimate of what a move "
    "costs.",
    "steering_control.cold": "Seconds of a core that the caches of a flow that moved cost.",
    "steering_control.safe": "The share of the device's safe rate of rule updates that the controller takes.",
    "steering_control.in_flight": "Moves that are asked for and not yet effective, at most.",
    "steering_control.stake": "What steering may lose against plain RSS before it ends, in cores times looks.",
    "steering_control.calm": "Seconds for which it then ends, doubled each time.",
    "steering_control.dedicate": "A flow that takes this share of a core gets one alone where the others have room "
    "for the rest.",
    "steering_control.fast": "Packets/s from which a flow is marked for the fast path; 0 marks none.",
    "steering_control.bypass": "Flows that are marked bypass the cores: the device drops them.",
    "steering_control.new_connections": "Buckets without packets move to where there is less to do, for connections "
    "that begin.",
    "service.user": "The user that a run between ports [becomes](service.md) once they are open; `--user`.",
    "service.state": "A directory that counters and tables are kept in from run to run; `--keep-state`.",
    "service.state_interval": "Seconds from one time that they are written to the next.",
    "enable_flow_director": 'Steering of packets to workers: `"auto"` where there are rules, `true` always.',
    **{f"steering.{name}": f"As `{name}` of a `SteeringRule`." for name in STEERING},
}
