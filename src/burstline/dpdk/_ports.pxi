"""Ports, by id. Part of `_dpdk.pyx`."""

def hotplug(str bus, str name, str arguments):
    cdef int result
    cdef bytes b = bus.encode(), n = name.encode(), a = arguments.encode()
    cdef const char* bus_text = b
    cdef const char* name_text = n
    cdef const char* arguments_text = a
    with nogil:
        result = rte_eal_hotplug_add(bus_text, name_text, arguments_text)
    check(result, "rte_eal_hotplug_add")

def ports():
    """The names of all ports there are, by id."""
    cdef char name[RTE_ETH_NAME_MAX_LEN]
    cdef uint16_t port = rte_eth_find_next(0)
    found = {}
    while port < RTE_MAX_ETHPORTS:
        check(rte_eth_dev_get_name_by_port(port, name), "rte_eth_dev_get_name_by_port")
        found[port] = (<bytes>name).decode()
        port = rte_eth_find_next(port + 1)
    return found

def port_info(uint16_t port):
    cdef rte_eth_dev_info info
    cdef rte_ether_addr mac
    cdef rte_eth_link link
    cdef uint16_t mtu = 0
    check(rte_eth_dev_info_get(port, &info), "rte_eth_dev_info_get")
    check(rte_eth_macaddr_get(port, &mac), "rte_eth_macaddr_get")
    rte_eth_dev_get_mtu(port, &mtu)
    if rte_eth_link_get_nowait(port, &link) < 0:
        link.link_speed, link.link_status = 0, 0
    return {
        "driver": info.driver_name.decode(),
        "device": rte_dev_name(info.device).decode(),
        "bus": rte_bus_name(rte_dev_bus(info.device)).decode(),
        "socket": rte_eth_dev_socket_id(port),
        "mac": PyBytes_FromStringAndSize(<char*>mac.addr_bytes, 6),
        "mtu": mtu,
        "min_mtu": info.min_mtu,
        "max_mtu": info.max_mtu,
        "max_frame": info.max_rx_pktlen,
        "min_buffer": info.min_rx_bufsize,
        "rx_pools": info.max_rx_mempools,
        "rx_segments": info.rx_seg_capa.max_nseg,
        "rx_segment_pools": bool(info.rx_seg_capa.multi_pools),
        "rx_splits_headers": bool(bl_splits_headers(port)),
        "max_rx_queues": info.max_rx_queues,
        "max_tx_queues": info.max_tx_queues,
        "reta_size": info.reta_size,
        "key_size": info.hash_key_size,
        "rx_offloads": _among(RX_OFFLOADS, info.rx_offload_capa),
        "tx_offloads": _among(TX_OFFLOADS, info.tx_offload_capa),
        "rx_queue_offloads": _among(RX_OFFLOADS, info.rx_queue_offload_capa),
        "tx_queue_offloads": _among(TX_OFFLOADS, info.tx_queue_offload_capa),
        "rss": info.flow_type_rss_offloads,
        "max_lro": info.max_lro_pkt_size,
        "rx_descriptors": (info.rx_desc_lim.nb_min, info.rx_desc_lim.nb_max, info.rx_desc_lim.nb_align),
        "tx_descriptors": (info.tx_desc_lim.nb_min, info.tx_desc_lim.nb_max, info.tx_desc_lim.nb_align),
        "tx_segments": info.tx_desc_lim.nb_seg_max,
        "tx_mtu_segments": info.tx_desc_lim.nb_mtu_seg_max,
        "rx_burst": info.default_rxportconf.burst_size,
        "tx_burst": info.default_txportconf.burst_size,
        "rx_ring": info.default_rxportconf.ring_size,
        "tx_ring": info.default_txportconf.ring_size,
        "preferred_queues": info.default_rxportconf.nb_queues,
        "thresholds": {
            "rx_pthresh": info.default_rxconf.rx_thresh.pthresh,
            "rx_hthresh": info.default_rxconf.rx_thresh.hthresh,
            "rx_wthresh": info.default_rxconf.rx_thresh.wthresh,
            "rx_free_thresh": info.default_rxconf.rx_free_thresh,
            "rx_drop_en": info.default_rxconf.rx_drop_en,
            "tx_pthresh": info.default_txconf.tx_thresh.pthresh,
            "tx_hthresh": info.default_txconf.tx_thresh.hthresh,
            "tx_wthresh": info.default_txconf.tx_thresh.wthresh,
            "tx_free_thresh": info.default_txconf.tx_free_thresh,
            "tx_rs_thresh": info.default_txconf.tx_rs_thresh,
        },
        "link_up": link.link_status == RTE_ETH_LINK_UP,
        "link_mbps": link.link_speed,
    }

