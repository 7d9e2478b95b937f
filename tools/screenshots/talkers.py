"""What the pictures show: a firewall and flow counter with a chain for DNS."""

import burstline as bl


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64
    first: bl.i64
    last: bl.i64
    flags: bl.u8
    longest: bl.cold[bl.u16]


flows = bl.FlowTable(Flow, capacity=200_000)
blocked = bl.PrefixSet(["10.0.192.0/18"])
small, large = bl.Counter("small"), bl.Counter("large")
names = bl.Counter("DNS queries")


@bl.stage
def sizes(pkt):
    if pkt.length < 128:
        small.add()
    elif pkt.length > 1023:
        large.add()


@bl.stage
def drop_blocked(pkt):
    if pkt.ipv4 and pkt.ipv4.src in blocked:
        return bl.drop("blocked")
    if pkt.ipv4 and pkt.ipv4.ttl < 60 and pkt.tcp.dport == 22:
        return bl.drop("far away")


@bl.stage
def count_names(pkt):
    names.add()
    return bl.CONSUME


dns = bl.Chain(count_names, name="dns")


@bl.stage
def sort_out(pkt):
    if pkt.udp.dport == 53:
        return dns


@bl.stage
def count(pkt):
    flow = flows[pkt]
    flow.packets += 1
    flow.bytes += pkt.length
    if flow.first == 0:
        flow.first = pkt.time
    flow.last = pkt.time
    flow.flags |= pkt.tcp.flags
    if pkt.length > flow.longest:
        flow.longest = pkt.length


pipeline = bl.Pipeline(sizes, drop_blocked, sort_out, count)
