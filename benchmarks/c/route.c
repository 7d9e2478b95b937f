// A router between the two ends of a net_ring, by DPDK's own tables: rte_fib and rte_fib6 at 512 bits, rte_lpm and
// rte_lpm6. As examples/l3fwd does it: a burst is received, prefetched, looked up in bulk, rewritten and sent.
//
// route fib|lpm|fib6|lpm6 ROUTES PACKETS SECONDS HOPS [EAL arguments]
// Prints the packets/s; writes the next hop of each packet of the capture to HOPS, a byte each.
#define ALLOW_EXPERIMENTAL_API
#include <arpa/inet.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_ip.h>
#include <rte_lpm.h>
#include <rte_lpm6.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BURST 64
#define AHEAD 4
#define HOPS 16
#define NO_ROUTE 0x7fff // the largest next hop of two bytes
#define ROOM 256        // bytes of a buffer, headroom included

enum table { FIB, LPM, FIB6, LPM6 };

struct route {
    uint8_t address[16];
    uint8_t length;
    uint8_t hop;
};

static struct rte_fib *fib;
static struct rte_lpm *lpm;
static struct rte_fib6 *fib6;
static struct rte_lpm6 *lpm6;
static struct rte_ether_addr ours[HOPS], theirs[HOPS];

static void fail(const char *what) {
    fprintf(stderr, "route: %s: %s\n", what, rte_strerror(rte_errno));
    exit(1);
}

static struct route *read_routes(const char *path, bool six, uint32_t *count) {
    FILE *file = fopen(path, "r");
    uint32_t room = 1024;
    struct route *routes = malloc(room * sizeof *routes);
    char text[64];
    unsigned length, hop;
    *count = 0;
    while (file && fscanf(file, "%60[^/]/%u %u\n", text, &length, &hop) == 3) {
        if (*count == room)
            routes = realloc(routes, (room *= 2) * sizeof *routes);
        struct route *r = &routes[(*count)++];
        if (inet_pton(six ? AF_INET6 : AF_INET, text, r->address) != 1)
            fail(text);
        r->length = length;
        r->hop = hop;
    }
    if (*count == 0)
        fail(path);
    fclose(file);
    return routes;
}

static uint32_t ipv4(const uint8_t *address) {
    uint32_t word;
    memcpy(&word, address, 4);
    return rte_be_to_cpu_32(word);
}

// How many groups of 256 entries routes that are longer than `root` bits take, at most: one for each different prefix
// of 24, 32, 40... bits that is shorter than a route. Entries of two bytes can name 32,767 of them.
static int by_bytes(const void *a, const void *b) {
    return memcmp(a, b, 16);
}

static uint32_t groups(const struct route *routes, uint32_t count) {
    struct route *sorted = malloc(count * sizeof *sorted);
    uint32_t found = 1;
    for (unsigned bits = 24; bits < 128; bits += 8) {
        uint32_t n = 0;
        for (uint32_t k = 0; k < count; k++)
            if (routes[k].length > bits) {
                sorted[n] = routes[k];
                memset(sorted[n++].address + bits / 8, 0, 16 - bits / 8);
            }
        qsort(sorted, n, sizeof *sorted, by_bytes);
        for (uint32_t k = 0; k < n; k++)
            found += k == 0 || memcmp(sorted[k].address, sorted[k - 1].address, 16) != 0;
    }
    free(sorted);
    return found + 64;
}

// What rte_fib6 demands: it sets groups aside for each route as if none of them were shared (trie.c, trie_modify).
static uint32_t groups_set_aside(const struct route *routes, uint32_t count) {
    uint32_t found = 64;
    for (uint32_t k = 0; k < count; k++)
        found += routes[k].length > 24 ? (routes[k].length - 17) / 8 : 0;
    return found;
}