cdef _among(dict named, uint64_t bits):
    return [name for name, bit in named.items() if bits & <uint64_t>bit]

def port_configure(
    uint16_t port, uint16_t queues, *, uint64_t rss=0, bytes rss_key=b"", uint64_t rx_offloads=0, uint64_t tx_offloads=0,
    uint16_t mtu=0, uint32_t max_lro=0
):
    """A `rss_key` of no bytes leaves it to the driver."""
    cdef int result
    cdef bl_port_conf conf
    conf.queues, conf.mtu, conf.max_lro, conf.rss = queues, mtu, max_lro, rss
    conf.rx_offloads, conf.tx_offloads = rx_offloads, tx_offloads
    conf.rss_key = <uint8_t*>PyBytes_AS_STRING(rss_key) if rss_key else NULL
    conf.rss_key_size = <uint8_t>len(rss_key)
    with nogil:
        result = bl_configure(port, &conf)
    check(result, "rte_eth_dev_configure")

cdef bl_thresholds _thresholds(dict given):
    cdef bl_thresholds t
    t.rx_pthresh, t.rx_hthresh = given.get("rx_pthresh", -1), given.get("rx_hthresh", -1)
    t.rx_wthresh, t.rx_free_thresh = given.get("rx_wthresh", -1), given.get("rx_free_thresh", -1)
    t.rx_drop_en = given.get("rx_drop_en", -1)
    t.tx_pthresh, t.tx_hthresh = given.get("tx_pthresh", -1), given.get("tx_hthresh", -1)
    t.tx_wthresh, t.tx_free_thresh = given.get("tx_wthresh", -1), given.get("tx_free_thresh", -1)
    t.tx_rs_thresh = given.get("tx_rs_thresh", -1)
    return t

def port_queues(
    uint16_t port, uint16_t rx_ring, uint16_t tx_ring, list pools, int mode, dict thresholds
):
    """Set up all queues; returns the sizes of the rings as the port wants them. `pools` are, for each queue, addresses
    with the lengths to split at, `mode` is a bl_rx_mode; `thresholds` that are not there are as the driver has them."""
    cdef int result = 0, socket = rte_eth_dev_socket_id(port)
    cdef uint16_t queue, n = <uint16_t>len(pools[0])
    cdef rte_mempool* into[BL_RX_POOLS]
    cdef uint16_t lengths[BL_RX_POOLS]
    cdef bl_thresholds wanted = _thresholds(thresholds)
    if not 1 <= n <= BL_RX_POOLS:
        raise ValueError(f"a queue cannot be given {n} pools")
    check(rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx_ring, &tx_ring), "rte_eth_dev_adjust_nb_rx_tx_desc")
    for queue in range(len(pools)):
        for i, (pool, length) in enumerate(pools[queue]):
            into[i], lengths[i] = <rte_mempool*><uintptr_t>pool, length
        with nogil:
            result = bl_rx_queue(port, queue, rx_ring, <unsigned>socket, into, lengths, n, mode, &wanted)
        check(result, "rte_eth_rx_queue_setup")
        with nogil:
            result = bl_tx_queue(port, queue, tx_ring, <unsigned>socket, &wanted)
        check(result, "rte_eth_tx_queue_setup")
    return rx_ring, tx_ring

def port_burst_mode(uint16_t port, uint16_t queue, bint rx):
    """What the driver says of the function that it moves packets with; None when it says nothing."""
    cdef rte_eth_burst_mode mode
    cdef int result
    memset(&mode, 0, sizeof(mode))
    result = (rte_eth_rx_burst_mode_get if rx else rte_eth_tx_burst_mode_get)(port, queue, &mode)
    return mode.info.decode(errors="replace") if result == 0 else None

def port_wire(uint16_t port, uint16_t queue, uint64_t flags):
    """What is sent leaves with these flags of a received packet, and nothing else of what its mbuf says."""
    check(bl_add_wire(port, queue, flags), "rte_eth_add_tx_callback")

