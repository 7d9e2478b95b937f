/* The parser's work in C: each packet's headers, offsets, flow key and its hash, written to columns in bursts of 256.
 *
 * As one would write it by hand: a few functions that inline into one, branches in the order of what is usual. Ethernet,
 * VLAN, LLC/SNAP, MPLS, PPPoE, ARP, IPv4 with options and fragments, IPv6 with extension headers, AH, TCP, UDP, SCTP,
 * ICMP, ICMPv6, IGMP, ESP, GRE; and where `inner` is asked for, what GRE, IP in IP, VXLAN, Geneve and GTP-U carry.
 * Built as a shared library, so that it works on the same packets and columns as what it is measured beside.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    ETH, VLAN, INNER_VLAN, LLC, SNAP, MPLS, INNER_MPLS, PPPOE, ARP, IPV4, IPV6, HOPOPTS, ROUTING, FRAGMENT6, DSTOPTS,
    TCP, UDP, ICMP, ICMPV6, AH, SCTP, IGMP, ESP, GRE, VXLAN, GENEVE, GTPU, FRAGMENT, OPAQUE
};
#define BIT(x) (1u << (x))
#define HERE (1u << 31)
#define BURST 256

typedef struct { /* one set of columns, of the packet itself or of the inner one */
    uint32_t *present, *l3, *l4, *payload, *end;
    uint16_t *proto, *vlan_depth;
} level_columns;

typedef struct {
    level_columns outer, inner;
    uint64_t *hash;
    uint8_t *key;
} columns;

typedef struct { /* what is known of a packet, or of what its tunnel carries */
    uint32_t present, l3, l4, payload, end, proto, vlans, labels;
} level;

static inline uint16_t be16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return __builtin_bswap16(v);
}

static inline uint32_t be32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}

static inline uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline uint32_t min32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t max32(uint32_t a, uint32_t b) { return a > b ? a : b; }

static inline uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 r = (unsigned __int128)a * b;
    return (uint64_t)r ^ (uint64_t)(r >> 64);
}

#define SECRET_1 0xa0761d6478bd642full
#define SECRET_2 0x1d8e4e27c47d124full
#define SECRET_3 0xeb3b33b34f583b35ull

/* The key of packet/flow_key.py, and wyhash's mixer over it. */
static inline void write_key(const columns *c, unsigned i, const uint8_t *data, const level *l) {
    uint64_t k[5] = {0};
    uint32_t p = l->proto;
    bool ports = (p == 6 || p == 17 || p == 33 || p == 132 || p == 136) && l->present & (BIT(IPV4) | BIT(IPV6)) &&
                 !(l->present & BIT(OPAQUE)) && l->l4 + 4 <= l->end;
    uint64_t both = ports ? (uint64_t)be16(data + l->l4) << 16 | (uint64_t)be16(data + l->l4 + 2) << 32 : 0;
    if (l->present & BIT(IPV4)) {
        k[0] = p | 4 << 8 | both;
        k[1] = load64(data + l->l3 + 12);
        c->hash[i] = mix(k[0] ^ SECRET_1, k[1] ^ SECRET_2);
    } else if (l->present & BIT(IPV6)) {
        k[0] = p | 6 << 8 | both;
        memcpy(k + 1, data + l->l3 + 8, 32);
        uint64_t half = mix(k[0] ^ SECRET_1, k[1] ^ SECRET_2) ^ mix(k[2] ^ SECRET_3, k[3] ^ SECRET_1);
        c->hash[i] = mix(half ^ SECRET_2, k[4] ^ SECRET_3);
    } else {
        k[0] = (uint64_t)p << 16;
        c->hash[i] = mix(k[0] ^ SECRET_1, SECRET_2);
    }
    memcpy(c->key + 40 * i, k, 40);
}

static inline void write_level(const level_columns *c, unsigned i, const level *l, uint32_t more) {
    c->present[i] = l->present | more;
    c->l3[i] = l->l3;
    c->l4[i] = l->l4;
    c->payload[i] = l->payload;
    c->end[i] = l->end;
    c->proto[i] = (uint16_t)l->proto;
    c->vlan_depth[i] = (uint16_t)l->vlans;
}

enum { BY_V4 = 1, BY_V6 = 2 }; /* whose protocol numbers: behind AH, those of both */