static void build(enum table table, struct route *routes, uint32_t count) {
    uint32_t room = groups(routes, count), wrong = 0;
    bool small = room < 32767;
    if (table == FIB) {
        struct rte_fib_conf conf = {.type = RTE_FIB_DIR24_8, .default_nh = NO_ROUTE, .max_routes = count + 1};
        conf.dir24_8.nh_sz = small ? RTE_FIB_DIR24_8_2B : RTE_FIB_DIR24_8_4B;
        conf.dir24_8.num_tbl8 = room;
        fib = rte_fib_create("fib", SOCKET_ID_ANY, &conf);
        if (!fib)
            fail("rte_fib_create");
        for (uint32_t k = 0; k < count; k++)
            wrong += rte_fib_add(fib, ipv4(routes[k].address), routes[k].length, routes[k].hop) != 0;
        if (rte_fib_select_lookup(fib, RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512) != 0)
            fprintf(stderr, "route: this machine has no lookup at 512 bits\n");
    } else if (table == LPM) {
        struct rte_lpm_config conf = {.max_rules = count + 1, .number_tbl8s = room};
        lpm = rte_lpm_create("lpm", SOCKET_ID_ANY, &conf);
        if (!lpm)
            fail("rte_lpm_create");
        for (uint32_t k = 0; k < count; k++)
            wrong += rte_lpm_add(lpm, ipv4(routes[k].address), routes[k].length, routes[k].hop) != 0;
    } else if (table == FIB6) {
        struct rte_fib6_conf conf = {.type = RTE_FIB6_TRIE, .default_nh = NO_ROUTE, .max_routes = count + 1};
        conf.trie.num_tbl8 = room = groups_set_aside(routes, count);
        conf.trie.nh_sz = room < 32767 ? RTE_FIB6_TRIE_2B : RTE_FIB6_TRIE_4B;
        fib6 = rte_fib6_create("fib6", SOCKET_ID_ANY, &conf);
        if (!fib6)
            fail("rte_fib6_create");
        for (uint32_t k = 0; k < count; k++)
            wrong += rte_fib6_add(fib6, routes[k].address, routes[k].length, routes[k].hop) != 0;
        if (rte_fib6_select_lookup(fib6, RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512) != 0)
            fprintf(stderr, "route: this machine has no lookup at 512 bits\n");
    } else {
        struct rte_lpm6_config conf = {.max_rules = count + 1, .number_tbl8s = room};
        lpm6 = rte_lpm6_create("lpm6", SOCKET_ID_ANY, &conf);
        if (!lpm6)
            fail("rte_lpm6_create");
        for (uint32_t k = 0; k < count; k++)
            wrong += rte_lpm6_add(lpm6, routes[k].address, routes[k].length, routes[k].hop) != 0;
    }
    if (wrong)
        fail("routes were refused");
}

// Next hops of a burst; NO_ROUTE or more where there is none.
static inline __attribute__((always_inline)) void find(enum table table, uint32_t *ips, uint8_t (*ips6)[16],
                                                       uint64_t *hops, unsigned n) {
    if (table == FIB) {
        rte_fib_lookup_bulk(fib, ips, hops, n);
    } else if (table == FIB6) {
        rte_fib6_lookup_bulk(fib6, ips6, hops, n);
    } else if (table == LPM) {
        uint32_t found[BURST];
        rte_lpm_lookup_bulk(lpm, ips, found, n);
        for (unsigned k = 0; k < n; k++)
            hops[k] = found[k] & RTE_LPM_LOOKUP_SUCCESS ? found[k] & 0xffffff : NO_ROUTE;
    } else {
        int32_t found[BURST];
        rte_lpm6_lookup_bulk_func(lpm6, ips6, found, n);
        for (unsigned k = 0; k < n; k++)
            hops[k] = found[k] < 0 ? NO_ROUTE : (uint32_t)found[k];
    }
}

// Receive, route and send until the time is over; returns the packets/s. Packets that cannot go on are freed.
static inline __attribute__((always_inline)) double forward(enum table table, uint16_t port, double seconds) {
    struct rte_mbuf *mbufs[BURST], *good[BURST];
    uint32_t ips[BURST];
    uint8_t ips6[BURST][16];
    uint64_t hops[BURST], packets = 0, dropped = 0;
    uint64_t begin = rte_rdtsc(), end = begin + (uint64_t)(seconds * rte_get_tsc_hz()), now;
    while ((now = rte_rdtsc()) < end) {
        unsigned n = rte_eth_rx_burst(port, 0, mbufs, BURST), m = 0, sent = 0;
        for (unsigned k = 0; k < n; k++) {
            rte_prefetch0(mbufs[k + AHEAD < n ? k + AHEAD : n - 1]);
            rte_prefetch0(rte_pktmbuf_mtod(mbufs[k], void *));
        }
        for (unsigned k = 0; k < n; k++) {
            struct rte_ether_hdr *eth = rte_pktmbuf_mtod(mbufs[k], struct rte_ether_hdr *);
            bool fine = false;
            if (table == FIB || table == LPM) {
                struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);
                if (eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4) && ip->version_ihl == RTE_IPV4_VHL_DEF &&
                    ip->time_to_live > 1) {
                    ips[m] = rte_be_to_cpu_32(ip->dst_addr);
                    ip->time_to_live--;
                    uint32_t sum = ip->hdr_checksum + 1; // RFC 1624; sums have either byte order, RFC 1071
                    ip->hdr_checksum = sum + (sum >> 16);
                    fine = true;
                }
            } else {
                struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(eth + 1);
                if (eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6) && ip->hop_limits > 1) {
                    memcpy(ips6[m], ip->dst_addr, 16);
                    ip->hop_limits--;
                    fine = true;
                }
            }
            if (fine)
                mbufs[m++] = mbufs[k];
            else {
                rte_pktmbuf_free(mbufs[k]);
                dropped++;
            }
        }
        find(table, ips, ips6, hops, m);
        unsigned out = 0;
        for (unsigned k = 0; k < m; k++) {
            if (hops[k] >= NO_ROUTE) {
                rte_pktmbuf_free(mbufs[k]);
                dropped++;
                continue;
            }
            struct rte_ether_hdr *eth = rte_pktmbuf_mtod(mbufs[k], struct rte_ether_hdr *);
            eth->src_addr = ours[hops[k]];
            eth->dst_addr = theirs[hops[k]];
            good[out++] = mbufs[k];
        }
        while (sent < out)
            sent += rte_eth_tx_burst(port, 0, good + sent, out - sent);
        packets += n;
    }
    if (dropped)
        fail("packets were dropped");
    return packets * (double)rte_get_tsc_hz() / (now - begin);
}

