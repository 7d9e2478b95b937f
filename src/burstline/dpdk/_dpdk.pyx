# cython: language_level=3
"""What needs DPDK's headers, and nothing else: functions for compiled code, and DPDK's calls for the files beside
this one, which give them names, types and clear errors. Here errors are OSError with DPDK's errno and the call's name."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.errno cimport ENOBUFS
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdio cimport fflush
from libc.stdlib cimport calloc
from libc.string cimport memcpy, memset


# ---- for compiled code: no GIL, no allocation, int64 throughout ----

cdef int64_t bl_dpdk_rx(int64_t port, int64_t queue, rte_mbuf** mbufs, int64_t n) noexcept nogil:
    return rte_eth_rx_burst(<uint16_t>port, <uint16_t>queue, mbufs, <uint16_t>n)

cdef int64_t bl_dpdk_tx(int64_t port, int64_t queue, rte_mbuf** mbufs, int64_t n) noexcept nogil:
    return rte_eth_tx_burst(<uint16_t>port, <uint16_t>queue, mbufs, <uint16_t>n)

cdef int64_t bl_dpdk_prepare(int64_t port, int64_t queue, rte_mbuf** mbufs, int64_t n) noexcept nogil:
    """What a driver must do to packets with transmit flags before it takes them; how many it says yes to."""
    return rte_eth_tx_prepare(<uint16_t>port, <uint16_t>queue, mbufs, <uint16_t>n)

cdef int64_t bl_dpdk_alloc(rte_mempool* pool, rte_mbuf** mbufs, int64_t n) noexcept nogil:
    """0, or less where the pool has not so many: then none is taken."""
    return rte_pktmbuf_alloc_bulk(pool, mbufs, <unsigned>n)

cdef int64_t bl_dpdk_take(rte_mempool* pool, rte_mbuf** mbufs, int64_t n) noexcept nogil:
    """As bl_dpdk_alloc, of mbufs whose fields are as they were when they were freed, but for those that DPDK promises
    (rte_mbuf_raw_alloc): one reference, one segment, none behind it. For who writes them all."""
    return rte_mempool_get_bulk(pool, <void**>mbufs, <unsigned>n)

cdef int64_t bl_dpdk_free(rte_mbuf** mbufs, int64_t n) noexcept nogil:
    rte_pktmbuf_free_bulk(mbufs, <unsigned>n)
    return 0

cdef rte_mbuf* bl_dpdk_gather(rte_mbuf* mbuf, const int64_t* pools) noexcept nogil:
    """The packet in one segment, in a buffer of the first pool that has the room and one left; the chain is freed. Or the
    chain as it is. `pools`: bytes of room and address of each, in rising order, and a 0."""
    cdef rte_mbuf* whole
    if rte_pktmbuf_linearize(mbuf) == 0:
        return mbuf
    while pools[0] != 0:
        if pools[0] >= mbuf.pkt_len:
            whole = rte_pktmbuf_copy(mbuf, <rte_mempool*>pools[1], 0, mbuf.pkt_len)
            if whole != NULL:
                rte_pktmbuf_free(mbuf)
                return whole
        pools += 2
    return mbuf

cdef rte_mbuf* bl_dpdk_new(const int64_t* pools, int64_t size) noexcept nogil:
    """An mbuf with room for `size` bytes, of the smallest class that has one; NULL when none has. `pools`: Pools.table."""
    cdef rte_mbuf* made
    while pools[0] != 0:
        if pools[0] >= size:
            made = rte_pktmbuf_alloc(<rte_mempool*>pools[1])
            if made != NULL:
                return made
        pools += 2
    return NULL

SYMBOLS = {
    "bl_dpdk_new": <uintptr_t>&bl_dpdk_new,
    "bl_dpdk_rx": <uintptr_t>&bl_dpdk_rx,
    "bl_dpdk_tx": <uintptr_t>&bl_dpdk_tx,
    "bl_dpdk_prepare": <uintptr_t>&bl_dpdk_prepare,
    "bl_dpdk_alloc": <uintptr_t>&bl_dpdk_alloc,
    "bl_dpdk_take": <uintptr_t>&bl_dpdk_take,
    "bl_dpdk_free": <uintptr_t>&bl_dpdk_free,
    "bl_dpdk_gather": <uintptr_t>&bl_dpdk_gather,
}

cdef _named(const bl_named* each):
    found = {}
    while each.name != NULL:
        found[each.name.decode()] = each.value
        each += 1
    return found

MBUF = _named(bl_mbuf_fields)
MBUF_FLAGS = _named(bl_mbuf_flags)
VERSION = rte_version().decode()
PMD_PATH = RTE_EAL_PMD_PATH.decode()
HEADROOM = RTE_PKTMBUF_HEADROOM
MAX_LCORE = RTE_MAX_LCORE
NO_IOVA_CONTIG = RTE_MEMPOOL_F_NO_IOVA_CONTIG

cdef _offloads(bint rx):
    """All that DPDK has a name for: it calls the others UNKNOWN."""
    found = {}
    for bit in range(64):
        one = <uint64_t>1 << bit
        name = (rte_eth_dev_rx_offload_name(one) if rx else rte_eth_dev_tx_offload_name(one)).decode()
        if name != "UNKNOWN":
            found[name] = one
    return found

RX_OFFLOADS = _offloads(True)
TX_OFFLOADS = _offloads(False)
RSS_FUNCTIONS = _named(bl_rss_functions)
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


include "_buffers.pxi"
include "_mempool_ops.pxi"
include "_ports.pxi"
include "_flow.pxi"
