"""rte_flow, RSS and RETA of ports. Part of `_dpdk.pyx`.

A rule's items are tuples of type, spec, mask and last, its actions tuples of type, number and queues; types are those
of FLOW_ITEMS and FLOW_ACTIONS. Errors are FlowError. A handle is the address of a rte_flow."""

FLOW_ITEMS = _named(bl_flow_items)
FLOW_ACTIONS = _named(bl_flow_actions)
FLOW_SIZES = _named(bl_flow_sizes)
FLOW_PLACES = _named(bl_flow_places)
_FLOW_ERRORS = {number: name.lower().replace("_", " ") for name, number in _named(bl_flow_errors).items()}

class FlowError(OSError):
    """`kind` is rte_flow_error's type, `said` its message, and `item` the number of the item that it points at."""

    def __init__(self, number, call, kind, said, item):
        super().__init__(number, f"{call}: {said or rte_strerror(number).decode()} ({kind})")
        self.call, self.kind, self.said, self.item = call, kind, said, item

cdef int flow_check(
    int result, str call, const rte_flow_error* error, const rte_flow_item* items, size_t n
) except -1:
    if result >= 0:
        return result
    said = error.message.decode(errors="replace") if error.message != NULL else ""
    place, item = <uintptr_t>error.cause, None
    for i in range(n):
        near = (<uintptr_t>&items[i], <uintptr_t>items[i].spec, <uintptr_t>items[i].mask, <uintptr_t>items[i].last)
        if place and place in near:
            item = i
    raise FlowError(-result, call, _FLOW_ERRORS.get(<int>error.type, "unspecified"), said, item)

cdef const void* _behind(bytes data):
    return PyBytes_AS_STRING(data) if data else NULL

def flow_layout_more_vlan():
    """The bytes of a VLAN item with has_more_vlan alone."""
    cdef rte_flow_item_vlan item
    bl_flow_more_vlan(&item)
    return PyBytes_FromStringAndSize(<char*>&item, sizeof(item))

cdef uintptr_t _flow_make(uint16_t port, uint32_t priority, list items, list actions, uint64_t rss, int validate) except? 0:
    cdef rte_flow_item pattern[BL_FLOW_ITEMS]
    cdef rte_flow_action does[BL_FLOW_ACTIONS]
    cdef bl_flow_conf confs[BL_FLOW_ACTIONS]
    cdef uint16_t queues[BL_FLOW_QUEUES]
    cdef rte_flow_error error
    cdef rte_flow* flow
    cdef int result = 0
    cdef size_t n = len(items), m = len(actions)
    cdef uint32_t used = 0, first
    if n >= BL_FLOW_ITEMS or m >= BL_FLOW_ACTIONS:
        raise ValueError(f"a rule cannot have {n} items and {m} actions")
    memset(pattern, 0, sizeof(pattern))
    for i, (kind, spec, mask, last) in enumerate(items):
        pattern[i].type = kind
        pattern[i].spec, pattern[i].mask, pattern[i].last = _behind(spec), _behind(mask), _behind(last)
    memset(does, 0, sizeof(does))
    for i, (kind, number, to) in enumerate(actions):
        first = used
        if used + len(to) > BL_FLOW_QUEUES:
            raise ValueError(f"a rule cannot have {used + len(to)} queues")
        for queue in to:
            queues[used] = queue
            used += 1
        bl_flow_action(&does[i], &confs[i], kind, number, &queues[first], used - first, rss)
    with nogil:
        flow = bl_flow_make(port, priority, pattern, does, validate, &result, &error)
    flow_check(result, "rte_flow_validate" if validate else "rte_flow_create", &error, pattern, n)
    return <uintptr_t>flow

def flow_validate(uint16_t port, uint32_t priority, list items, list actions, uint64_t rss=0):
    _flow_make(port, priority, items, actions, rss, 1)

def flow_create(uint16_t port, uint32_t priority, list items, list actions, uint64_t rss=0):
    """`rss` are the hash functions of actions RSS; none are the driver's own choice."""
    return _flow_make(port, priority, items, actions, rss, 0)

def flow_destroy(uint16_t port, uintptr_t flow):
    cdef rte_flow_error error
    cdef int result
    memset(&error, 0, sizeof(error))
    with nogil:
        result = rte_flow_destroy(port, <rte_flow*>flow, &error)
    flow_check(result, "rte_flow_destroy", &error, NULL, 0)

