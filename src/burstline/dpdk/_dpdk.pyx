# cython: language_level=3
"""What needs DPDK's headers, and nothing else: four functions for compiled code, and DPDK's calls for the files beside
this one, which give them names, types and clear errors. Here errors are OSError with DPDK's errno and the call's name."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdio cimport fflush
from libc.stdlib cimport calloc
from libc.string cimport memcpy


# ---- for compiled code: no GIL, no allocation, int64 throughout ----

cdef int64_t bl_dpdk_rx(int64_t port, int64_t queue, rte_mbuf** mbufs, int64_t n) noexcept nogil:
    return rte_eth_rx_burst(<uint16_t>port, <uint16_t>queue, mbufs, <uint16_t>n)

cdef int64_t bl_dpdk_tx(int64_t port, int64_t queue, rte_mbuf** mbufs, int64_t n) noexcept nogil:
    return rte_eth_tx_burst(<uint16_t>port, <uint16_t>queue, mbufs, <uint16_t>n)

cdef int64_t bl_dpdk_free(rte_mbuf** mbufs, int64_t n) noexcept nogil:
    rte_pktmbuf_free_bulk(mbufs, <unsigned>n)
    return 0

cdef int64_t bl_dpdk_linear(rte_mbuf* mbuf) noexcept nogil:
    return rte_pktmbuf_linearize(mbuf)

SYMBOLS = {
    "bl_dpdk_rx": <uintptr_t>&bl_dpdk_rx,
    "bl_dpdk_tx": <uintptr_t>&bl_dpdk_tx,
    "bl_dpdk_free": <uintptr_t>&bl_dpdk_free,
    "bl_dpdk_linear": <uintptr_t>&bl_dpdk_linear,
}

cdef rte_mbuf _mbuf  # never read: its fields' places are what is wanted
MBUF = {
    "buf_addr": <uintptr_t>&_mbuf.buf_addr - <uintptr_t>&_mbuf,
    "data_off": <uintptr_t>&_mbuf.data_off - <uintptr_t>&_mbuf,
    "data_len": <uintptr_t>&_mbuf.data_len - <uintptr_t>&_mbuf,
    "pkt_len": <uintptr_t>&_mbuf.pkt_len - <uintptr_t>&_mbuf,
    "nb_segs": <uintptr_t>&_mbuf.nb_segs - <uintptr_t>&_mbuf,
    "port": <uintptr_t>&_mbuf.port - <uintptr_t>&_mbuf,
}
VERSION = rte_version().decode()
PMD_PATH = RTE_EAL_PMD_PATH.decode()
HEADROOM = RTE_PKTMBUF_HEADROOM
NO_IOVA_CONTIG = RTE_MEMPOOL_F_NO_IOVA_CONTIG
RSS = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP


cdef int check(int result, str call) except -1:
    if result < 0:
        raise OSError(-result, f"{call}: {rte_strerror(-result).decode()}")
    return result

def strerror(int error):
    return rte_strerror(error).decode()


# ---- EAL, log, threads ----

def eal_init(list arguments):
    """DPDK keeps pointers into argv, so that it is never freed."""
    cdef char** argv = <char**>calloc(len(arguments) + 1, sizeof(char*))
    cdef char* text
    cdef int n = 0, result
    for argument in arguments:
        raw = argument.encode() + b"\0"
        text = <char*>calloc(len(raw), 1)
        memcpy(text, PyBytes_AS_STRING(raw), len(raw))
        argv[n] = text
        n += 1
    with nogil:
        result = rte_eal_init(n, argv)
    check(-bl_errno() if result < 0 else 0, "rte_eal_init")

def has_hugepages():
    return bool(rte_eal_has_hugepages())

def log_start():
    check(bl_log_start(), "rte_openlog_stream")

def log_mark():
    return bl_log_mark()

def log_since(uint64_t mark):
    out = PyBytes_FromStringAndSize(NULL, BL_LOG_SIZE)
    return out[:bl_log_since(mark, PyBytes_AS_STRING(out))].decode(errors="replace")

def flush_c_streams():
    fflush(NULL)

def tsc_hz():
    return rte_get_tsc_hz()

def tsc():
    return rte_get_tsc_cycles()

def thread_register():
    check(-bl_errno() if rte_thread_register() else 0, "rte_thread_register")

def thread_unregister():
    rte_thread_unregister()

def lcore_id():
    return rte_lcore_id()


# ---- pools and mbufs, as addresses ----

def pool_create(str name, unsigned count, unsigned cache, uint16_t room, unsigned flags, int socket):
    cdef rte_mempool* pool
    cdef bytes raw = name.encode()
    cdef const char* text = raw
    with nogil:
        pool = bl_pool_create(text, count, cache, room, flags, socket)
    if pool == NULL:
        check(-bl_errno(), "rte_mempool_create_empty")
    return <uintptr_t>pool

def pool_free(uintptr_t pool):
    rte_mempool_free(<rte_mempool*>pool)

def pool_available(uintptr_t pool):
    return rte_mempool_avail_count(<rte_mempool*>pool)

def pool_recover(uintptr_t pool):
    return bl_pool_recover(<rte_mempool*>pool)

def pool_cached(uintptr_t pool, unsigned lcore):
    return bl_pool_cached(<rte_mempool*>pool, lcore)

def mbuf_new(uintptr_t pool, const uint8_t[::1] data, uint16_t segment):
    """An mbuf (a chain, when `data` is longer than `segment` or the pool's room) that holds `data`; 0: none left."""
    cdef rte_mbuf* head = NULL
    cdef rte_mbuf* part
    cdef Py_ssize_t at = 0, size = data.shape[0], n
    while head == NULL or at < size:
        part = rte_pktmbuf_alloc(<rte_mempool*>pool)
        if part == NULL or (head != NULL and rte_pktmbuf_chain(head, part) != 0):
            rte_pktmbuf_free(part)
            rte_pktmbuf_free(head)
            return 0
        if head == NULL:
            head = part
        n = min(size - at, <Py_ssize_t>min(segment, rte_pktmbuf_tailroom(part)))
        if n:
            memcpy(bl_data(part), &data[at], n)
        part.data_len = <uint16_t>n
        head.pkt_len += <uint32_t>n
        at += n
    return <uintptr_t>head

def mbuf_bytes(uintptr_t mbuf):
    """The whole packet, across its segments."""
    cdef rte_mbuf* part = <rte_mbuf*>mbuf
    parts = []
    while part != NULL:
        parts.append(PyBytes_FromStringAndSize(<char*>bl_data(part), part.data_len))
        part = part.next
    return b"".join(parts)

def mbuf_view(uintptr_t mbuf):
    """Writable, of the first segment; valid until the mbuf is sent or freed."""
    cdef rte_mbuf* part = <rte_mbuf*>mbuf
    return PyMemoryView_FromMemory(<char*>bl_data(part), part.data_len, 0x200)

def mbuf_segments(uintptr_t mbuf):
    return (<rte_mbuf*>mbuf).nb_segs

def linear(uintptr_t mbuf):
    return bl_dpdk_linear(<rte_mbuf*>mbuf) == 0

def free(list mbufs):
    for mbuf in mbufs:
        rte_pktmbuf_free(<rte_mbuf*><uintptr_t>mbuf)


# ---- ports ----

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
    rx_offloads, tx_offloads = [], []
    for bit in range(64):
        if info.rx_offload_capa >> bit & 1:
            rx_offloads.append(rte_eth_dev_rx_offload_name(<uint64_t>1 << bit).decode())
        if info.tx_offload_capa >> bit & 1:
            tx_offloads.append(rte_eth_dev_tx_offload_name(<uint64_t>1 << bit).decode())
    return {
        "driver": info.driver_name.decode(),
        "device": rte_dev_name(info.device).decode(),
        "bus": rte_bus_name(rte_dev_bus(info.device)).decode(),
        "socket": rte_eth_dev_socket_id(port),
        "mac": PyBytes_FromStringAndSize(<char*>mac.addr_bytes, 6),
        "mtu": mtu,
        "max_rx_queues": info.max_rx_queues,
        "max_tx_queues": info.max_tx_queues,
        "reta_size": info.reta_size,
        "rx_offloads": rx_offloads,
        "tx_offloads": tx_offloads,
        "rss": info.flow_type_rss_offloads,
        "link_up": link.link_status == RTE_ETH_LINK_UP,
        "link_mbps": link.link_speed,
    }

def port_configure(uint16_t port, uint16_t queues, uint64_t rss):
    cdef int result
    with nogil:
        result = bl_configure(port, queues, queues, rss)
    check(result, "rte_eth_dev_configure")

def port_queues(uint16_t port, uint16_t queues, uint16_t rx_ring, uint16_t tx_ring, uintptr_t pool):
    """Set up all queues; returns the sizes of the rings as the port wants them."""
    cdef int result = 0, socket = rte_eth_dev_socket_id(port)
    cdef uint16_t queue
    check(rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx_ring, &tx_ring), "rte_eth_dev_adjust_nb_rx_tx_desc")
    for queue in range(queues):
        with nogil:
            result = rte_eth_rx_queue_setup(port, queue, rx_ring, <unsigned>socket, NULL, <rte_mempool*>pool)
        check(result, "rte_eth_rx_queue_setup")
        with nogil:
            result = rte_eth_tx_queue_setup(port, queue, tx_ring, <unsigned>socket, NULL)
        check(result, "rte_eth_tx_queue_setup")
    return rx_ring, tx_ring

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


