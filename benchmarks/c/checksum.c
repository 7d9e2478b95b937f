// Checksums of received packets by DPDK: one loop for every function that verifies a burst.
#define ALLOW_EXPERIMENTAL_API // rte_ipv4_udptcp_cksum_verify
#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int64_t (*verifier)(int64_t state, int64_t mbufs, int64_t n); // returns how many are wrong

enum { RING = 1024, BURST = 32 }; // mbufs of a driver's ring

// Packets of `size` bytes, `stride` bytes apart: TCP over IPv4 with noise in it, and right.
void make_packets(int64_t packets, int64_t stride, int64_t count, int64_t size) {
    uint64_t noise = 88172645463325252u;
    for (int64_t k = 0; k < count; k++) {
        uint8_t *data = (uint8_t *)(packets + k * stride);
        for (int64_t i = 0; i < size; i++) {
            if (i % 8 == 0)
                noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17; // G. Marsaglia's xorshift
            data[i] = (uint8_t)(noise >> i % 8 * 8);
        }
        struct rte_ether_hdr *eth = (void *)data;
        struct rte_ipv4_hdr *ip = (void *)(eth + 1);
        struct rte_tcp_hdr *tcp = (void *)(ip + 1);
        eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
        ip->version_ihl = 0x45;
        ip->total_length = rte_cpu_to_be_16((uint16_t)(size - sizeof(*eth)));
        ip->fragment_offset = 0;
        ip->next_proto_id = IPPROTO_TCP;
        ip->hdr_checksum = 0;
        ip->hdr_checksum = rte_ipv4_cksum(ip);
        tcp->data_off = 0x50;
        tcp->cksum = 0;
        tcp->cksum = rte_ipv4_udptcp_cksum(ip, tcp);
    }
}

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

// ns of a cycle of the time stamp counter.
static double cycle(void) {
    static double known;
    if (known == 0) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        uint64_t started = rte_rdtsc_precise();
        do
            clock_gettime(CLOCK_MONOTONIC, &to);
        while ((to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec) < 1e8);
        uint64_t ended = rte_rdtsc_precise();
        known = ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / (double)(ended - started);
    }
    return known;
}

// ns that the median burst takes to be verified; -1 where a packet was not found right. A ring of mbufs, at `mbufs` and
// `room` bytes apart, holds the packets: before each burst they are copied into it, as a NIC writes them, or, without
// `copies`, the mbufs point to where they are.
double drive(verifier verify, int64_t state, int64_t packets, int64_t stride, int64_t count, int64_t size,
             int64_t mbufs, int64_t room, int64_t copies, uint64_t *times) {
    int64_t bad = 0, bursts = 0;
    uint64_t common = ~0ull;
    for (int64_t k = 0; k + BURST <= count; k += BURST) {
        struct rte_mbuf *burst[BURST];
        for (int64_t i = 0; i < BURST; i++) {
            struct rte_mbuf *m = burst[i] = (struct rte_mbuf *)(mbufs + (k + i) % RING * room);
            void *packet = (void *)(packets + (k + i) * stride);
            m->data_off = copies ? RTE_PKTMBUF_HEADROOM : 0;
            m->buf_addr = copies ? (void *)(m + 1) : packet;
            m->nb_segs = 1;
            m->next = NULL;
            m->ol_flags = 0;
            m->pkt_len = (uint32_t)size;
            m->data_len = (uint16_t)size;
            if (copies)
                memcpy(rte_pktmbuf_mtod(m, void *), packet, (size_t)size);
        }
        uint64_t started = rte_rdtsc_precise();
        bad += verify(state, (int64_t)burst, BURST);
        times[bursts++] = rte_rdtsc_precise() - started;
        for (int64_t i = 0; i < BURST; i++)
            common &= burst[i]->ol_flags;
    }
    qsort(times, (size_t)bursts, sizeof(*times), by_size);
    return bad == 0 && (common & RTE_MBUF_F_RX_L4_CKSUM_GOOD) ? (double)times[bursts / 2] * cycle() : -1;
}

// As app/test-pmd/csumonly.c does: headers by their fields, the next packet's data fetched ahead.
int64_t dpdk_verify(int64_t state, int64_t mbufs, int64_t n) {
    struct rte_mbuf **burst = (struct rte_mbuf **)mbufs;
    int64_t bad = 0;
    (void)state;
    for (int64_t i = 0; i < n; i++) {
        if (i + 1 < n)
            rte_prefetch0(rte_pktmbuf_mtod(burst[i + 1], void *));
        struct rte_mbuf *m = burst[i];
        uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);
        struct rte_ether_hdr *eth = (void *)data;
        struct rte_ipv4_hdr *ip = (void *)(eth + 1);
        if (m->data_len < 54 || eth->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) ||
            rte_be_to_cpu_16(ip->total_length) + 14 > m->data_len || (ip->next_proto_id != IPPROTO_TCP))
            continue;
        if (rte_raw_cksum(ip, rte_ipv4_hdr_len(ip)) == 0xffff)
            m->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD;
        else
            m->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_BAD, bad++;
        if (rte_ipv4_udptcp_cksum_verify(ip, (uint8_t *)ip + rte_ipv4_hdr_len(ip)) == 0)
            m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
        else
            m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_BAD, bad++;
    }
    return bad;
}

int64_t nothing(int64_t state, int64_t mbufs, int64_t n) {
    struct rte_mbuf **burst = (struct rte_mbuf **)mbufs;
    (void)state;
    for (int64_t i = 0; i < n; i++)
        burst[i]->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    return 0;
}