def flow_flush(uint16_t port):
    cdef rte_flow_error error
    cdef int result
    memset(&error, 0, sizeof(error))
    with nogil:
        result = rte_flow_flush(port, &error)
    flow_check(result, "rte_flow_flush", &error, NULL, 0)

def flow_query(uint16_t port, uintptr_t flow):
    """Packets and bytes that a rule with COUNT matched; 0 for what the driver does not tell."""
    cdef rte_flow_error error
    cdef uint64_t hits = 0, octets = 0
    cdef int result
    memset(&error, 0, sizeof(error))
    with nogil:
        result = bl_flow_count(port, <rte_flow*>flow, &hits, &octets, &error)
    flow_check(result, "rte_flow_query", &error, NULL, 0)
    return hits, octets

def flow_isolate(uint16_t port, bint on):
    cdef rte_flow_error error
    cdef int result
    memset(&error, 0, sizeof(error))
    with nogil:
        result = rte_flow_isolate(port, on, &error)
    flow_check(result, "rte_flow_isolate", &error, NULL, 0)


# ---- RSS ----

def rss_hash(uint16_t port, uint8_t key_size):
    """The key and the hash functions (RSS_FUNCTIONS) of a port. With a key size of 0 the key is not asked for."""
    cdef rte_eth_rss_conf conf
    cdef uint8_t key[256]
    memset(key, 0, sizeof(key))
    conf.rss_key, conf.rss_key_len, conf.rss_hf = key if key_size else NULL, key_size, 0
    check(rte_eth_dev_rss_hash_conf_get(port, &conf), "rte_eth_dev_rss_hash_conf_get")
    return PyBytes_FromStringAndSize(<char*>key, key_size), conf.rss_hf

def rss_hash_update(uint16_t port, bytes key, uint64_t functions):
    """A key of no bytes leaves it as it is."""
    cdef rte_eth_rss_conf conf
    conf.rss_key = <uint8_t*>PyBytes_AS_STRING(key) if key else NULL
    conf.rss_key_len, conf.rss_hf = <uint8_t>len(key), functions
    check(rte_eth_dev_rss_hash_update(port, &conf), "rte_eth_dev_rss_hash_update")

def reta(uint16_t port, uint16_t size):
    """The queue of each of `size` buckets."""
    cdef rte_eth_rss_reta_entry64 groups[BL_RETA_GROUPS]
    _check_reta(size)
    memset(groups, 0, sizeof(groups))
    for bucket in range(size):
        groups[bucket // RTE_ETH_RETA_GROUP_SIZE].mask |= <uint64_t>1 << (bucket % RTE_ETH_RETA_GROUP_SIZE)
    check(rte_eth_dev_rss_reta_query(port, groups, size), "rte_eth_dev_rss_reta_query")
    return [groups[b // RTE_ETH_RETA_GROUP_SIZE].reta[b % RTE_ETH_RETA_GROUP_SIZE] for b in range(size)]

def reta_update(uint16_t port, uint16_t size, dict entries):
    """New queues of some of `size` buckets; the others stay."""
    cdef rte_eth_rss_reta_entry64 groups[BL_RETA_GROUPS]
    cdef uint16_t bucket
    _check_reta(size)
    memset(groups, 0, sizeof(groups))
    for bucket, queue in entries.items():
        if bucket >= size:
            raise ValueError(f"there is no bucket {bucket} of {size}")
        groups[bucket // RTE_ETH_RETA_GROUP_SIZE].mask |= <uint64_t>1 << (bucket % RTE_ETH_RETA_GROUP_SIZE)
        groups[bucket // RTE_ETH_RETA_GROUP_SIZE].reta[bucket % RTE_ETH_RETA_GROUP_SIZE] = queue
    check(rte_eth_dev_rss_reta_update(port, groups, size), "rte_eth_dev_rss_reta_update")

cdef int _check_reta(uint16_t size) except -1:
    if size > BL_RETA_GROUPS * RTE_ETH_RETA_GROUP_SIZE:
        raise ValueError(f"a RETA of {size} entries is larger than {BL_RETA_GROUPS * RTE_ETH_RETA_GROUP_SIZE}")
    return 0
