// Eight counters bumped for each packet, as C programs do it.
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#define BURST 256
#define COUNTERS 8

// The burst's column of lengths is filled first, as the engine's source does.
#define BURSTS(lengths, count)                                                                                         \
    uint32_t column[BURST];                                                                                            \
    for (uint32_t first = 0; first < count && (memcpy(column, lengths + first, sizeof column), 1); first += BURST)     \
        for (uint32_t i = 0; i < BURST; i++)

#define COUNT(add, length)                                                                                             \
    do {                                                                                                               \
        uint64_t n = length;                                                                                           \
        add(0, 1);                                                                                                     \
        add(1, n);                                                                                                     \
        add(2, n + 24);                                                                                                \
        add(3, (n + 63) >> 6);                                                                                         \
        add(4, n & 1);                                                                                                 \
        if (n < 128)                                                                                                   \
            add(5, 1);                                                                                                 \
        if (n > 1023)                                                                                                  \
            add(6, 1);                                                                                                 \
        add(7, n ^ (n >> 4));                                                                                          \
    } while (0)

// One store per counter and packet, to a block of the thread's own. Another thread reads it, so the fields are atomic,
// relaxed: that costs no more than a plain store, and without it the program would have no meaning (C11 5.1.2.4).
void stores(const uint32_t *lengths, uint32_t count, _Atomic uint64_t *block) {
#define ADD(k, n)                                                                                                      \
    atomic_store_explicit(block + k, atomic_load_explicit(block + k, memory_order_relaxed) + (n), memory_order_relaxed)
    BURSTS(lengths, count) COUNT(ADD, column[i]);
#undef ADD
}

// The same with plain fields, in a program that writes to each packet, here a byte of it (a TTL, say). Bytes may alias
// with anything (C11 6.5): the compiler has to store what it counted before the next packet, too.
void aliased(const uint32_t *lengths, uint32_t count, uint64_t *block, uint8_t *packets) {
#define ADD(k, n) block[k] += (n)
    BURSTS(lengths, count) {
        COUNT(ADD, column[i]);
        packets[64 * i]--;
    }
#undef ADD
}

// Summed over a burst by hand.
void summed(const uint32_t *lengths, uint32_t count, _Atomic uint64_t *block) {
    for (uint32_t first = 0; first < count; first += BURST) {
        uint32_t column[BURST];
        memcpy(column, lengths + first, sizeof column);
        uint64_t sum[COUNTERS] = {0};
#define ADD(k, n) sum[k] += (n)
        for (uint32_t i = 0; i < BURST; i++)
            COUNT(ADD, column[i]);
#undef ADD
        for (int k = 0; k < COUNTERS; k++)
            atomic_store_explicit(block + k, atomic_load_explicit(block + k, memory_order_relaxed) + sum[k],
                                  memory_order_relaxed);
    }
}

// Counters that all threads share.
void shared(const uint32_t *lengths, uint32_t count, _Atomic uint64_t *block) {
#define ADD(k, n) atomic_fetch_add_explicit(block + k, n, memory_order_relaxed)
    BURSTS(lengths, count) COUNT(ADD, column[i]);
#undef ADD
}
