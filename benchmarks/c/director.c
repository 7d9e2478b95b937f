// One thread hands packets to workers: DPDK's rte_distributor, and what plays its workers and ours. A second thread plays
// all workers in turn, and a NIC: what workers get goes back into a ring, the wire, each time as another packet.
#include <rte_distributor.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BURST = 64, MOST = 8 };

struct tuple { // addresses and ports as they lie in a packet, and the hash that a NIC would write
    uint8_t bytes[12];
    uint32_t hash;
};

enum { TUPLE_AT = 26 }; // in an IPv4 packet behind Ethernet

static const struct tuple *tuples;
static uint64_t tuple_count, next_tuple, served;

void traffic(const struct tuple *all, uint64_t count) {
    tuples = all;
    tuple_count = count;
    next_tuple = 0;
}

static void fill(struct rte_mbuf *mbuf) {
    const struct tuple *t = &tuples[next_tuple];
    memcpy(rte_pktmbuf_mtod_offset(mbuf, uint8_t *, TUPLE_AT), t->bytes, sizeof(t->bytes));
    mbuf->hash.usr = t->hash;
    next_tuple = next_tuple + 1 == tuple_count ? 0 : next_tuple + 1;
}

uint64_t count(void) {
    return __atomic_load_n(&served, __ATOMIC_RELAXED);
}

static void back(struct rte_ring *wire, struct rte_mbuf **mbufs, unsigned n) {
    for (unsigned k = 0; k < n; k++)
        fill(mbufs[k]);
    rte_ring_enqueue_bulk(wire, (void **)mbufs, n, NULL);
    __atomic_store_n(&served, served + n, __ATOMIC_RELAXED);
}

// Workers that poll a queue each of a port.
int64_t serve_port(int64_t port, int64_t workers, int64_t wire, volatile int64_t *stop) {
    struct rte_mbuf *mbufs[BURST];
    while (!*stop)
        for (int64_t w = 0; w < workers; w++)
            back((struct rte_ring *)wire, mbufs, rte_eth_rx_burst((uint16_t)port, (uint16_t)w, mbufs, BURST));
    return 0;
}

int64_t make(int64_t workers) {
    static int number;
    char name[32];
    snprintf(name, sizeof(name), "bench%d", number++);
    struct rte_distributor *d = rte_distributor_create(name, rte_socket_id(), (unsigned)workers, RTE_DIST_ALG_BURST);
    for (int64_t w = 0; d != NULL && w < workers; w++)
        rte_distributor_request_pkt(d, (unsigned)w, NULL, 0);
    return (int64_t)d;
}

// Workers of the distributor. Polling asks for the next packets, too; rte_distributor_request_pkt would also bring
// packets back, but waits for the distributor, which may be waiting for another worker: one thread cannot play both so.
int64_t serve_distributor(int64_t distributor, int64_t workers, int64_t wire, volatile int64_t *stop) {
    struct rte_distributor *d = (struct rte_distributor *)distributor;
    struct rte_mbuf *mbufs[MOST];
    while (!*stop)
        for (int64_t w = 0; w < workers; w++) {
            int n = rte_distributor_poll_pkt(d, (unsigned)w, mbufs);
            if (n < 0)
                continue;
            back((struct rte_ring *)wire, mbufs, (unsigned)n);
        }
    return 0;
}

// The distributor's own thread.
int64_t distribute(int64_t distributor, int64_t wire, volatile int64_t *stop) {
    struct rte_distributor *d = (struct rte_distributor *)distributor;
    struct rte_mbuf *mbufs[BURST];
    while (!*stop) {
        unsigned n = rte_ring_dequeue_burst((struct rte_ring *)wire, (void **)mbufs, BURST, NULL);
        rte_distributor_process(d, mbufs, n);
    }
    for (int k = 0; k < 1000; k++) // what it still holds
        rte_distributor_process(d, NULL, 0);
    return 0;
}
