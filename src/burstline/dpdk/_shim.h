/* What Cython cannot say: EAL's log kept in memory, an mbuf pool with flags, and macros as functions. */
#ifndef BURSTLINE_SHIM_H
#define BURSTLINE_SHIM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define ALLOW_EXPERIMENTAL_API /* rte_eth_buffer_split_get_supported_hdr_ptypes was one in 22.11 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_spinlock.h>
#include <rte_version.h>
#ifdef BURSTLINE_NET_RING
#include <rte_eth_ring.h>
#endif

/* The last BL_LOG_SIZE bytes that DPDK logged; writers and readers hold the stream's lock. */
#define BL_LOG_SIZE 65536
static char bl_log_text[BL_LOG_SIZE];
static uint64_t bl_log_total;
static FILE *bl_log_stream;

static ssize_t bl_log_write(void *cookie, const char *text, size_t size) {
    (void)cookie;
    for (size_t i = 0; i < size; i++)
        bl_log_text[(bl_log_total + i) % BL_LOG_SIZE] = text[i];
    bl_log_total += size;
    return (ssize_t)size;
}

static int bl_log_start(void) {
    cookie_io_functions_t functions = {.write = bl_log_write};
    if (bl_log_stream != NULL)
        return 0;
    bl_log_stream = fopencookie(NULL, "w", functions);
    return bl_log_stream == NULL ? -ENOMEM : rte_openlog_stream(bl_log_stream);
}

static uint64_t bl_log_mark(void) {
    uint64_t total;
    if (bl_log_stream == NULL)
        return 0;
    flockfile(bl_log_stream);
    total = bl_log_total;
    funlockfile(bl_log_stream);
    return total;
}

/* What was logged since `mark`, as far as it is still there; `out` holds BL_LOG_SIZE bytes. */
static size_t bl_log_since(uint64_t mark, char *out) {
    size_t size;
    if (bl_log_stream == NULL)
        return 0;
    flockfile(bl_log_stream);
    size = RTE_MIN(bl_log_total - mark, (uint64_t)BL_LOG_SIZE);
    for (size_t i = 0; i < size; i++)
        out[i] = bl_log_text[(bl_log_total - size + i) % BL_LOG_SIZE];
    funlockfile(bl_log_stream);
    return size;
}

static int bl_errno(void) {
    return rte_errno;
}

