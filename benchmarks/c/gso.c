// Large TCP packets cut into segments: the same loop for DPDK's rte_gso and for ours, which is called by its address.
// Only cutting is timed: packets are made before, and their segments given back after.
#define _GNU_SOURCE
#define ALLOW_EXPERIMENTAL_API // rte_ipv4_udptcp_cksum_mbuf was one in 22.11
#include <rte_ethdev.h>
#include <rte_gso.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

// Returns how many segments were written to `out`; the packet is theirs then.
typedef int64_t (*operation)(int64_t state, int64_t mbuf, int64_t out, int64_t room);

enum { L2 = 14, L3 = 20, L4 = 32, HEADERS = L2 + L3 + L4, BATCH = 16, ROOM = 64 };

static struct rte_gso_ctx context;

// What the functions below are called with as their state.
int64_t make_context(int64_t headers, int64_t indirect, int64_t segsz) {
    context = (struct rte_gso_ctx){.direct_pool = (void *)headers,
                                   .indirect_pool = (void *)indirect,
                                   .gso_types = RTE_ETH_TX_OFFLOAD_TCP_TSO,
                                   .gso_size = (uint16_t)(HEADERS + segsz)};
    return (int64_t)&context;
}

int64_t dpdk_segment(int64_t state, int64_t mbuf, int64_t out, int64_t room) {
    int made = rte_gso_segment((void *)mbuf, (void *)state, (void *)out, (uint16_t)room);
    if (made <= 0)
        return 0;
    rte_pktmbuf_free((void *)mbuf);
    return made;
}

int64_t dpdk_checksums(int64_t state, int64_t mbuf, int64_t out, int64_t room) {
    int64_t made = dpdk_segment(state, mbuf, out, room);
    for (int64_t k = 0; k < made; k++) {
        struct rte_mbuf *segment = ((struct rte_mbuf **)out)[k];
        struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(segment, struct rte_ipv4_hdr *, L2);
        struct rte_tcp_hdr *tcp = (void *)((char *)ip + L3);
        ip->hdr_checksum = 0;
        ip->hdr_checksum = rte_ipv4_cksum(ip);
        tcp->cksum = 0;
        tcp->cksum = rte_ipv4_udptcp_cksum_mbuf(segment, ip, L2 + L3);
    }
    return made;
}

int64_t dpdk_copies(int64_t state, int64_t mbuf, int64_t out, int64_t room) {
    int64_t made = dpdk_segment(state, mbuf, out, room);
    for (int64_t k = 0; k < made; k++)
        if (rte_pktmbuf_linearize(((struct rte_mbuf **)out)[k]) != 0)
            return 0;
    return made;
}

// The thread's own time: what others do meanwhile is not ours.
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t next(uint64_t *seed) {
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545F4914F6CDD1D;
}

// Bytes by chance, the same in all buffers of a pool: nobody writes the payload of packets later.
void fill(struct rte_mempool *pool, uint64_t seed) {
    struct rte_mbuf *all[4096];
    unsigned n = 0;
    while (n < 4096 && (all[n] = rte_pktmbuf_alloc(pool)) != NULL)
        n++;
    for (unsigned k = 0; k < n; k++) {
        uint64_t chance = seed;
        for (unsigned at = 0; at + 8 <= all[k]->buf_len; at += 8) {
            uint64_t word = next(&chance);
            memcpy((char *)all[k]->buf_addr + at, &word, 8);
        }
    }
    rte_pktmbuf_free_bulk(all, n);
}

