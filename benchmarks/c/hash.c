// Toeplitz hashes of IPv4 tuples by DPDK: bit by bit, and by GFNI where the compiler has it.
#define ALLOW_EXPERIMENTAL_API // rte_thash_gfni
#include <rte_thash.h>
#include <rte_thash_gfni.h>
#include <stdint.h>

// Tuples of three words, in host byte order, as rte_softrss_be wants them.
void soft(uint32_t *tuples, uint32_t count, const uint8_t *key, uint32_t *found) {
    for (uint32_t k = 0; k < count; k++)
        found[k] = rte_softrss_be(tuples + 3 * k, 3, key);
}

int has_gfni(void) {
#ifdef RTE_THASH_GFNI_DEFINED
    return 1;
#else
    return 0;
#endif
}

void complete(uint64_t *matrices, const uint8_t *key, int size) {
    rte_thash_complete_matrix(matrices, key, size);
}

// Tuples of twelve bytes, as they lie in a packet.
void gfni(const uint8_t *tuples, uint32_t count, const uint64_t *matrices, uint32_t *found) {
    for (uint32_t k = 0; k < count; k++)
        found[k] = rte_thash_gfni(matrices, tuples + 12 * k, 12);
}

void gfni_bulk(uint8_t *tuples, uint32_t count, const uint64_t *matrices, uint32_t *found) {
    for (uint32_t k = 0; k < count; k += 32) {
        uint8_t *some[32];
        for (uint32_t j = 0; j < 32; j++)
            some[j] = tuples + 12 * (k + j);
        rte_thash_gfni_bulk(matrices, 12, some, found + k, 32);
    }
}