/* What follows an IP header: true when a packet of its own does, which begins at `*at` with EtherType `*type`. */
static inline bool transport(const uint8_t *d, uint32_t *at, uint32_t *end, level *l, int by, bool inner, uint32_t *type) {
    uint32_t a = *at, e = *end;
    l->l4 = a;
    switch (l->proto) {
    case 6:
        if (a + 20 > e)
            break;
        l->present |= BIT(TCP);
        a = min32(e, a + max32((d[a + 12] >> 4) * 4u, 20));
        break;
    case 17: {
        if (a + 8 > e)
            break;
        l->present |= BIT(UDP);
        uint32_t length = be16(d + a + 4);
        if (length >= 8)
            e = min32(e, a + length);
        uint32_t dport = be16(d + a + 2), sport = be16(d + a);
        a += 8;
        if (!inner)
            break;
        uint32_t port = dport == 4789 || dport == 6081 || dport == 2152 ? dport : sport;
        l->payload = a;
        l->end = e;
        *end = e;
        if (port == 4789 && a + 8 <= e && d[a] & 8) {
            l->present |= BIT(VXLAN);
            *at = a + 8;
            *type = 0x6558;
            return true;
        }
        if (port == 6081 && a + 8 <= e && d[a] >> 6 == 0) {
            l->present |= BIT(GENEVE);
            uint32_t after = a + 8 + (d[a] & 63) * 4u;
            if (after > e)
                return false;
            *at = after;
            *type = be16(d + a + 2);
            return true;
        }
        if (port == 2152 && a + 8 <= e && (d[a] & 0xf0) == 0x30) {
            l->present |= BIT(GTPU);
            uint32_t limit = min32(e, a + 8 + be16(d + a + 2)), after = a + 8;
            if (d[a] & 7) {
                after += 4;
                if (after > limit)
                    return false;
                uint8_t next = d[a] & 4 ? d[after - 1] : 0;
                while (next && after + 4 <= limit) {
                    uint32_t size = d[after] * 4u;
                    if (!size || after + size > limit)
                        return false;
                    next = d[after + size - 1];
                    after += size;
                }
                if (next)
                    return false;
            }
            if (d[a + 1] != 255 || after >= limit)
                return false;
            uint8_t version = d[after] >> 4;
            if (version != 4 && version != 6)
                return false;
            *at = after;
            *end = limit;
            *type = version == 4 ? 0x0800 : 0x86dd;
            return true;
        }
        return false;
    }
    case 1:
        if (by & BY_V4 && a + 8 <= e) {
            l->present |= BIT(ICMP);
            a += 8;
        }
        break;
    case 2:
        if (by & BY_V4 && a + 8 <= e) {
            l->present |= BIT(IGMP);
            a += 8;
        }
        break;
    case 58:
        if (by & BY_V6 && a + 8 <= e) {
            l->present |= BIT(ICMPV6);
            a += 8;
        }
        break;
    case 132:
        if (a + 12 <= e) {
            l->present |= BIT(SCTP);
            a += 12;
        }
        break;
    case 50:
        if (a + 8 <= e) {
            l->present |= BIT(ESP);
            a += 8;
        }
        break;
    case 4:
    case 41:
        l->payload = a;
        l->end = e;
        *type = l->proto == 4 ? 0x0800 : 0x86dd;
        return inner;
    case 47: {
        if (a + 4 > e)
            break;
        l->present |= BIT(GRE);
        uint32_t flags = be16(d + a), kind = be16(d + a + 2), version = flags & 7, after = a + 4;
        bool whole = true;
        if (version == 0) {
            if (flags & 0xc000)
                after += 4;
            after += (flags >> 11 & 4) + (flags >> 10 & 4);
            if (flags & 0x4000) {
                bool more = true;
                while (more && after + 4 <= e) {
                    more = (be32(d + after) & 0xffff00ff) != 0;
                    after += 4 + d[after + 3];
                }
                whole = !more;
            }
        } else if (version == 1) {
            after += 4 + (flags >> 10 & 4) + (flags >> 5 & 4);
        } else {
            whole = false;
        }
        a = min32(after, e);
        l->payload = a;
        l->end = e;
        *at = a;
        *type = kind;
        return inner && whole && after <= e;
    }
    }
    l->payload = a;
    l->end = e;
    return false;
}