// A packet with `payload` bytes of a flow of its own, in mbufs that hold `chunk` of them each.
static struct rte_mbuf *make(struct rte_mempool *pool, uint64_t *seed, int64_t payload, int64_t chunk, int64_t segsz) {
    struct rte_mbuf *head = rte_pktmbuf_alloc(pool), *last = head;
    uint64_t chance = next(seed);
    if (head == NULL)
        return NULL;
    char *data = rte_pktmbuf_append(head, (uint16_t)(HEADERS + RTE_MIN(chunk, payload)));
    if (data == NULL) {
        rte_pktmbuf_free(head);
        return NULL;
    }
    struct rte_ipv4_hdr *ip = (void *)(data + L2);
    struct rte_tcp_hdr *tcp = (void *)(data + L2 + L3);
    memset(data, 0, HEADERS);
    memcpy(data, &chance, 8);
    data[12] = 8;
    ip->version_ihl = RTE_IPV4_VHL_DEF;
    ip->total_length = rte_cpu_to_be_16((uint16_t)(L3 + L4 + payload));
    ip->packet_id = (uint16_t)(chance >> 3);
    ip->time_to_live = 64;
    ip->next_proto_id = IPPROTO_TCP;
    ip->src_addr = (uint32_t)next(seed);
    ip->dst_addr = (uint32_t)next(seed);
    tcp->src_port = (uint16_t)chance;
    tcp->dst_port = (uint16_t)(chance >> 16);
    tcp->sent_seq = (uint32_t)next(seed);
    tcp->recv_ack = (uint32_t)next(seed);
    tcp->data_off = L4 / 4 << 4;
    tcp->tcp_flags = RTE_TCP_ACK_FLAG | (chance & 1 << 20 ? RTE_TCP_PSH_FLAG : 0);
    tcp->rx_win = (uint16_t)(chance >> 32);
    for (int64_t done = chunk; done < payload; done += chunk) {
        struct rte_mbuf *part = rte_pktmbuf_alloc(pool);
        if (part == NULL) {
            rte_pktmbuf_free(head);
            return NULL;
        }
        part->data_off += HEADERS; // what other packets had there is no part of this one
        part->data_len = (uint16_t)RTE_MIN(chunk, payload - done);
        head->pkt_len += part->data_len;
        head->nb_segs++;
        last = last->next = part;
    }
    head->ol_flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
    head->l2_len = L2;
    head->l3_len = L3;
    head->l4_len = L4;
    head->tso_segsz = (uint16_t)segsz;
    return head;
}

// ns a segment, over at least `total` of them; less than 0 where packets could not be made or cut.
double segments(operation segment, int64_t state, struct rte_mempool *pool, int64_t payload, int64_t chunk, int64_t segsz,
                int64_t total, uint64_t seed) {
    static struct rte_mbuf *out[BATCH][ROOM];
    struct rte_mbuf *packets[BATCH];
    int64_t made[BATCH], done = 0;
    double seconds = 0;
    while (done < total) {
        for (int k = 0; k < BATCH; k++)
            if ((packets[k] = make(pool, &seed, payload, chunk, segsz)) == NULL)
                return -1;
        double start = now();
        for (int k = 0; k < BATCH; k++)
            made[k] = segment(state, (int64_t)packets[k], (int64_t)out[k], ROOM);
        seconds += now() - start;
        int64_t wrong = 0;
        for (int k = 0; k < BATCH; k++) {
            wrong += made[k] != (payload + segsz - 1) / segsz;
            for (int64_t i = 0; i < made[k]; i++)
                rte_pktmbuf_free(out[k][i]);
            if (made[k] == 0)
                rte_pktmbuf_free(packets[k]);
            done += made[k];
        }
        if (wrong)
            return -2;
    }
    return seconds * 1e9 / (double)done;
}

// One packet as above, cut: its segments' bytes behind each other, each after its length in two. For who compares them.
int64_t sample(operation segment, int64_t state, struct rte_mempool *pool, int64_t payload, int64_t chunk, int64_t segsz,
               uint64_t seed, uint8_t *bytes) {
    struct rte_mbuf *out[ROOM], *packet = make(pool, &seed, payload, chunk, segsz);
    int64_t made = packet == NULL ? 0 : segment(state, (int64_t)packet, (int64_t)out, ROOM), at = 0;
    for (int64_t k = 0; k < made; k++) {
        uint16_t size = (uint16_t)out[k]->pkt_len;
        memcpy(bytes + at, &size, 2);
        at += 2;
        for (struct rte_mbuf *part = out[k]; part != NULL; part = part->next) {
            memcpy(bytes + at, rte_pktmbuf_mtod(part, char *), part->data_len);
            at += part->data_len;
        }
        rte_pktmbuf_free(out[k]);
    }
    return at;
}
