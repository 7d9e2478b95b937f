"""The parser's fast path: Ethernet, IPv4 or IPv6, TCP or UDP, with nothing between; many packets at a time, no branch.

What a packet is depends on data that no branch predictor knows: one wrong guess costs as much as all that is done here.
So everything is worked out for every packet, by selects, and the few that are not plain are written on a list for the
parser's states. Both must agree on every packet that is plain.
"""

from __future__ import annotations

from collections.abc import Callable

from burstline.native.memory import be8, be16, be32, load64, mix, select, store64
from burstline.packet.burst import BurstColumns
from burstline.packet.flow_key_kernel import SECRET_1, SECRET_2, SECRET_3
from burstline.packet.machine import Machine
from burstline.packet.parser import ETH, IPV4, IPV6, LINK_ETHERNET, TCP, UDP
from burstline.packet.transitions import PORTS

LEAST = 42  # bytes of Ethernet, IPv4 and UDP
V4_L4, V6_L4 = 34, 54


def fast_path(
    columns: tuple[str, ...], *, keys: bool, inner: bool, linked: bool, machine: Machine
) -> Callable[[BurstColumns, int, int, int], int]:
    """`(burst, first, count, zeros)` fills the columns of packets from `first` on, and returns how many are not plain:
    the `slow` column lists them. `zeros` is the address of 64 zeros.

    All packets begin with Ethernet, unless they are `linked`: then the `link` column says how each begins.
    """
    hooked = tuple(sorted({port for name in PORTS for port in machine.tables.get(name, {})})) or (-1,)
    protocols = len(machine.protocols)
    present, lower3, lower4, payloads, ends, protos, vlans, labels = (
        name in columns for name in ("present", "l3", "l4", "payload", "end", "proto", "vlan_depth", "mpls_depth")
    )
    lengths = payloads or ends

    def plain_packets(burst: BurstColumns, first: int, count: int, zeros: int) -> int:
        slow = 0
        for i in range(first, first + count):
            captured = burst.captured[i]
            enough = captured >= LEAST
            data = select(enough, burst.data[i], zeros)  # zeros are not plain
            kind, version = be16(data, 12), be8(data, 14)
            is4 = (kind == 0x0800) & (version == 0x45) & (be16(data, 20) & 0x3FFF == 0)
            is6 = (kind == 0x86DD) & (version >> 4 == 6) & (captured >= V6_L4 + 8)
            proto = select(is6, be8(data, 20), be8(data, 23))
            is_tcp = proto == 6
            l4 = select(is6, V6_L4, V4_L4)
            total = select(is6, be16(data, 18), be16(data, 16))
            whole = select(is6, V6_L4, 14) + total
            end = select((total == 0) | (whole > captured), captured, whole)
            fits = l4 + select(is_tcp, 20, 8) <= end
            ports = be32(data, l4)
            plain = (is4 | is6) & (is_tcp | (proto == 17)) & fits & enough
            for port in hooked:
                plain = plain & (ports >> 16 != port) & (ports & 0xFFFF != port)
            if linked:
                plain = plain & (burst.link[i] == LINK_ETHERNET)
            if inner:
                burst.inner_present[i] = 0
            for k in range(protocols):
                store64(burst.protocols[i] + 8 * k, 0)
            if present:
                burst.present[i] = ETH | select(is6, IPV6, IPV4) | select(is_tcp, TCP, UDP)
            if lower3:
                burst.l3[i] = 14
            if lower4:
                burst.l4[i] = l4
            if lengths:
                header = be8(data, l4 + select(fits & is_tcp, 12, 0)) >> 4
                header = select(header < 5, 20, header * 4)
                datagram = be16(data, l4 + 4)
                short = (datagram >= 8) & (l4 + datagram < end)
                behind = select(l4 + header < end, l4 + header, end)
                if payloads:
                    burst.payload[i] = select(is_tcp, behind, l4 + 8)
                if ends:
                    burst.end[i] = select(is_tcp | (short == 0), end, l4 + datagram)
            if protos:
                burst.proto[i] = proto
            if vlans:
                burst.vlan_depth[i] = 0
            if labels:
                burst.mpls_depth[i] = 0
            if keys:
                head = proto | select(is6, 6 << 8, 4 << 8) | (ports >> 16) << 16 | (ports & 0xFFFF) << 32
                a = load64(data + select(is6, 22, 26))
                b = select(is6, load64(data + select(is6, 30, 26)), 0)
                c = select(is6, load64(data + select(is6, 38, 26)), 0)
                d = select(is6, load64(data + select(is6, 46, 26)), 0)
                key = burst.key[i]
                store64(key, head)
                store64(key + 8, a)
                store64(key + 16, b)
                store64(key + 24, c)
                store64(key + 32, d)
                half = mix(head ^ SECRET_1, a ^ SECRET_2)
                full = mix((half ^ mix(b ^ SECRET_3, c ^ SECRET_1)) ^ SECRET_2, d ^ SECRET_3)
                burst.hash[i] = select(is6, full, half)
            burst.slow[slow] = i
            slow += 1 - plain
        return slow

    return plain_packets
