// TCP segments of interleaved flows through GRO: the same loop for ours and for rte_gro.
#include <rte_cycles.h>
#include <rte_gro.h>
#include <rte_mbuf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Merge what is at `mbufs`; write to `out` what goes on; return how many.
typedef int64_t (*merging)(int64_t state, int64_t mbufs, int64_t n, int64_t out, int64_t room, int64_t now);
typedef int64_t (*flushing)(int64_t state, int64_t out, int64_t room, int64_t now, int64_t all);

enum { HEADERS = 66, PAYLOAD = 1448, BURST = 256 }; // Ethernet, IPv4, TCP with timestamps: what 1,500 bytes leave

static struct rte_mbuf **mbufs;
static int64_t mbuf_count;

struct flow {
    uint32_t source, destination, ports, sequence;
};
static struct flow *flow_list;
static uint32_t *order;
static int64_t flow_count, position;
static uint64_t chance;

static uint32_t next_number(void) { // xorshift64
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (uint32_t)(chance >> 16);
}

// `n` buffers to put the segments in; returns 0 where the pool has not so many.
int64_t take_buffers(int64_t pool, int64_t n) {
    mbufs = malloc((size_t)n * sizeof(*mbufs));
    mbuf_count = n;
    for (int64_t k = 0; k < n; k++)
        if ((mbufs[k] = rte_pktmbuf_alloc((struct rte_mempool *)pool)) == NULL)
            return 0;
    return n;
}

static void reset(struct rte_mbuf *m) {
    rte_pktmbuf_reset(m);
    m->next = NULL;
    m->nb_segs = 1;
}

void give_buffers(void) {
    for (int64_t k = 0; k < mbuf_count; k++) {
        reset(mbufs[k]);
        rte_pktmbuf_free(mbufs[k]);
    }
    free(mbufs);
}

void begin(int64_t flows, uint64_t seed) {
    chance = seed * 0x9E3779B97F4A7C15u + 1;
    flow_count = flows;
    position = 0;
    flow_list = realloc(flow_list, (size_t)flows * sizeof(*flow_list));
    order = realloc(order, (size_t)flows * sizeof(*order));
    for (int64_t k = 0; k < flows; k++) {
        flow_list[k] = (struct flow){next_number(), next_number(), next_number(), next_number()};
        order[k] = (uint32_t)k;
    }
}

// All flows take turns, each time in another order.
static struct flow *next_flow(void) {
    int64_t at = position++ % flow_count;
    int64_t other = at + next_number() % (flow_count - at);
    uint32_t chosen = order[other];
    order[other] = order[at];
    order[at] = chosen;
    return &flow_list[chosen];
}

static void put16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value) {
    put16(at, value >> 16);
    put16(at + 2, value);
}

// A segment as a port gives it: its checksums are good; and what rte_gro must know besides.
static void write_segment(struct rte_mbuf *m) {
    static const uint8_t headers[HEADERS] = {
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,                        // Ethernet
        0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // IPv4, DF
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0x80, 0x10, 1, 0, 0, 0, 0, 0, // TCP, ACK
        1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4};                             // timestamps
    struct flow *f = next_flow();
    reset(m);
    uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);
    memcpy(data, headers, HEADERS);
    put16(data + 16, HEADERS - 14 + PAYLOAD);
    put32(data + 26, f->source);
    put32(data + 30, f->destination);
    put32(data + 34, f->ports);
    put32(data + 38, f->sequence);
    f->sequence += PAYLOAD;
    m->pkt_len = HEADERS + PAYLOAD;
    m->data_len = HEADERS + PAYLOAD;
    m->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    m->packet_type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4 | RTE_PTYPE_L4_TCP;
    m->l2_len = 14;
    m->l3_len = 20;
    m->l4_len = 32;
}

// Whether each segment is still there, once.
static int64_t all_there(struct rte_mbuf **out, int64_t n, int64_t packets) {
    int64_t bytes = 0, segments = 0;
    for (int64_t k = 0; k < n; k++) {
        int64_t length = 0;
        bytes += out[k]->pkt_len - HEADERS;
        segments += out[k]->nb_segs;
        for (struct rte_mbuf *m = out[k]; m != NULL; m = m->next)
            length += m->data_len;
        if (length != out[k]->pkt_len)
            return 0;
    }
    return segments == packets && bytes == packets * PAYLOAD;
}

// ns for each packet of each lap, to `times`: before a lap its packets are written, after it all that is held goes on.
// Returns how many came out of the last lap; -1 where any was lost.
int64_t run(merging merge, flushing flush, int64_t state, int64_t lap, int64_t laps, int64_t burst, double *times) {
    struct rte_mbuf **out = malloc((size_t)(lap + 4 * BURST) * sizeof(*out));
    int64_t done = 0;
    for (int64_t k = 0; k < laps; k++) {
        struct rte_mbuf **first = mbufs + k * lap % (mbuf_count / lap * lap);
        for (int64_t i = 0; i < lap; i++)
            write_segment(first[i]);
        done = 0;
        uint64_t start = rte_rdtsc_precise();
        for (int64_t i = 0; i < lap; i += burst)
            done += merge(state, (int64_t)(first + i), burst, (int64_t)(out + done), 2 * burst, k);
        if (flush != NULL)
            for (int64_t some = 1; some != 0; done += some)
                some = flush(state, (int64_t)(out + done), lap + BURST - done, k, 1);
        uint64_t ticks = rte_rdtsc_precise() - start;
        times[k] = (double)ticks * 1e9 / (double)rte_get_tsc_hz() / (double)lap;
        if (!all_there(out, done, lap)) {
            done = -1;
            break;
        }
    }
    free(out);
    return done;
}

int64_t burst_api(int64_t parameters, int64_t from, int64_t n, int64_t out, int64_t room, int64_t now) {
    (void)room, (void)now;
    memcpy((void *)out, (void *)from, (size_t)n * sizeof(void *)); // it works in place
    return rte_gro_reassemble_burst((struct rte_mbuf **)out, (uint16_t)n, (struct rte_gro_param *)parameters);
}

int64_t context_api(int64_t context, int64_t from, int64_t n, int64_t out, int64_t room, int64_t now) {
    (void)room, (void)now;
    memcpy((void *)out, (void *)from, (size_t)n * sizeof(void *));
    return rte_gro_reassemble((struct rte_mbuf **)out, (uint16_t)n, (void *)context);
}

int64_t context_flush(int64_t context, int64_t out, int64_t room, int64_t now, int64_t all) {
    (void)now, (void)all;
    uint16_t most = (uint16_t)(room > UINT16_MAX ? UINT16_MAX : room);
    return rte_gro_timeout_flush((void *)context, 0, RTE_GRO_TCP_IPV4, (struct rte_mbuf **)out, most);
}

int64_t parameters(int64_t flows, int64_t items) {
    struct rte_gro_param *made = calloc(1, sizeof(*made));
    *made = (struct rte_gro_param){
        .gro_types = RTE_GRO_TCP_IPV4, .max_flow_num = (uint16_t)flows, .max_item_per_flow = (uint16_t)items};
    return (int64_t)made;
}

void free_parameters(int64_t parameters) {
    free((void *)parameters);
}

int64_t make_context(int64_t flows, int64_t items) {
    struct rte_gro_param *with = (struct rte_gro_param *)parameters(flows, items);
    void *made = rte_gro_ctx_create(with);
    free(with);
    return (int64_t)made;
}

void free_context(int64_t context) {
    rte_gro_ctx_destroy((void *)context);
}