/* rte_pktmbuf_pool_create takes no mempool flags and no argument for its ops; the rest is what it does. */
static struct rte_mempool *bl_pool_create(const char *name, unsigned count, unsigned cache, uint16_t room,
                                          unsigned flags, int socket, const char *ops, void *config) {
    struct rte_pktmbuf_pool_private private = {.mbuf_data_room_size = room};
    struct rte_mempool *pool;
    int result;

    pool = rte_mempool_create_empty(name, count, sizeof(struct rte_mbuf) + room, cache, sizeof(private), socket, flags);
    if (pool == NULL)
        return NULL;
    result = rte_mempool_set_ops_byname(pool, *ops ? ops : rte_mbuf_best_mempool_ops(), config);
    if (result == 0) {
        rte_pktmbuf_pool_init(pool, &private);
        result = rte_mempool_populate_default(pool);
    }
    if (result < 0) {
        rte_mempool_free(pool);
        rte_errno = -result;
        return NULL;
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
    return pool;
}

static void bl_free_chunk(struct rte_mempool_memhdr *chunk, void *zone) {
    (void)chunk;
    rte_memzone_free(zone);
}

/* Populate a chunk of its own, which ends up last in the list of chunks; NULL when it became several. */
static int bl_pool_populate(struct rte_mempool *pool, const char *name, size_t size, void **chunk) {
    struct rte_mempool_memhdr *one;
    const struct rte_memzone *zone;
    unsigned before = pool->nb_mem_chunks;
    size_t page = 0;
    int result;

    result = rte_mempool_get_page_size(pool, &page);
    if (result < 0)
        return result;
    zone = rte_memzone_reserve_aligned(name, size, pool->socket_id, RTE_MEMZONE_1GB | RTE_MEMZONE_SIZE_HINT_ONLY,
                                       RTE_CACHE_LINE_SIZE);
    if (zone == NULL)
        return -rte_errno;
    result = pool->flags & RTE_MEMPOOL_F_NO_IOVA_CONTIG
                 ? rte_mempool_populate_iova(pool, zone->addr, RTE_BAD_IOVA, zone->len, bl_free_chunk, (void *)(uintptr_t)zone)
                 : rte_mempool_populate_virt(pool, zone->addr, zone->len, page, bl_free_chunk, (void *)(uintptr_t)zone);
    if (result <= 0) {
        if (result == 0)
            rte_memzone_free(zone);
        return result < 0 ? result : -ENOSPC;
    }
    STAILQ_FOREACH(one, &pool->mem_list, next)
        *chunk = pool->nb_mem_chunks == before + 1 ? one : NULL;
    return result;
}

/* What rte_mempool_free does with a chunk, for one of several. */
static void bl_pool_release(struct rte_mempool *pool, void *chunk) {
    struct rte_mempool_memhdr *gone = chunk;
    struct rte_mempool_objhdr_list kept = STAILQ_HEAD_INITIALIZER(kept);
    struct rte_mempool_objhdr *object;
    uintptr_t start = (uintptr_t)gone->addr, end = start + gone->len;

    while ((object = STAILQ_FIRST(&pool->elt_list)) != NULL) {
        STAILQ_REMOVE_HEAD(&pool->elt_list, next);
        if ((uintptr_t)object >= start && (uintptr_t)object < end)
            pool->populated_size--;
        else
            STAILQ_INSERT_TAIL(&kept, object, next);
    }
    STAILQ_CONCAT(&pool->elt_list, &kept);
    STAILQ_REMOVE(&pool->mem_list, gone, rte_mempool_memhdr, next);
    pool->nb_mem_chunks--;
    gone->free_cb(gone, gone->opaque);
    rte_free(gone);
}

static unsigned bl_pool_cached(struct rte_mempool *pool, unsigned lcore) {
    struct rte_mempool_cache *cache = rte_mempool_default_cache(pool, lcore);
    return cache == NULL ? 0 : cache->len;
}

static int bl_compare(const void *a, const void *b) {
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return x < y ? -1 : x > y;
}

struct bl_lost {
    void **free, **lost;
    unsigned n_free, n_lost;
};

static void bl_find_lost(struct rte_mempool *pool, void *argument, void *object, unsigned index) {
    struct bl_lost *c = argument;
    (void)pool, (void)index;
    if (bsearch(&object, c->free, c->n_free, sizeof(void *), bl_compare) == NULL)
        c->lost[c->n_lost++] = object;
}

/* Put back every mbuf that is neither in the pool nor in a cache; nobody may use the pool meanwhile. */
static int bl_pool_recover(struct rte_mempool *pool) {
    struct bl_lost c = {calloc(pool->size, sizeof(void *)), calloc(pool->size, sizeof(void *)), 0, 0};

    if (c.free != NULL && c.lost != NULL) {
        while (c.n_free < pool->size && rte_mempool_generic_get(pool, &c.free[c.n_free], 1, NULL) == 0)
            c.n_free++;
        if (c.n_free > 0)
            rte_mempool_generic_put(pool, c.free, c.n_free, NULL);
        for (unsigned lcore = 0; lcore < RTE_MAX_LCORE; lcore++) {
            struct rte_mempool_cache *cache = rte_mempool_default_cache(pool, lcore);
            for (unsigned i = 0; cache != NULL && i < cache->len; i++)
                c.free[c.n_free++] = cache->objs[i];
        }
        qsort(c.free, c.n_free, sizeof(void *), bl_compare);
        rte_mempool_obj_iter(pool, bl_find_lost, &c);
        for (unsigned i = 0; i < c.n_lost; i++) {
            struct rte_mbuf *mbuf = c.lost[i];
            rte_mbuf_refcnt_set(mbuf, 1);
            mbuf->next = NULL;
            mbuf->nb_segs = 1;
            rte_mempool_generic_put(pool, &c.lost[i], 1, NULL);
        }
    } else {
        c.n_lost = 0;
    }
    free(c.free);
    free(c.lost);
    return (int)c.n_lost;
}

/* What a port is configured with; what is 0 is left to DPDK, which then takes an MTU of 1500, and of merged packets the
 * length that the MTU gives. */
struct bl_port_conf {
    uint16_t queues, mtu;
    uint32_t max_lro;
    uint64_t rss, rx_offloads, tx_offloads;
    uint8_t *rss_key;
    uint8_t rss_key_size;
};

static int bl_configure(uint16_t port, const struct bl_port_conf *wanted) {
    struct rte_eth_conf conf;
    memset(&conf, 0, sizeof(conf));
    conf.rxmode.offloads = wanted->rx_offloads;
    conf.rxmode.mtu = wanted->mtu;
    conf.rxmode.max_lro_pkt_size = wanted->max_lro;
    conf.txmode.offloads = wanted->tx_offloads;
    if (wanted->rss != 0) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = wanted->rss;
        conf.rx_adv_conf.rss_conf.rss_key = wanted->rss_key;
        conf.rx_adv_conf.rss_conf.rss_key_len = wanted->rss_key_size;
    }
    return rte_eth_dev_configure(port, wanted->queues, wanted->queues, &conf);
}

