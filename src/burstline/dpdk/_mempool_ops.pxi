"""Mempool ops over the kernels of `buffers/magazine_kernel.py`, for any driver. Part of `_dpdk.pyx`.

https://doc.dpdk.org/guides-22.11/prog_guide/mempool_lib.html#mempool-handlers
"""

ctypedef int64_t (*bl_kernel)(int64_t cache, int64_t objects, int64_t n) noexcept nogil

cdef struct bl_magazines:  # as buffers/mbuf_pool.py declares it
    int64_t caches     # address of lcore 0's CoreCache
    int64_t apart      # bytes to the next one
    int64_t lcores     # so many have one; the one behind them is for all other threads
    int64_t take       # addresses of the kernels
    int64_t give
    int64_t taken_at   # where a CoreCache counts
    int64_t given_at
    int64_t added      # objects that there are
    int64_t stager     # the thread whose objects are new ones, or 0: they go to `staged`, for they are no mbufs yet
    int64_t staged
    int64_t staged_count
    int64_t guests     # a spinlock: who uses the cache of those without an lcore

cdef int bl_ops_alloc(rte_mempool* pool) noexcept nogil:
    pool.pool_data = pool.pool_config
    return 0

cdef int bl_ops_enqueue(rte_mempool* pool, void* const* objects, unsigned n) noexcept nogil:
    cdef bl_magazines* m = <bl_magazines*>pool.pool_data
    cdef unsigned lcore = rte_lcore_id()
    if m.stager != 0 and m.stager == rte_gettid():
        memcpy(<void**>m.staged + m.staged_count, objects, n * sizeof(void*))
        m.staged_count += n
    elif lcore < m.lcores:
        (<bl_kernel>m.give)(m.caches + lcore * m.apart, <int64_t>objects, n)
    else:
        rte_spinlock_lock(<rte_spinlock_t*>&m.guests)
        (<bl_kernel>m.give)(m.caches + m.lcores * m.apart, <int64_t>objects, n)
        rte_spinlock_unlock(<rte_spinlock_t*>&m.guests)
    return 0

cdef int bl_ops_dequeue(rte_mempool* pool, void** objects, unsigned n) noexcept nogil:
    cdef bl_magazines* m = <bl_magazines*>pool.pool_data
    cdef unsigned lcore = rte_lcore_id()
    cdef int64_t got
    if lcore < m.lcores:
        got = (<bl_kernel>m.take)(m.caches + lcore * m.apart, <int64_t>objects, n)
    else:
        rte_spinlock_lock(<rte_spinlock_t*>&m.guests)
        got = (<bl_kernel>m.take)(m.caches + m.lcores * m.apart, <int64_t>objects, n)
        rte_spinlock_unlock(<rte_spinlock_t*>&m.guests)
    return 0 if got == n else -ENOBUFS

cdef unsigned bl_ops_get_count(const rte_mempool* pool) noexcept nogil:
    cdef bl_magazines* m = <bl_magazines*>pool.pool_data
    cdef int64_t free = m.added, cache, k
    for k in range(m.lcores + 1):
        cache = m.caches + k * m.apart
        free += (<int64_t*>(cache + m.given_at))[0] - (<int64_t*>(cache + m.taken_at))[0]
    return <unsigned>free

def best_mempool_ops():
    """The name of those that the user, else the platform, else DPDK's build prefers."""
    return rte_mbuf_best_mempool_ops().decode()

def register_mempool_ops(str name):
    """Make them known to DPDK, once in a process."""
    cdef rte_mempool_ops ops
    memset(&ops, 0, sizeof(ops))
    raw = name.encode()
    memcpy(ops.name, PyBytes_AS_STRING(raw), len(raw))
    ops.alloc, ops.enqueue, ops.dequeue, ops.get_count = bl_ops_alloc, bl_ops_enqueue, bl_ops_dequeue, bl_ops_get_count
    check(rte_mempool_register_ops(&ops), "rte_mempool_register_ops")

def pool_stage(uintptr_t magazines, uintptr_t staged):
    """From now on objects that this thread enqueues are written to `staged`; 0 ends that. Returns how many were."""
    cdef bl_magazines* m = <bl_magazines*>magazines
    count = m.staged_count
    m.staged, m.staged_count, m.stager = staged, 0, rte_gettid() if staged else 0
    return count

def pool_most(uintptr_t pool, unsigned most):
    """A populated pool may grow to `most` objects."""
    (<rte_mempool*>pool).size = most

def pool_populate(uintptr_t pool, str name, size_t size):
    """Populate a chunk of `size` bytes; its objects are enqueued. Returns a handle of the chunk, 0 when it cannot be
    released again: it consists of pieces."""
    cdef void* chunk = NULL
    cdef bytes raw = name.encode()
    cdef const char* text = raw
    cdef int result
    with nogil:
        result = bl_pool_populate(<rte_mempool*>pool, text, size, &chunk)
    check(result, "rte_mempool_populate")
    return <uintptr_t>chunk

def pool_init(uintptr_t pool, const int64_t[::1] objects):
    """Make mbufs of objects."""
    for i in range(objects.shape[0]):
        rte_pktmbuf_init(<rte_mempool*>pool, NULL, <void*>objects[i], <unsigned>i)

def pool_release(uintptr_t pool, uintptr_t chunk):
    """Take a chunk out of the pool: none of its objects is in it, and nobody has one. Its memory goes back to DPDK."""
    bl_pool_release(<rte_mempool*>pool, <void*>chunk)

def pool_object_size(uintptr_t pool):
    """Bytes that an object takes, with its header and trailer."""
    cdef rte_mempool* p = <rte_mempool*>pool
    return p.header_size + p.elt_size + p.trailer_size
