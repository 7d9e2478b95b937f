// Flow tables over keys of 16 bytes that lie behind each other: DPDK's hash, and burstline's own design in C.
#include <immintrin.h>
#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { KEY = 16, BULK = 64, BURST = 256, FAR = 32, NEAR = 16, SLOTS = 10, LOAD = 8 };

struct record {
    uint64_t packets, bytes, last, first;
};

static void update(struct record *r, uint32_t length, uint64_t time) {
    r->packets++;
    r->bytes += length;
    r->last = time;
}

static void *memory(size_t size) {
    char *found = mmap(NULL, size + (2 << 20), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (found == MAP_FAILED)
        return NULL;
    found += -(uintptr_t)found & ((2 << 20) - 1);
    madvise(found, size, MADV_HUGEPAGE);
    return found;
}

int start(const char *core, int huge) {
    char *words[] = {"flow_table", "-l", strdup(core), "--no-pci", "--no-shconf", "--no-telemetry", "--log-level=1",
                     "--force-max-simd-bitwidth=512", "-m", huge ? "900" : "2048",
                     huge ? "--in-memory" : "--no-huge"};
    return rte_eal_init((int)(sizeof(words) / sizeof(*words)), words);
}

// DPDK: keys and pointers to records in its table, records behind each other in the order of their keys.

struct dpdk {
    struct rte_hash *hash;
    struct record *records;
    uint32_t flows;
};

struct dpdk *dpdk_make(const uint8_t *keys, uint32_t flows) {
    struct rte_hash_parameters parameters = {.name = "flows", .entries = flows + flows / 4 + 64, .key_len = KEY,
                                             .hash_func = rte_hash_crc, .socket_id = 0};
    struct dpdk *made = calloc(1, sizeof(*made));
    made->hash = rte_hash_create(&parameters);
    made->records = memory((size_t)flows * sizeof(struct record));
    made->flows = flows;
    if (made->hash == NULL || made->records == NULL)
        return NULL;
    for (uint32_t k = 0; k < flows; k++)
        if (rte_hash_add_key_data(made->hash, keys + (size_t)k * KEY, &made->records[k]) != 0)
            return NULL;
    return made;
}

uint64_t dpdk_run(struct dpdk *d, const uint8_t *keys, const uint32_t *lengths, uint32_t count) {
    uint64_t missed = 0;
    for (uint32_t at = 0; at < count; at += BULK) {
        const void *wanted[BULK];
        void *found[BULK];
        uint64_t hits = 0;
        uint32_t n = count - at < BULK ? count - at : BULK;
        for (uint32_t k = 0; k < n; k++)
            wanted[k] = keys + (size_t)(at + k) * KEY;
        rte_hash_lookup_bulk_data(d->hash, wanted, n, &hits, found);
        for (uint32_t k = 0; k < n; k++)
            __builtin_prefetch(found[k], 1);
        for (uint32_t k = 0; k < n; k++) {
            if (hits >> k & 1)
                update(found[k], lengths[at + k], at + k);
            else
                missed++;
        }
    }
    return missed;
}

void dpdk_totals(struct dpdk *d, uint64_t *packets, uint64_t *bytes, uint64_t *mixed) {
    for (uint32_t k = 0; k < d->flows; k++) {
        *packets += d->records[k].packets;
        *bytes += d->records[k].bytes;
        *mixed += d->records[k].last * d->records[k].packets;
    }
}

void dpdk_free(struct dpdk *d) {
    rte_hash_free(d->hash);
    munmap(d->records, (size_t)d->flows * sizeof(struct record));
    free(d);
}

// The same design as state/flow_table_kernel.py: buckets of ten tags and ten numbers, entries of one line, which bear
// the number of the burst that touched them last, so that others can read whole records.

struct bucket {
    uint16_t tags[SLOTS];
    uint32_t numbers[SLOTS];
    uint32_t overflow;
} __attribute__((packed, aligned(64)));

struct entry {
    uint64_t key[2];
    struct record record;
    uint64_t spare[2];
} __attribute__((aligned(64)));

struct own {
    struct bucket *index;
    struct entry *entries;
    uint64_t buckets, began, ended, mark;
    uint32_t flows;
};

static const uint64_t USED = 1ull << 63, OWN_BITS = 0x7fffull << 48, OF_KEY = (1ull << 48) - 1;

static int same_key(const struct entry *e, const uint64_t *key) {
    return (((e->key[0] ^ (key[0] | USED)) & ~OWN_BITS) | (e->key[1] ^ key[1])) == 0;
}

static uint64_t mix(uint64_t x, uint64_t y) {
    __uint128_t product = (__uint128_t)x * y;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_of(const uint64_t *key) {
    return mix((key[0] & OF_KEY) ^ 0xa0761d6478bd642f, key[1] ^ 0x1d8e4e27c47d124f);
}

static uint64_t home_of(const struct own *t, uint64_t hash) {
    return ((hash >> 32) * t->buckets) >> 32;
}

static uint32_t slots_with(const struct bucket *b, uint16_t tag) {
    __m256i tags = _mm256_load_si256((const __m256i *)b->tags), wanted = _mm256_set1_epi16((short)tag);
#ifdef __AVX512BW__
    return _mm256_cmpeq_epi16_mask(tags, wanted) & ((1 << SLOTS) - 1);
#else
    return _pext_u32((uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi16(tags, wanted)), 0x55555555) & ((1 << SLOTS) - 1);
#endif
}

static uint32_t find(const struct own *t, const uint64_t *key, uint64_t hash) {
    uint64_t at = home_of(t, hash);
    for (;;) {
        const struct bucket *b = &t->index[at];
        for (uint32_t left = slots_with(b, (uint16_t)(hash | 1)); left; left &= left - 1) {
            uint32_t number = b->numbers[__builtin_ctz(left)];
            if (same_key(&t->entries[number], key))
                return number;
        }
        if (b->overflow == 0)
            return 0;
        at = at + 1 < t->buckets ? at + 1 : 0;
    }
}

struct own *own_make(const uint8_t *keys, uint32_t flows) {
    struct own *t = calloc(1, sizeof(*t));
    t->flows = flows;
    t->buckets = (flows + LOAD - 1) / LOAD;
    t->index = memory(t->buckets * sizeof(struct bucket));
    t->entries = memory((flows + 1ul) * sizeof(struct entry));
    for (uint32_t k = 0; k < flows; k++) {
        memcpy(t->entries[k + 1].key, keys + (size_t)k * KEY, KEY);
        uint64_t hash = hash_of(t->entries[k + 1].key), at = home_of(t, hash);
        uint32_t left;
        while ((left = slots_with(&t->index[at], 0)) == 0) {
            t->index[at].overflow++;
            at = at + 1 < t->buckets ? at + 1 : 0;
        }
        t->index[at].tags[__builtin_ctz(left)] = (uint16_t)(hash | 1);
        t->index[at].numbers[__builtin_ctz(left)] = k + 1;
        t->entries[k + 1].key[0] |= USED;
    }
    return t;
}

static uint32_t guess(const struct own *t, uint64_t hash) {
    uint64_t at = home_of(t, hash);
    const struct bucket *b = &t->index[at];
    uint32_t found = slots_with(b, (uint16_t)(hash | 1));
    if (found == 0 && b->overflow) {
        b = &t->index[at + 1 < t->buckets ? at + 1 : 0];
        found = slots_with(b, (uint16_t)(hash | 1));
    }
    return found ? b->numbers[__builtin_ctz(found)] : 0;
}

static void first_look(const struct own *t, const uint8_t *keys, uint64_t *hashes, uint32_t k) {
    uint64_t key[2];
    memcpy(key, keys + (size_t)k * KEY, KEY);
    hashes[k] = hash_of(key);
    __builtin_prefetch(&t->index[home_of(t, hashes[k])]);
}

static void second_look(const struct own *t, const uint64_t *hashes, uint32_t *found, uint32_t k) {
    found[k] = guess(t, hashes[k]);
    __builtin_prefetch(&t->entries[found[k]], 1);
}

uint64_t own_run(struct own *t, const uint8_t *keys, const uint32_t *lengths, uint32_t count) {
    uint64_t hashes[BURST], missed = 0;
    uint32_t found[BURST];
    for (uint32_t at = 0; at < count; at += BURST, keys += BURST * KEY) {
        uint32_t n = count - at < BURST ? count - at : BURST;
        t->mark = (++t->began & 0x3fff) | 0x8000;
        for (uint32_t k = 0; k < n && k < FAR; k++)
            first_look(t, keys, hashes, k);
        for (uint32_t k = 0; k < n && k < NEAR; k++)
            second_look(t, hashes, found, k);
        for (uint32_t k = 0; k < n; k++) {
            if (k + FAR < n)
                first_look(t, keys, hashes, k + FAR);
            if (k + NEAR < n)
                second_look(t, hashes, found, k + NEAR);
            uint64_t key[2];
            memcpy(key, keys + (size_t)k * KEY, KEY);
            struct entry *e = &t->entries[found[k]];
            if (!same_key(e, key)) {
                uint32_t number = find(t, key, hashes[k]);
                missed += number == 0;
                e = &t->entries[number];
            }
            e->key[0] = (e->key[0] & OF_KEY) | t->mark << 48;
            update(&e->record, lengths[at + k], at + k);
        }
        __atomic_store_n(&t->ended, t->began, __ATOMIC_RELEASE);
    }
    return missed;
}

void own_totals(struct own *t, uint64_t *packets, uint64_t *bytes, uint64_t *mixed) {
    for (uint32_t k = 1; k <= t->flows; k++) {
        *packets += t->entries[k].record.packets;
        *bytes += t->entries[k].record.bytes;
        *mixed += t->entries[k].record.last * t->entries[k].record.packets;
    }
}

void own_free(struct own *t) {
    munmap(t->index, t->buckets * sizeof(struct bucket));
    munmap(t->entries, (t->flows + 1ul) * sizeof(struct entry));
    free(t);
}