/* Thresholds of the queues; what is below 0 is as the driver has it. */
struct bl_thresholds {
    int rx_pthresh, rx_hthresh, rx_wthresh, rx_free_thresh, rx_drop_en;
    int tx_pthresh, tx_hthresh, tx_wthresh, tx_free_thresh, tx_rs_thresh;
};

#define BL_SET(to, from) \
    if ((from) >= 0)     \
    (to) = (from)

#define BL_RX_POOLS 16 /* classes that a queue can be given */

/* How a queue gets its buffers: from one pool; from one of several, as the driver chooses; or split, the first
 * `lengths[i]` bytes of what is left into pools[i], or what it holds when that is 0. */
enum bl_rx_mode { BL_RX_ONE, BL_RX_POOLS_BY_SIZE, BL_RX_SPLIT };

static int bl_rx_queue(uint16_t port, uint16_t queue, uint16_t ring, unsigned socket, struct rte_mempool **pools,
                       const uint16_t *lengths, uint16_t n, int mode, const struct bl_thresholds *wanted) {
    struct rte_eth_dev_info info;
    struct rte_eth_rxconf conf;
    union rte_eth_rxseg parts[BL_RX_POOLS];
    int result = rte_eth_dev_info_get(port, &info);

    if (result != 0)
        return result;
    conf = info.default_rxconf;
    BL_SET(conf.rx_thresh.pthresh, wanted->rx_pthresh);
    BL_SET(conf.rx_thresh.hthresh, wanted->rx_hthresh);
    BL_SET(conf.rx_thresh.wthresh, wanted->rx_wthresh);
    BL_SET(conf.rx_free_thresh, wanted->rx_free_thresh);
    BL_SET(conf.rx_drop_en, wanted->rx_drop_en);
    if (mode == BL_RX_ONE)
        return rte_eth_rx_queue_setup(port, queue, ring, socket, &conf, pools[0]);
    if (mode == BL_RX_POOLS_BY_SIZE) {
        conf.rx_mempools = pools;
        conf.rx_nmempool = n;
    } else {
        memset(parts, 0, sizeof(parts));
        for (uint16_t i = 0; i < n; i++) {
            parts[i].split.mp = pools[i];
            parts[i].split.length = lengths[i];
        }
        conf.rx_seg = parts;
        conf.rx_nseg = n;
        conf.offloads |= RTE_ETH_RX_OFFLOAD_BUFFER_SPLIT;
    }
    return rte_eth_rx_queue_setup(port, queue, ring, socket, &conf, NULL);
}

