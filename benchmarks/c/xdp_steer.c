// The XDP director by hand: parse, exact rules in a hash map, others walked in an array, Toeplitz and RETA, counters,
// redirect. Less than ours: two VLAN tags, no extension headers, no tunnels, IPv4 rules only.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#define QUEUES 4
#define MOST_RULES 128
#define be16(x) __builtin_bswap16(x)
#define be32(x) __builtin_bswap32(x)

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*redirect_map)(void *map, __u64 key, __u64 flags) = (void *)51;

struct key {
    __u8 proto, version;
    __u16 sport, dport, zero;
    __u8 addresses[32];
};
struct decided {
    __u64 rank, decision; // of which the lowest 16 bits are the queue
};
struct counter {
    __u64 packets, bytes;
};
struct rule {
    __u32 src, src_mask, dst, dst_mask;
    __u16 sport_low, sport_high, dport_low, dport_high;
    __u32 proto, queue;
};
struct settings {
    __u32 tables[36][256], reta[512]; // as src/burstline/steering/xdp/layout.py
    __u16 groups[4096];
    __u64 any_exact;
};
struct wild {
    __u32 count;
    struct rule rules[MOST_RULES];
};

extern struct settings settings;
extern struct wild wild;
extern char exact, queues, sockets;

static __always_inline __u32 hashed(const __u8 *data, int size, int place) {
    __u32 found = 0;
#pragma unroll
    for (int k = 0; k < size; k++)
        found ^= settings.tables[place + k][data[k]];
    return found;
}

static __always_inline int walk(__u32 src, __u32 dst, __u32 proto, __u16 sport, __u16 dport) {
    for (__u32 k = 0; k < MOST_RULES; k++) {
        if (k >= wild.count)
            break;
        struct rule *r = &wild.rules[k];
        if (r->proto == proto && (src & r->src_mask) == r->src && (dst & r->dst_mask) == r->dst &&
            sport >= r->sport_low && sport <= r->sport_high && dport >= r->dport_low && dport <= r->dport_high)
            return r->queue;
    }
    return -1;
}

__attribute__((section("xdp"))) int steer(struct xdp_md *context) {
    __u8 *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
    __u8 *start = data;
    struct key key = {};
    __u32 hash = 0;
    int queue = -1, piece = 0;
    if (data + ETH_HLEN > end)
        return XDP_PASS;
    __u16 kind = be16(*(__u16 *)(data + 12));
    data += ETH_HLEN;
#pragma unroll
    for (int k = 0; k < 2; k++)
        if (kind == ETH_P_8021Q || kind == ETH_P_8021AD) {
            if (data + 4 > end)
                return XDP_PASS;
            kind = be16(*(__u16 *)(data + 2));
            data += 4;
        }
    __u32 proto = 0, src = 0, dst = 0;
    if (kind == ETH_P_IP) {
        struct iphdr *ip = (void *)data;
        if (data + sizeof *ip > end || ip->ihl < 5)
            return XDP_PASS;
        proto = ip->protocol, src = be32(ip->saddr), dst = be32(ip->daddr);
        piece = be16(ip->frag_off) & 0x3fff;
        key.version = 4;
        __builtin_memcpy(key.addresses, &ip->saddr, 8);
        hash = hashed((void *)&ip->saddr, 8, 0);
        data += ip->ihl * 4;
    } else if (kind == ETH_P_IPV6) {
        struct ipv6hdr *ip = (void *)data;
        if (data + sizeof *ip > end)
            return XDP_PASS;
        proto = ip->nexthdr;
        key.version = 6;
        __builtin_memcpy(key.addresses, &ip->saddr, 32);
        hash = hashed((void *)&ip->saddr, 32, 0);
        data += sizeof *ip;
    }
    if ((proto == IPPROTO_TCP || proto == IPPROTO_UDP) && !piece && data + 8 <= end) {
        key.proto = proto;
        key.sport = be16(*(__u16 *)data), key.dport = be16(*(__u16 *)(data + 2));
        hash ^= hashed(data, 4, key.version == 4 ? 8 : 32);
        if (key.version == 4)
            queue = walk(src, dst, proto, key.sport, key.dport);
        struct decided *found = settings.any_exact ? lookup(&exact, &key) : 0;
        if (found)
            queue = found->decision & 0xffff;
    }
    if (queue < 0)
        queue = settings.reta[hash & 127];
    __u32 number = queue;
    struct counter *counter = lookup(&queues, &number);
    if (counter)
        counter->packets++, counter->bytes += end - start;
    return redirect_map(&sockets, (__u64)context->rx_queue_index * QUEUES + number, XDP_PASS);
}