// Without hugetlbfs (whose pages may be too few for a table) EAL's memory becomes transparent huge pages.
static int advise(const struct rte_memseg_list *list, void *unused) {
    (void)unused;
    return madvise(list->base_va, list->len, MADV_HUGEPAGE) && false;
}

static uint16_t make_port(struct rte_ring *ring, struct rte_mempool *pool) {
    struct rte_eth_conf conf = {0};
    int port = rte_eth_from_rings("net_ring_route", &ring, 1, &ring, 1, 0);
    if (port < 0 || rte_eth_dev_configure(port, 1, 1, &conf) || rte_eth_rx_queue_setup(port, 0, 1024, 0, NULL, pool) ||
        rte_eth_tx_queue_setup(port, 0, 1024, 0, NULL) || rte_eth_dev_start(port))
        fail("no port of rings");
    return port;
}

int main(int argc, char **argv) {
    if (argc < 6)
        return 2;
    enum table table = !strcmp(argv[1], "fib") ? FIB : !strcmp(argv[1], "lpm") ? LPM : !strcmp(argv[1], "fib6") ? FIB6 : LPM6;
    char **eal = argv + 5, *hops_path = argv[5];
    eal[0] = argv[0];
    if (rte_eal_init(argc - 5, eal) < 0)
        fail("rte_eal_init");
    if (!rte_eal_has_hugepages())
        rte_memseg_list_walk(advise, NULL);
    for (int k = 0; k < HOPS; k++) {
        ours[k] = (struct rte_ether_addr){{2, 0, 0, 0, k, 1}};
        theirs[k] = (struct rte_ether_addr){{2, 0, 0, 0, k, 2}};
    }
    uint32_t count;
    bool six = table == FIB6 || table == LPM6;
    struct route *routes = read_routes(argv[2], six, &count);
    build(table, routes, count);

    // A capture of records of one size, as benchmarks/harness/routes.py writes it.
    FILE *file = fopen(argv[3], "rb"), *found = fopen(hops_path, "wb");
    if (!file || !found || fseek(file, 0, SEEK_END))
        fail(argv[3]);
    uint32_t packets = (ftell(file) - 24) / 80;
    fseek(file, 24, SEEK_SET);
    struct rte_mempool *pool = rte_pktmbuf_pool_create("pool", packets + 1023, 256, 0, ROOM, SOCKET_ID_ANY);
    struct rte_ring *ring = rte_ring_create("ring", rte_align32pow2(packets + 1), SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    if (!pool || !ring)
        fail("no memory for packets");
    uint16_t port = make_port(ring, pool);
    uint8_t record[80];
    for (uint32_t k = 0; k < packets; k++) {
        struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
        if (!mbuf || fread(record, 80, 1, file) != 1)
            fail("packets");
        memcpy(rte_pktmbuf_append(mbuf, 64), record + 16, 64);
        rte_ring_enqueue(ring, mbuf);
        uint32_t ip = ipv4(record + 46);
        uint8_t ip6[1][16];
        uint64_t hop;
        memcpy(ip6[0], record + 54, 16);
        find(table, &ip, ip6, &hop, 1);
        fputc(hop >= NO_ROUTE ? 255 : (int)hop, found);
    }
    fclose(found);
    double seconds = atof(argv[4]), rate;
    if (table == FIB)
        rate = forward(FIB, port, seconds);
    else if (table == LPM)
        rate = forward(LPM, port, seconds);
    else if (table == FIB6)
        rate = forward(FIB6, port, seconds);
    else
        rate = forward(LPM6, port, seconds);
    printf("%.0f\n", rate);
    return 0;
}