static inline bool extends(uint32_t p) {
    return p == 0 || p == 43 || p == 44 || p == 51 || p == 60 || p == 135 || p == 139 || p == 140;
}

/* Past extension headers; false where they are cut, or end in a later fragment: what follows is not looked at. */
static inline bool extensions(const uint8_t *d, uint32_t *at, uint32_t e, level *l, int *by) {
    uint32_t a = *at;
    bool whole = true;
    while (extends(l->proto)) {
        uint32_t p = l->proto;
        whole = a + (p == 51 ? 12 : 8) <= e;
        if (!whole)
            break;
        uint32_t size = p == 44 ? 8 : p == 51 ? 8 + 4u * d[a + 1] : 8 + 8u * d[a + 1];
        l->present |= p == 0    ? BIT(HOPOPTS)
                      : p == 43 ? BIT(ROUTING)
                      : p == 44 ? BIT(FRAGMENT6)
                      : p == 60 ? BIT(DSTOPTS)
                      : p == 51 ? BIT(AH)
                                : 0;
        l->proto = d[a];
        *by = p == 51 ? BY_V4 | BY_V6 : BY_V6;
        if (p == 44) {
            uint32_t piece = be16(d + a + 2);
            if (piece & 0xfff9)
                l->present |= BIT(FRAGMENT);
            if (piece & 0xfff8) {
                l->present |= BIT(OPAQUE);
                a += 8;
                whole = false;
                break;
            }
        }
        whole = a + size <= e;
        if (!whole) {
            l->present |= BIT(OPAQUE);
            break;
        }
        a += size;
    }
    *at = a;
    return whole;
}

/* One packet, or what a tunnel carries, from EtherType `type` at `*at` on; true when another one is in it. */
static inline bool network(const uint8_t *d, uint32_t *at, uint32_t *end, uint32_t *type, level *l, bool inner) {
    uint32_t a = *at, e = *end, t = *type;
    for (;;) {
        if (t == 0x8100 || t == 0x88a8 || t == 0x9100) { /* IEEE 802.1Q clause 9.5 */
            if (a + 4 > e)
                break;
            if (l->present & BIT(ETH))
                l->present |= l->vlans ? BIT(INNER_VLAN) : BIT(VLAN);
            l->vlans++;
            t = be16(d + a + 2);
            a += 4;
            if (t < 0x600) {
                e = min32(e, a + t);
                t = 0;
            }
            l->proto = t;
            continue;
        }
        if (t == 0x8847 || t == 0x8848) { /* RFC 3032 */
            uint32_t version = 0;
            bool bottom = false;
            while (!bottom && a + 4 <= e) {
                l->present |= l->labels ? BIT(INNER_MPLS) : BIT(MPLS);
                l->labels++;
                bottom = d[a + 2] & 1;
                a += 4;
            }
            if (bottom && a < e)
                version = d[a] >> 4;
            if (version != 4 && version != 6)
                break;
            t = version == 4 ? 0x0800 : 0x86dd;
            continue;
        }
        if (t == 0x8864) { /* RFC 2516 */
            if (a + 8 > e)
                break;
            l->present |= BIT(PPPOE);
            e = min32(e, max32(a + 6 + be16(d + a + 4), a + 8));
            uint32_t ppp = be16(d + a + 6);
            bool session = be16(d + a) == 0x1100;
            a += 8;
            if (!session || (ppp != 0x0021 && ppp != 0x0057 && ppp != 0x0281))
                break;
            t = ppp == 0x0021 ? 0x0800 : ppp == 0x0057 ? 0x86dd : 0x8847;
            continue;
        }
        if (t == 0) { /* LLC, and SNAP behind it; shown behind Ethernet only, not behind a tag that a tunnel carries */
            if (a + 3 > e)
                break;
            bool shown = l->present & BIT(ETH);
            l->present |= shown ? BIT(LLC) : 0;
            uint32_t sap = be16(d + a), control = d[a + 2];
            if ((control & 3) != 3) {
                a = min32(a + 4, e);
                break;
            }
            a += 3;
            if (control != 3 || sap != 0xaaaa || a + 5 > e)
                break;
            l->present |= shown ? BIT(SNAP) : 0;
            bool ethertype = be32(d + a) >> 8 == 0 && be16(d + a + 3) >= 0x600;
            t = ethertype ? be16(d + a + 3) : 0;
            a += 5;
            l->proto = t;
            if (!ethertype)
                break;
            continue;
        }
        break;
    }
    l->l3 = l->l4 = l->payload = a;
    l->end = e;
    *end = e;
    if (t == 0x0800) {
        if (a + 20 > e || d[a] >> 4 != 4)
            return false;
        uint32_t size = (d[a] & 15) * 4u, total = be16(d + a + 2), piece = be16(d + a + 6) & 0x3fff;
        if (total)
            e = min32(e, a + total);
        l->present |= BIT(IPV4) | (piece ? BIT(FRAGMENT) : 0);
        l->proto = d[a + 9];
        if (size < 20 || a + size > e || piece & 0x1fff) {
            l->present |= BIT(OPAQUE);
            l->l4 = l->payload = min32(a + max32(size, 20), e);
            l->end = e;
            return false;
        }
        a += size;
        *end = e;
        int by = BY_V4;
        if (l->proto == 51 && !extensions(d, &a, e, l, &by)) /* RFC 4302 */
            goto stop;
        *at = a;
        return transport(d, at, end, l, by, inner, type);
    }
    if (t == 0x86dd) {
        if (a + 40 > e || d[a] >> 4 != 6)
            return false;
        uint32_t length = be16(d + a + 4);
        if (length)
            e = min32(e, a + 40 + length);
        l->present |= BIT(IPV6);
        l->proto = d[a + 6];
        a += 40;
        *end = e;
        int by = BY_V6;
        if (!extensions(d, &a, e, l, &by))
            goto stop;
        *at = a;
        return transport(d, at, end, l, by, inner, type);
    }
    if (t == 0x0806 && a + 28 <= e && be32(d + a) == 0x00010800 && be16(d + a + 4) == 0x0604) {
        l->present |= BIT(ARP);
        l->l4 = l->payload = a + 28;
    }
    return false;
stop:
    l->l4 = l->payload = a;
    l->end = e;
    return false;
}

