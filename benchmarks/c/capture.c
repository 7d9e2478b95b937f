// What dpdk-dumpcap does, in one process: a core receives packets and copies each into an mbuf with pcapng's header
// around it (rte_pcapng_copy), another takes these from a ring and writes them, a burst with one writev
// (rte_pcapng_write_packets). capture EAL-OPTIONS -- SECONDS FILE prints packets written, dropped, and seconds.
#define ALLOW_EXPERIMENTAL_API // rte_pcapng, in 22.11
#include <fcntl.h>
#include <inttypes.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_pcapng.h>
#include <rte_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BURST = 32, SNAPLEN = 262144, RING = 16384, COPIES = 32767, CACHE = 256 };

static struct rte_mempool *copies;
static struct rte_ring *ring;
static volatile int stop;
static uint64_t dropped;

static int receive(void *unused) {
    (void)unused;
    struct rte_mbuf *got[BURST], *made[BURST];
    while (!stop) {
        unsigned n = rte_eth_rx_burst(0, 0, got, BURST), m = 0;
        uint64_t now = rte_get_tsc_cycles();
        for (unsigned k = 0; k < n; k++) {
            struct rte_mbuf *copy = rte_pcapng_copy(0, 0, got[k], copies, SNAPLEN, now, RTE_PCAPNG_DIRECTION_IN);
            if (copy)
                made[m++] = copy;
        }
        unsigned put = rte_ring_sp_enqueue_burst(ring, (void **)made, m, NULL);
        if (put < m)
            rte_pktmbuf_free_bulk(made + put, m - put);
        dropped += n - put;
        rte_pktmbuf_free_bulk(got, n);
    }
    return 0;
}

static int fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    return 1;
}

int main(int argc, char **argv) {
    int used = rte_eal_init(argc, argv);
    if (used < 0 || argc - used != 3)
        return fail("capture EAL-OPTIONS -- SECONDS FILE");
    double seconds = atof(argv[used + 1]);
    int fd = open(argv[used + 2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
    struct rte_mempool *pool = rte_pktmbuf_pool_create("pool", 16383, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    copies = rte_pktmbuf_pool_create("copies", COPIES, CACHE, 0, rte_pcapng_mbuf_size(2048), SOCKET_ID_ANY);
    ring = rte_ring_create("ring", RING, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    struct rte_eth_conf conf;
    memset(&conf, 0, sizeof(conf));
    if (fd < 0 || !pool || !copies || !ring)
        return fail("no file or no memory");
    if (rte_eth_dev_configure(0, 1, 1, &conf) || rte_eth_rx_queue_setup(0, 0, 1024, SOCKET_ID_ANY, NULL, pool) ||
        rte_eth_tx_queue_setup(0, 0, 1024, SOCKET_ID_ANY, NULL) || rte_eth_dev_start(0))
        return fail("no port");
    rte_pcapng_t *out = rte_pcapng_fdopen(fd, NULL, NULL, "capture", NULL);
    if (!out)
        return fail("no pcapng");
    rte_eal_mp_remote_launch(receive, NULL, SKIP_MAIN);
    uint64_t written = 0, begin = rte_get_tsc_cycles(), end = begin + (uint64_t)(seconds * rte_get_tsc_hz());
    while (rte_get_tsc_cycles() < end) {
        struct rte_mbuf *got[BURST];
        unsigned n = rte_ring_sc_dequeue_burst(ring, (void **)got, BURST, NULL);
        if (n && rte_pcapng_write_packets(out, got, n) < 0)
            return fail("cannot write");
        rte_pktmbuf_free_bulk(got, n);
        written += n;
    }
    double took = (double)(rte_get_tsc_cycles() - begin) / rte_get_tsc_hz();
    stop = 1;
    rte_eal_mp_wait_lcore();
    printf("%" PRIu64 " %" PRIu64 " %f\n", written, dropped, took);
    return 0;
}