def port_receiver(uint16_t port, uint16_t queue, uintptr_t function, uintptr_t argument):
    """A compiled function runs after each receive, and may add mbufs; its handle."""
    cdef uintptr_t added = bl_add_receiver(port, queue, function, argument)
    check(-bl_errno() if added == 0 else 0, "rte_eth_add_rx_callback")
    return added

def port_receiver_gone(uint16_t port, uint16_t queue, uintptr_t handle):
    """Not while the queue is polled."""
    check(rte_eth_remove_rx_callback(port, queue, <const void*>handle), "rte_eth_remove_rx_callback")

def port_sender(uint16_t port, uint16_t queue, uintptr_t function, uintptr_t argument):
    """A compiled function runs before each send, and says how many mbufs are sent; its handle."""
    cdef uintptr_t added = bl_add_sender(port, queue, function, argument)
    check(-bl_errno() if added == 0 else 0, "rte_eth_add_tx_callback")
    return added

def port_sender_gone(uint16_t port, uint16_t queue, uintptr_t handle):
    """Not while packets are sent on the queue."""
    check(rte_eth_remove_tx_callback(port, queue, <const void*>handle), "rte_eth_remove_tx_callback")

def timestamp_place():
    """Where ports write when a packet came into its mbuf, in bytes, and the flag that they did. EAL must run."""
    cdef int place = -1
    cdef uint64_t flag = 0
    check(rte_mbuf_dyn_rx_timestamp_register(&place, &flag), "rte_mbuf_dyn_rx_timestamp_register")
    return place, flag

def port_counter(uint16_t port):
    """The counter by which the port stamps packets, now."""
    cdef uint64_t now = 0
    check(rte_eth_read_clock(port, &now), "rte_eth_read_clock")
    return now

def port_timesync_start(uint16_t port):
    check(rte_eth_timesync_enable(port), "rte_eth_timesync_enable")

def port_timesync(uint16_t port):
    """Nanoseconds of the port's IEEE 1588 clock, now."""
    cdef int64_t now = 0
    check(bl_timesync_now(port, &now), "rte_eth_timesync_read_time")
    return now

def port_start(uint16_t port):
    cdef int result
    with nogil:
        result = rte_eth_dev_start(port)
    check(result, "rte_eth_dev_start")

def port_stop(uint16_t port):
    cdef int result
    with nogil:
        result = rte_eth_dev_stop(port)
    check(result, "rte_eth_dev_stop")

def port_remove(uint16_t port):
    """Close the port and take its device off the bus."""
    cdef rte_eth_dev_info info
    cdef int result
    check(rte_eth_dev_info_get(port, &info), "rte_eth_dev_info_get")
    with nogil:
        result = rte_eth_dev_close(port)
        if result == 0:
            result = rte_dev_remove(info.device)
    check(result, "rte_eth_dev_close")

def port_promiscuous(uint16_t port):
    check(rte_eth_promiscuous_enable(port), "rte_eth_promiscuous_enable")

def port_mtu(uint16_t port, uint16_t mtu):
    check(rte_eth_dev_set_mtu(port, mtu), "rte_eth_dev_set_mtu")

def port_stats(uint16_t port):
    cdef rte_eth_stats s
    check(rte_eth_stats_get(port, &s), "rte_eth_stats_get")
    return s.ipackets, s.opackets, s.ibytes, s.obytes, s.imissed, s.ierrors, s.oerrors, s.rx_nombuf

def receive(uint16_t port, uint16_t queue, uint16_t n):
    cdef rte_mbuf* mbufs[256]
    cdef uint16_t got = rte_eth_rx_burst(port, queue, mbufs, min(n, <uint16_t>256))
    return [<uintptr_t>mbufs[i] for i in range(got)]

def transmit(uint16_t port, uint16_t queue, list mbufs):
    cdef rte_mbuf* burst[256]
    cdef Py_ssize_t sent = 0, n
    cdef uint16_t done
    while True:  # also for no packets at all: net_af_xdp then frees what was sent
        n = min(len(mbufs) - sent, 256)
        for i in range(n):
            burst[i] = <rte_mbuf*><uintptr_t>mbufs[sent + i]
        done = rte_eth_tx_burst(port, queue, burst, <uint16_t>n)
        sent += done
        if done < n or sent == len(mbufs):
            break
    return sent
