"""Load balancer, direct server return: a connection keeps its server, a new one avoids those that have elephants.

    burstline run examples/balancer.py gen:packets=1e6,rate=1e5 --out balanced.pcap
    burstline run examples/balancer.py dpdk:0000:3b:00.0 --workers 2 --steer on

Servers have the service's address, too, and answer clients themselves: only the MAC address changes. A new connection
goes to that of two servers which has less load (Mitzenmacher, "The power of two choices in randomized load balancing",
IEEE TPDS 12(10), 2001), in a table of its own on each worker. Load is bytes, and halves with each window; a flow that
is heavy in a window counts as what the least elephant sends in a second, besides.
"""

import burstline as bl

SERVICE = bl.PrefixSet(["198.18.0.0/15", "2001:2::/48"])  # for tests (RFC 2544, RFC 5180): where `gen:` sends to
SERVERS = tuple(bl.mac(f"02:00:00:00:02:{k:02x}") for k in range(4))
WINDOW = 50_000_000  # ns
HEAVY = 125_000  # bytes in a window that make a flow an elephant: 20 Mbit/s
BESIDES = HEAVY * 10**9 // WINDOW


class Connection(bl.Record):
    server: bl.u8  # counted from 1; 0 for a new one
    heavy: bl.u32  # windows in which it was an elephant
    window: bl.i64  # the last of these
    packets: bl.u64
    bytes: bl.u64


connections = bl.FlowTable(Connection, idle=300, full="evict")
elephants = bl.HeavyHitters(window=WINDOW / 10**9)
chance = bl.Toeplitz()
loads, windows = bl.Map(256), bl.Map(256)  # of each server: bytes, and the window that they are of
served = {k: [0, 0, 0, 0] for k in range(len(SERVERS))}  # connections, packets, bytes, elephants


def load_now(server, window):
    passed = window - windows.get(server, window)
    if passed > 0:
        loads[server] >>= min(passed, 62)
    windows[server] = max(window, windows[server])
    return loads[server]


@bl.stage
def balance(pkt):
    if pkt.ipv4.dst not in SERVICE and pkt.ipv6.dst not in SERVICE:
        return bl.drop("not for the service")
    if not pkt.tcp and not pkt.udp:
        return bl.drop("neither TCP nor UDP")
    it, window = connections[pkt], pkt.time // WINDOW
    if it.server == 0:
        one = (chance.hash(pkt) >> 16) % len(SERVERS)  # RSS has looked at the low bits
        other = (one + 1 + (chance.hash(pkt) >> 20) % (len(SERVERS) - 1)) % len(SERVERS)
        it.server = 1 + (one if load_now(one, window) <= load_now(other, window) else other)
        it.window = -1
    server = it.server - 1
    it.packets += 1
    it.bytes += pkt.length
    load = load_now(server, window) + pkt.length
    if it.window != window and (pkt.mark == bl.FAST_PATH or elephants.add(pkt, pkt.length) >= HEAVY):
        it.window = window
        it.heavy += 1
        load += BESIDES
    loads[server] = load
    pkt.eth.dst = SERVERS[server]
    return bl.send(pkt.port)


pipeline = bl.Pipeline(balance)


@connections.expired
def add_up(rows):
    for server, found in served.items():
        its = rows[rows["server"] == server + 1]
        for k, n in enumerate((len(its), its["packets"].sum(), its["bytes"].sum(), (its["heavy"] > 0).sum())):
            found[k] += int(n)


@pipeline.at_end
def show(report):
    print(f"{'server':17} {'connections':>12} {'packets':>12} {'bytes':>16} {'elephants':>10}")
    for server, (count, packets, size, heavy) in served.items():
        mac = ":".join(f"{byte:02x}" for byte in SERVERS[server].to_bytes(6, "big"))
        print(f"{mac:17} {count:12,} {packets:12,} {size:16,} {heavy:10,}")