static int bl_tx_queue(uint16_t port, uint16_t queue, uint16_t ring, unsigned socket, const struct bl_thresholds *wanted) {
    struct rte_eth_dev_info info;
    struct rte_eth_txconf conf;
    int result = rte_eth_dev_info_get(port, &info);

    if (result != 0)
        return result;
    conf = info.default_txconf;
    BL_SET(conf.tx_thresh.pthresh, wanted->tx_pthresh);
    BL_SET(conf.tx_thresh.hthresh, wanted->tx_hthresh);
    BL_SET(conf.tx_thresh.wthresh, wanted->tx_wthresh);
    BL_SET(conf.tx_free_thresh, wanted->tx_free_thresh);
    BL_SET(conf.tx_rs_thresh, wanted->tx_rs_thresh);
    return rte_eth_tx_queue_setup(port, queue, ring, socket, &conf);
}

/* Whether buffer split goes by protocol headers: a driver that can only split at a length does not answer. */
static int bl_splits_headers(uint16_t port) {
    return rte_eth_buffer_split_get_supported_hdr_ptypes(port, NULL, 0) > 0;
}

/* Nanoseconds of the port's IEEE 1588 clock. */
static int bl_timesync_now(uint16_t port, int64_t *now) {
    struct timespec time;
    int result = rte_eth_timesync_read_time(port, &time);

    *now = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
    return result;
}

struct bl_named {
    const char *name;
    uint64_t value;
};

/* Where compiled code finds what of an mbuf (offload/mbuf.py has the same numbers). */
#define BL_FIELD(name) {#name, offsetof(struct rte_mbuf, name)}
static const struct bl_named bl_mbuf_fields[] = {
    BL_FIELD(buf_addr), BL_FIELD(data_off), BL_FIELD(refcnt), BL_FIELD(nb_segs), BL_FIELD(port), BL_FIELD(ol_flags),
    BL_FIELD(packet_type), BL_FIELD(pkt_len), BL_FIELD(data_len), BL_FIELD(vlan_tci), BL_FIELD(hash), BL_FIELD(buf_len),
    BL_FIELD(pool), BL_FIELD(next), BL_FIELD(tx_offload), BL_FIELD(shinfo), BL_FIELD(priv_size), {NULL, 0}};

#define BL_FLAG(name) {#name, RTE_MBUF_F_##name}
static const struct bl_named bl_mbuf_flags[] = {
    BL_FLAG(RX_VLAN), BL_FLAG(RX_RSS_HASH), BL_FLAG(RX_L4_CKSUM_BAD), BL_FLAG(RX_L4_CKSUM_GOOD), BL_FLAG(RX_L4_CKSUM_NONE),
    BL_FLAG(RX_IP_CKSUM_BAD), BL_FLAG(RX_IP_CKSUM_GOOD), BL_FLAG(RX_IP_CKSUM_NONE), BL_FLAG(RX_VLAN_STRIPPED),
    BL_FLAG(RX_LRO), BL_FLAG(RX_OUTER_IP_CKSUM_BAD), BL_FLAG(RX_OUTER_L4_CKSUM_BAD), BL_FLAG(RX_OUTER_L4_CKSUM_GOOD),
    BL_FLAG(TX_VLAN), BL_FLAG(TX_IP_CKSUM), BL_FLAG(TX_IPV4), BL_FLAG(TX_IPV6), BL_FLAG(TX_TCP_CKSUM), BL_FLAG(TX_SCTP_CKSUM),
    BL_FLAG(TX_UDP_CKSUM), BL_FLAG(TX_L4_MASK), BL_FLAG(TX_TCP_SEG), BL_FLAG(TX_UDP_SEG), BL_FLAG(TX_OUTER_IP_CKSUM),
    BL_FLAG(TX_OUTER_IPV4), BL_FLAG(TX_OUTER_IPV6), BL_FLAG(TX_OUTER_UDP_CKSUM), BL_FLAG(TX_TUNNEL_VXLAN),
    BL_FLAG(TX_TUNNEL_GRE), BL_FLAG(TX_TUNNEL_MASK), BL_FLAG(INDIRECT), BL_FLAG(EXTERNAL), {NULL, 0}};

