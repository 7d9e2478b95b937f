"""`handle_packet` as a graph: a handler for each protocol, each as small as reads best; hops cost next to nothing.

burstline run examples/handle_packet.py capture.pcap --graph handlers.svg
"""

import burstline as bl

handshakes, resets, tenants = bl.Counter("TCP handshakes"), bl.Counter("TCP resets"), bl.Counter("packets in VXLAN")


@bl.stage
def count_tcp(pkt):
    if pkt.tcp.flag_syn and not pkt.tcp.flag_ack:
        handshakes.add()
    if pkt.tcp.flag_rst:
        resets.add()


@bl.stage
def count_tenants(pkt):
    if pkt.vxlan and pkt.inner:
        tenants.add()


handle_tcp, handle_udp = bl.Chain(count_tcp, name="tcp"), bl.Chain(count_tenants, name="udp")
by_protocol = bl.Branch({"tcp": handle_tcp, "udp": handle_udp, "arp": bl.CONSUME}, default=bl.drop("no handler"))


@bl.stage
def handle_packet(pkt):
    return by_protocol[pkt]


pipeline = bl.Pipeline(handle_packet)


@pipeline.at_end
def show(report):
    print(*(f"{counter.name}: {counter.value}" for counter in (handshakes, resets, tenants)), sep="\n")