# ---- rings, as addresses ----

def ring_create(str name, unsigned count):
    cdef rte_ring* ring = rte_ring_create(name.encode(), count, -1, RING_F_SP_ENQ | RING_F_SC_DEQ)
    if ring == NULL:
        check(-bl_errno(), "rte_ring_create")
    return <uintptr_t>ring

def ring_free(uintptr_t ring):
    rte_ring_free(<rte_ring*>ring)

def ring_count(uintptr_t ring):
    return rte_ring_count(<rte_ring*>ring)

def ring_put(uintptr_t ring, uintptr_t mbuf):
    """Whether there was room."""
    cdef void* item = <void*>mbuf
    return rte_ring_enqueue_burst(<rte_ring*>ring, &item, 1, NULL) == 1

def ring_take(uintptr_t ring):
    """The oldest mbuf, or 0."""
    cdef void* item = NULL
    rte_ring_dequeue_burst(<rte_ring*>ring, &item, 1, NULL)
    return <uintptr_t>item

def port_from_rings(str name, list rx, list tx):
    cdef rte_ring* rx_rings[16]
    cdef rte_ring* tx_rings[16]
    if max(len(rx), len(tx)) > 16:
        raise ValueError("net_ring has at most 16 queues")
    for i, ring in enumerate(rx):
        rx_rings[i] = <rte_ring*><uintptr_t>ring
    for i, ring in enumerate(tx):
        tx_rings[i] = <rte_ring*><uintptr_t>ring
    return check(bl_port_from_rings(name.encode(), rx_rings, len(rx), tx_rings, len(tx), 0), "rte_eth_from_rings")
