"""Pools, mbufs and rings, as addresses. Part of `_dpdk.pyx`."""

def pool_create(str name, unsigned count, unsigned cache, uint16_t room, unsigned flags, int socket, str ops,
                uintptr_t config):
    """`ops` are those of this name, the driver's own preference where it is empty; `config` is for them."""
    cdef rte_mempool* pool
    cdef bytes raw = name.encode(), raw_ops = ops.encode()
    cdef const char* text = raw
    cdef const char* ops_text = raw_ops
    with nogil:
        pool = bl_pool_create(text, count, cache, room, flags, socket, ops_text, <void*>config)
    if pool == NULL:
        check(-bl_errno(), "rte_mempool_create_empty")
    return <uintptr_t>pool

def pool_free(uintptr_t pool):
    rte_mempool_free(<rte_mempool*>pool)

def pool_available(uintptr_t pool):
    return rte_mempool_avail_count(<rte_mempool*>pool)

cdef void _add_memory(rte_mempool* pool, void* found, rte_mempool_memhdr* memory, unsigned number) noexcept with gil:
    (<list>found).append((<uintptr_t>memory.addr, memory.len))

def pool_memory(uintptr_t pool):
    """Addresses and bytes of the memory that its mbufs lie in."""
    cdef list found = []
    rte_mempool_mem_iter(<rte_mempool*>pool, _add_memory, <void*>found)
    return found

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

def mbuf_marks(uintptr_t mbuf):
    """What a driver is told of a packet, or tells: ol_flags, tx_offload, packet_type, vlan_tci."""
    cdef rte_mbuf* m = <rte_mbuf*>mbuf
    return {"ol_flags": m.ol_flags, "tx_offload": m.tx_offload, "packet_type": m.packet_type, "vlan_tci": m.vlan_tci}

def mbuf_mark(uintptr_t mbuf, uint64_t ol_flags, uint64_t tx_offload, uint32_t packet_type=0, uint16_t vlan_tci=0):
    cdef rte_mbuf* m = <rte_mbuf*>mbuf
    m.ol_flags, m.tx_offload, m.packet_type, m.vlan_tci = ol_flags, tx_offload, packet_type, vlan_tci

def mbuf_flag(str name):
    """A flag of ol_flags that is free, the same for the same name; 0 where none is left. EAL must run."""
    return bl_mbuf_flag(name.encode())

def mbuf_copy(uintptr_t pools, const uint8_t[::1] data):
    """An mbuf of `pools` that holds `data` in one segment; 0 where there is none."""
    cdef rte_mbuf* made = bl_dpdk_new(<const int64_t*>pools, data.shape[0])
    if made != NULL and data.shape[0]:
        memcpy(bl_data(made), &data[0], data.shape[0])
    if made != NULL:
        made.data_len, made.pkt_len = <uint16_t>data.shape[0], <uint32_t>data.shape[0]
    return <uintptr_t>made

def gather(uintptr_t mbuf, uintptr_t pools):
    return <uintptr_t>bl_dpdk_gather(<rte_mbuf*>mbuf, <const int64_t*>pools)

def free(list mbufs):
    for mbuf in mbufs:
        rte_pktmbuf_free(<rte_mbuf*><uintptr_t>mbuf)


# ---- rings ----

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