/* Whether an inner packet of this EtherType is looked into. */
static inline bool tunnelled(uint32_t t) {
    return t == 0x0800 || t == 0x86dd || t == 0x6558 || t == 0x0806 || t == 0x8100 || t == 0x88a8 || t == 0x8847 ||
           t == 0x8848;
}

static inline void parse(const columns *c, unsigned i, const uint8_t *d, uint32_t captured, bool inner) {
    level l = {.end = captured};
    uint32_t at = 0, end = captured, type = 0x6558;
    bool outer = true;
    if (inner)
        c->inner.present[i] = 0;
    for (;;) {
        bool more = false;
        if (type == 0x6558) { /* Ethernet */
            if (at + 14 > end) {
                l.l3 = l.l4 = l.payload = at;
                l.end = end;
            } else {
                l.present |= BIT(ETH);
                type = be16(d + at + 12);
                at += 14;
                if (type < 0x600) {
                    end = min32(end, at + type);
                    type = 0;
                }
                l.proto = type;
                more = network(d, &at, &end, &type, &l, inner);
            }
        } else {
            more = network(d, &at, &end, &type, &l, inner);
        }
        if (outer) {
            write_level(&c->outer, i, &l, 0);
            write_key(c, i, d, &l);
        } else {
            write_level(&c->inner, i, &l, HERE);
        }
        if (!more || !tunnelled(type))
            return;
        outer = false;
        l = (level){.end = end};
    }
}

/* All packets, in bursts of which each overwrites the columns of the one before; `inner`: tunnels are looked into. */
void parse_packets(const columns *c, const uint8_t *arena, const uint64_t *starts, const uint32_t *captured,
                   uint64_t packets, int inner) {
    for (uint64_t first = 0; first < packets; first += BURST) {
        unsigned n = packets - first < BURST ? (unsigned)(packets - first) : BURST;
        for (unsigned i = 0; i < n; i++) {
            const uint8_t *ahead = arena + starts[first + i + 64];
            __builtin_prefetch(ahead);
            __builtin_prefetch(ahead + 64);
            if (inner)
                parse(c, i, arena + starts[first + i], captured[first + i], true);
            else
                parse(c, i, arena + starts[first + i], captured[first + i], false);
        }
    }
}
