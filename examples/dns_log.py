"""DNS log: time, client and name of each query, picked out by a stage and printed by Python in batches.

burstline run examples/dns_log.py capture.pcapng
"""

from ipaddress import ip_address

import burstline as bl


class Query(bl.Record):
    time: bl.i64
    client4: bl.ipv4
    client6: bl.ipv6
    name: bl.bytes_[64]  # labels, a byte of length before each (RFC 1035 section 3.1)


queries = bl.Digest(Query)


@bl.stage
def log(pkt):
    message = pkt.payload
    if pkt.udp.dport == 53 and len(message) > 12 and message[2] < 0x80:  # bit QR is 0: no response
        query = queries.new()
        query.time, query.client4, query.client6 = pkt.time, pkt.ipv4.src, pkt.ipv6.src
        query.name = message[12:]


@queries.batches
def show(batch):
    for q in batch:
        name, rest = "", q["name"]
        while rest and rest[0]:
            name, rest = name + repr(rest[1 : 1 + rest[0]])[2:-1] + ".", rest[1 + rest[0] :]
        print(q["time"].astype("M8[ns]"), ip_address(int(q["client4"]) or q["client6"].tobytes()), name or ".")


pipeline = bl.Pipeline(log)