/* DPDK has no function that names these. */
#define BL_RSS(name) {#name, RTE_ETH_RSS_##name}
static const struct bl_named bl_rss_functions[] = {
    BL_RSS(IPV4), BL_RSS(FRAG_IPV4), BL_RSS(NONFRAG_IPV4_TCP), BL_RSS(NONFRAG_IPV4_UDP), BL_RSS(NONFRAG_IPV4_SCTP),
    BL_RSS(NONFRAG_IPV4_OTHER), BL_RSS(IPV6), BL_RSS(FRAG_IPV6), BL_RSS(NONFRAG_IPV6_TCP), BL_RSS(NONFRAG_IPV6_UDP),
    BL_RSS(NONFRAG_IPV6_SCTP), BL_RSS(NONFRAG_IPV6_OTHER), BL_RSS(L2_PAYLOAD), BL_RSS(IPV6_EX), BL_RSS(IPV6_TCP_EX),
    BL_RSS(IPV6_UDP_EX), {NULL, 0}};

/* A flag of ol_flags that is free, the same for the same name; 0 where none is left. */
static uint64_t bl_mbuf_flag(const char *name) {
    struct rte_mbuf_dynflag wanted;
    int bit;
    memset(&wanted, 0, sizeof(wanted));
    snprintf(wanted.name, sizeof(wanted.name), "%s", name);
    bit = rte_mbuf_dynflag_register(&wanted);
    return bit < 0 ? 0 : 1ull << bit;
}

/* What a wire leaves of an mbuf is the frame: a rte_tx_callback_fn whose argument is the flags that a receiver sets. */
static uint16_t bl_wire(uint16_t port, uint16_t queue, struct rte_mbuf *mbufs[], uint16_t n, void *flags) {
    (void)port, (void)queue;
    for (uint16_t i = 0; i < n; i++) {
        mbufs[i]->ol_flags = (mbufs[i]->ol_flags & (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL)) | (uintptr_t)flags;
        mbufs[i]->tx_offload = 0;
    }
    return n;
}

static int bl_add_wire(uint16_t port, uint16_t queue, uint64_t flags) {
    return rte_eth_add_tx_callback(port, queue, bl_wire, (void *)(uintptr_t)flags) == NULL ? -rte_errno : 0;
}

/* Compiled code behind a queue's driver: (port, queue, mbufs, received, most, argument), how many there are then. */
static uintptr_t bl_add_receiver(uint16_t port, uint16_t queue, uintptr_t function, uintptr_t argument) {
    return (uintptr_t)rte_eth_add_rx_callback(port, queue, (rte_rx_callback_fn)function, (void *)argument);
}

/* And before it: (port, queue, mbufs, count, argument), how many of these the driver is to be handed. */
static uintptr_t bl_add_sender(uint16_t port, uint16_t queue, uintptr_t function, uintptr_t argument) {
    return (uintptr_t)rte_eth_add_tx_callback(port, queue, (rte_tx_callback_fn)function, (void *)argument);
}

static void *bl_data(struct rte_mbuf *mbuf) {
    return rte_pktmbuf_mtod(mbuf, void *);
}

static int bl_port_from_rings(const char *name, struct rte_ring *rx[], unsigned n_rx, struct rte_ring *tx[],
                              unsigned n_tx, unsigned socket) {
#ifdef BURSTLINE_NET_RING
    int port = rte_eth_from_rings(name, rx, n_rx, tx, n_tx, socket);
    return port < 0 ? -rte_errno : port;
#else
    (void)name, (void)rx, (void)n_rx, (void)tx, (void)n_tx, (void)socket;
    return -ENOTSUP;
#endif
}

#ifndef RTE_EAL_PMD_PATH
#define RTE_EAL_PMD_PATH ""
#endif
#endif
