# cython: language_level=3
"""The part of DPDK that `_dpdk.pyx` calls, as its headers and `_shim.h` declare it."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t

cdef extern from "_shim.h" nogil:
    enum:
        BL_LOG_SIZE
        RTE_MEMPOOL_F_NO_IOVA_CONTIG
        RTE_PKTMBUF_HEADROOM
        BL_RX_POOLS
        RING_F_SP_ENQ
        RING_F_SC_DEQ
        RTE_ETH_LINK_UP
        RTE_MAX_ETHPORTS
        RTE_ETH_NAME_MAX_LEN
        RTE_MAX_LCORE
    uint64_t RTE_ETH_RSS_IP, RTE_ETH_RSS_TCP, RTE_ETH_RSS_UDP, RTE_ETH_RSS_SCTP
    const char* RTE_EAL_PMD_PATH
    struct bl_named:
        const char* name
        uint64_t value
    const bl_named bl_mbuf_fields[]
    const bl_named bl_mbuf_flags[]
    const bl_named bl_rss_functions[]
    struct bl_port_conf:
        uint16_t queues, mtu
        uint32_t max_lro
        uint64_t rss, rx_offloads, tx_offloads
        uint8_t* rss_key
        uint8_t rss_key_size
    struct bl_thresholds:
        int rx_pthresh, rx_hthresh, rx_wthresh, rx_free_thresh, rx_drop_en
        int tx_pthresh, tx_hthresh, tx_wthresh, tx_free_thresh, tx_rs_thresh
    struct rte_mempool:
        void* pool_data
        void* pool_config
        uint32_t size, elt_size, header_size, trailer_size
    ctypedef struct rte_spinlock_t:
        pass
    struct rte_ring:
        pass
    struct rte_mbuf:
        void* buf_addr
        rte_mbuf* next
        uint16_t data_off
        uint16_t data_len
        uint32_t pkt_len
        uint16_t nb_segs
        uint16_t port
        uint64_t ol_flags
        uint64_t tx_offload
        uint32_t packet_type
        uint16_t vlan_tci
    struct rte_device:
        pass
    struct rte_driver:
        pass
    struct rte_bus:
        pass
    struct rte_ether_addr:
        uint8_t addr_bytes[6]
    struct rte_eth_link:
        uint32_t link_speed
        uint16_t link_status
    struct rte_eth_rxseg_capa:
        uint32_t multi_pools
        uint16_t max_nseg
    struct rte_eth_desc_lim:
        uint16_t nb_max, nb_min, nb_align, nb_seg_max, nb_mtu_seg_max
    struct rte_eth_dev_portconf:
        uint16_t burst_size, ring_size, nb_queues
    struct rte_eth_thresh:
        uint8_t pthresh, hthresh, wthresh
    struct rte_eth_rxconf:
        rte_eth_thresh rx_thresh
        uint16_t rx_free_thresh
        uint8_t rx_drop_en
    struct rte_eth_txconf:
        rte_eth_thresh tx_thresh
        uint16_t tx_rs_thresh, tx_free_thresh
    struct rte_eth_burst_mode:
        uint64_t flags
        char info[1024]
    struct rte_eth_dev_info:
        rte_device* device
        const char* driver_name
        uint16_t min_mtu
        uint16_t max_mtu
        uint32_t min_rx_bufsize
        uint32_t max_rx_pktlen
        uint16_t max_rx_mempools
        rte_eth_rxseg_capa rx_seg_capa
        uint16_t max_rx_queues
        uint16_t max_tx_queues
        uint16_t nb_rx_queues
        uint16_t nb_tx_queues
        uint16_t reta_size
        uint8_t hash_key_size
        uint32_t max_lro_pkt_size
        uint64_t rx_offload_capa
        uint64_t tx_offload_capa
        uint64_t rx_queue_offload_capa
        uint64_t tx_queue_offload_capa
        rte_eth_desc_lim rx_desc_lim, tx_desc_lim
        rte_eth_dev_portconf default_rxportconf, default_txportconf
        rte_eth_rxconf default_rxconf
        rte_eth_txconf default_txconf
        uint64_t flow_type_rss_offloads
    struct rte_eth_stats:
        uint64_t ipackets, opackets, ibytes, obytes, imissed, ierrors, oerrors, rx_nombuf

    int bl_log_start()
    uint64_t bl_log_mark()
    size_t bl_log_since(uint64_t, char*)
    int bl_errno()
    const char* rte_strerror(int)
    const char* rte_version()
    uint64_t rte_get_tsc_hz()
    uint64_t rte_get_tsc_cycles()
    int rte_eal_init(int, char**)
    int rte_eal_hotplug_add(const char*, const char*, const char*)
    int rte_eal_has_hugepages()
    int rte_thread_register()
    void rte_thread_unregister()
    unsigned rte_lcore_id()

    struct rte_mempool_ops:
        char name[32]
        int (*alloc)(rte_mempool*) noexcept nogil
        int (*enqueue)(rte_mempool*, void* const*, unsigned) noexcept nogil
        int (*dequeue)(rte_mempool*, void**, unsigned) noexcept nogil
        unsigned (*get_count)(const rte_mempool*) noexcept nogil
    const char* rte_mbuf_best_mempool_ops()
    int rte_mempool_register_ops(const rte_mempool_ops*)
    void rte_spinlock_lock(rte_spinlock_t*)
    void rte_spinlock_unlock(rte_spinlock_t*)
    int rte_gettid()
    void rte_pktmbuf_init(rte_mempool*, void*, void*, unsigned)
    rte_mempool* bl_pool_create(const char*, unsigned, unsigned, uint16_t, unsigned, int, const char*, void*)
    int bl_pool_populate(rte_mempool*, const char*, size_t, void**)
    void bl_pool_release(rte_mempool*, void*)
    int bl_pool_recover(rte_mempool*)
    unsigned bl_pool_cached(rte_mempool*, unsigned)
    void rte_mempool_free(rte_mempool*)
    struct rte_mempool_memhdr:
        void* addr
        size_t len
    uint32_t rte_mempool_mem_iter(rte_mempool*, void (*)(rte_mempool*, void*, rte_mempool_memhdr*, unsigned) noexcept,
                                  void*)
    unsigned rte_mempool_avail_count(const rte_mempool*)

    rte_mbuf* rte_pktmbuf_alloc(rte_mempool*)
    int rte_mempool_get_bulk(rte_mempool*, void**, unsigned)
    int rte_pktmbuf_alloc_bulk(rte_mempool*, rte_mbuf**, unsigned)
    int rte_pktmbuf_chain(rte_mbuf*, rte_mbuf*)
    char* rte_pktmbuf_append(rte_mbuf*, uint16_t)
    uint16_t rte_pktmbuf_tailroom(const rte_mbuf*)
    void rte_pktmbuf_free(rte_mbuf*)
    void rte_pktmbuf_free_bulk(rte_mbuf**, unsigned)
    int rte_pktmbuf_linearize(rte_mbuf*)
    rte_mbuf* rte_pktmbuf_copy(const rte_mbuf*, rte_mempool*, uint32_t, uint32_t)
    void* bl_data(rte_mbuf*)
    uint64_t bl_mbuf_flag(const char*)
    int bl_add_wire(uint16_t, uint16_t, uint64_t)
    uintptr_t bl_add_receiver(uint16_t, uint16_t, uintptr_t, uintptr_t)
    uintptr_t bl_add_sender(uint16_t, uint16_t, uintptr_t, uintptr_t)
    int rte_eth_remove_tx_callback(uint16_t, uint16_t, const void*)
    int rte_eth_remove_rx_callback(uint16_t, uint16_t, const void*)
    int rte_mbuf_dyn_rx_timestamp_register(int*, uint64_t*)
    int rte_eth_read_clock(uint16_t, uint64_t*)
    int rte_eth_timesync_enable(uint16_t)
    int bl_timesync_now(uint16_t, int64_t*)

    uint16_t rte_eth_find_next(uint16_t)
    int rte_eth_dev_get_name_by_port(uint16_t, char*)
    int rte_eth_dev_get_port_by_name(const char*, uint16_t*)
    int rte_eth_dev_info_get(uint16_t, rte_eth_dev_info*)
    const char* rte_eth_dev_rx_offload_name(uint64_t)
    const char* rte_eth_dev_tx_offload_name(uint64_t)
    int rte_eth_dev_socket_id(uint16_t)
    const char* rte_dev_name(const rte_device*)
    const rte_bus* rte_dev_bus(const rte_device*)
    const char* rte_bus_name(const rte_bus*)
    int rte_dev_remove(rte_device*)
    int bl_configure(uint16_t, const bl_port_conf*)
    int bl_rx_queue(
        uint16_t, uint16_t, uint16_t, unsigned, rte_mempool**, const uint16_t*, uint16_t, int, const bl_thresholds*
    )
    int bl_tx_queue(uint16_t, uint16_t, uint16_t, unsigned, const bl_thresholds*)
    int rte_eth_rx_burst_mode_get(uint16_t, uint16_t, rte_eth_burst_mode*)
    int rte_eth_tx_burst_mode_get(uint16_t, uint16_t, rte_eth_burst_mode*)
    int bl_splits_headers(uint16_t)
    int rte_eth_dev_adjust_nb_rx_tx_desc(uint16_t, uint16_t*, uint16_t*)
    int rte_eth_dev_start(uint16_t)
    int rte_eth_dev_stop(uint16_t)
    int rte_eth_dev_close(uint16_t)
    int rte_eth_promiscuous_enable(uint16_t)
    int rte_eth_dev_set_mtu(uint16_t, uint16_t)
    int rte_eth_macaddr_get(uint16_t, rte_ether_addr*)
    int rte_eth_dev_get_mtu(uint16_t, uint16_t*)
    int rte_eth_link_get_nowait(uint16_t, rte_eth_link*)
    int rte_eth_stats_get(uint16_t, rte_eth_stats*)
    # static inline in the header: hence the functions that are exported below
    uint16_t rte_eth_rx_burst(uint16_t, uint16_t, rte_mbuf**, uint16_t)
    uint16_t rte_eth_tx_burst(uint16_t, uint16_t, rte_mbuf**, uint16_t)
    uint16_t rte_eth_tx_prepare(uint16_t, uint16_t, rte_mbuf**, uint16_t)

    rte_ring* rte_ring_create(const char*, unsigned, int, unsigned)
    void rte_ring_free(rte_ring*)
    unsigned rte_ring_count(const rte_ring*)
    unsigned rte_ring_enqueue_burst(rte_ring*, void**, unsigned, unsigned*)
    unsigned rte_ring_dequeue_burst(rte_ring*, void**, unsigned, unsigned*)
    int bl_port_from_rings(const char*, rte_ring**, unsigned, rte_ring**, unsigned, unsigned)

cdef extern from "_flow.h" nogil:
    enum:
        BL_FLOW_ITEMS
        BL_FLOW_ACTIONS
        BL_FLOW_QUEUES
        BL_RETA_GROUPS
        RTE_ETH_RETA_GROUP_SIZE
    const bl_named bl_flow_items[]
    const bl_named bl_flow_sizes[]
    const bl_named bl_flow_places[]
    const bl_named bl_flow_actions[]
    const bl_named bl_flow_errors[]
    ctypedef int rte_flow_item_type "enum rte_flow_item_type"
    ctypedef int rte_flow_error_type "enum rte_flow_error_type"
    struct rte_flow:
        pass
    struct rte_flow_item_vlan:
        pass
    struct rte_flow_item:
        rte_flow_item_type type
        const void* spec
        const void* last
        const void* mask
    struct rte_flow_action:
        pass
    struct rte_flow_error:
        rte_flow_error_type type
        const void* cause
        const char* message
    struct bl_flow_conf:
        pass
    struct rte_eth_rss_conf:
        uint8_t* rss_key
        uint8_t rss_key_len
        uint64_t rss_hf
    struct rte_eth_rss_reta_entry64:
        uint64_t mask
        uint16_t reta[64]
    void bl_flow_more_vlan(rte_flow_item_vlan*)
    void bl_flow_action(rte_flow_action*, bl_flow_conf*, uint32_t, uint32_t, const uint16_t*, uint32_t, uint64_t)
    int bl_flow_count(uint16_t, rte_flow*, uint64_t*, uint64_t*, rte_flow_error*)
    rte_flow* bl_flow_make(
        uint16_t, uint32_t, const rte_flow_item*, const rte_flow_action*, int, int*, rte_flow_error*
    )
    int rte_flow_destroy(uint16_t, rte_flow*, rte_flow_error*)
    int rte_flow_flush(uint16_t, rte_flow_error*)
    int rte_flow_isolate(uint16_t, int, rte_flow_error*)
    int rte_eth_dev_rss_hash_conf_get(uint16_t, rte_eth_rss_conf*)
    int rte_eth_dev_rss_hash_update(uint16_t, rte_eth_rss_conf*)
    int rte_eth_dev_rss_reta_query(uint16_t, rte_eth_rss_reta_entry64*, uint16_t)
    int rte_eth_dev_rss_reta_update(uint16_t, rte_eth_rss_reta_entry64*, uint16_t)
