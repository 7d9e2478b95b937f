/* 5-tuple flows with packets and bytes: what both C yardsticks share, a frame's parser and the flow table.
 *
 * The work: Ethernet, VLAN tags skipped, IPv4 with options, IPv6 with extension headers, ports of TCP, UDP and SCTP
 * (0 for the rest and for fragments after the first), one direction per flow, bytes as on the wire. Frames that are
 * not IP are counted and left out. Every header is checked against the captured length before it is read.
 *
 * flows.c holds main; flows_chunks.c and flows_mmap.c each hold a `pass` over the file.
 */
#ifndef FLOWS_H
#define FLOWS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* One flow is one cache line: 40 bytes of key, compared as five words, then what is counted. */
typedef struct {
    uint64_t key[5]; /* IPv4: source and destination in word 0; IPv6: words 0-1 and 2-3; word 4: ports, protocol, version */
    uint64_t packets, bytes, unused;
} flow;

typedef struct {
    flow *slots;
    uint64_t mask, used, limit, other; /* other: frames that are not IP, or are cut inside their headers */
} flow_table;

static inline uint16_t be16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static inline uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t load32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* The 128-bit product folded: one multiplication mixes two words (as in wyhash). */
static inline uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 r = (unsigned __int128)a * b;
    return (uint64_t)r ^ (uint64_t)(r >> 64);
}

#define SALT0 0xa0761d6478bd642full
#define SALT1 0xe7037ed1a0b428dbull
#define SALT2 0x8ebc6af09c88c6e3ull

static inline void count_v4(flow_table *t, uint64_t addresses, uint64_t rest, uint32_t wire) {
    uint64_t i = fold(addresses ^ SALT0, rest ^ SALT1) & t->mask;
    for (;; i = (i + 1) & t->mask) {
        flow *f = &t->slots[i];
        if (f->key[0] == addresses && f->key[4] == rest) {
            f->packets++;
            f->bytes += wire;
            return;
        }
        if (!f->packets) {
            *f = (flow){{addresses, 0, 0, 0, rest}, 1, wire, 0};
            t->used++;
            return;
        }
    }
}

static inline void count_v6(flow_table *t, const uint8_t *a, uint64_t rest, uint32_t wire) {
    uint64_t k0 = load64(a), k1 = load64(a + 8), k2 = load64(a + 16), k3 = load64(a + 24);
    uint64_t i = (fold(k0 ^ SALT0, k1 ^ SALT1) ^ fold(k2 ^ SALT1, k3 ^ SALT2)) + rest;
    i = fold(i, SALT2) & t->mask;
    for (;; i = (i + 1) & t->mask) {
        flow *f = &t->slots[i];
        if (f->key[0] == k0 && f->key[1] == k1 && f->key[2] == k2 && f->key[3] == k3 && f->key[4] == rest) {
            f->packets++;
            f->bytes += wire;
            return;
        }
        if (!f->packets) {
            *f = (flow){{k0, k1, k2, k3, rest}, 1, wire, 0};
            t->used++;
            return;
        }
    }
}

static inline bool has_ports(uint8_t proto) { return proto == 6 || proto == 17 || proto == 132; }

/* Word 4 of a key: the ports as they lie in the packet, the protocol, the IP version. */
static inline uint64_t rest_of_key(uint32_t ports, uint8_t proto, uint8_t version) {
    return (uint64_t)ports | (uint64_t)proto << 32 | (uint64_t)version << 40;
}

/* There are two slots for each flow that the table may hold, so a table at its limit still has free slots. */
static inline bool overfull(const flow_table *t) { return t->used > t->limit; }

/* Count the frame of `cap` bytes at `p`, which had `wire` bytes; false: it is not IP, or its headers are cut. */
static inline bool count_frame(flow_table *t, const uint8_t *p, uint32_t cap, uint32_t wire) {
    if (cap < 14)
        return false;
    const uint8_t *end = p + cap;
    uint16_t type = be16(p + 12);
    p += 14;
    while (type == 0x8100 || type == 0x88a8) { /* IEEE 802.1Q: TCI, then the next EtherType */
        if (end - p < 4)
            return false;
        type = be16(p + 2);
        p += 4;
    }
    if (type == 0x0800) { /* RFC 791 section 3.1 */
        if (end - p < 20 || p[0] >> 4 != 4)
            return false;
        uint32_t header = (p[0] & 15u) * 4;
        if (header < 20 || end - p < header)
            return false;
        uint8_t proto = p[9];
        uint32_t ports = 0;
        if (has_ports(proto) && !(be16(p + 6) & 0x1fff)) {
            if (end - p < header + 4)
                return false;
            ports = load32(p + header);
        }
        count_v4(t, load64(p + 12), rest_of_key(ports, proto, 4), wire);
        return true;
    }
    if (type == 0x86dd) { /* RFC 8200 section 3 */
        if (end - p < 40 || p[0] >> 4 != 6)
            return false;
        const uint8_t *addresses = p + 8;
        uint8_t proto = p[6];
        bool first = true;
        p += 40;
        for (;;) { /* RFC 8200 section 4: extension headers */
            if (proto == 0 || proto == 43 || proto == 60) {
                if (end - p < 8)
                    return false;
                uint32_t header = p[1] * 8u + 8;
                if (end - p < header)
                    return false;
                proto = p[0];
                p += header;
            } else if (proto == 44) {
                if (end - p < 8)
                    return false;
                first = !(be16(p + 2) & 0xfff8);
                proto = p[0];
                p += 8;
                if (!first) /* what follows is the middle of a payload, whatever next header it claims */
                    break;
            } else {
                break;
            }
        }
        uint32_t ports = 0;
        if (first && has_ports(proto)) {
            if (end - p < 4)
                return false;
            ports = load32(p);
        }
        count_v6(t, addresses, rest_of_key(ports, proto, 6), wire);
        return true;
    }
    return false;
}

/* The file header of a classic pcap in this machine's byte order, Ethernet; ends the program otherwise. */
void check_header(const uint8_t *p, size_t have);

/* Prints what went wrong and ends the program. */
_Noreturn void fail(const char *path, const char *message);

/* One pass over the file: counts into `t`, gives the packets. Each yardstick has its own. */
uint64_t pass(const char *path, flow_table *t);

#endif
