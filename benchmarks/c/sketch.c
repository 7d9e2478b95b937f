// Heavy hitters by DPDK's membership library: NitroSketch, a count-min sketch and a heap of the heaviest keys.
#define ALLOW_EXPERIMENTAL_API // rte_member_report_heavyhitter
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_member.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { KEY = 40, AT_ONCE = 64, MOST = 1024 };

int start(const char *core) {
    char *words[] = {"sketch", "-l", strdup(core), "--no-pci", "--no-shconf", "--no-telemetry", "--log-level=1",
                     "--force-max-simd-bitwidth=512", "-m", "256", "--no-huge"};
    return rte_eal_init((int)(sizeof(words) / sizeof(*words)), words);
}

// With a sample rate of 1 each packet is counted in each row.
struct rte_member_setsum *create(float error_rate, float sample_rate, uint32_t top) {
    static int number;
    char name[32];
    snprintf(name, sizeof(name), "sketch%d", number++);
    struct rte_member_parameters parameters = {
        .name = name, .type = RTE_MEMBER_TYPE_SKETCH, .key_len = KEY, .error_rate = error_rate,
        .sample_rate = sample_rate, .top_k = top, .prim_hash_seed = 1, .sec_hash_seed = 2,
        .extra_flag = sample_rate < 1 ? RTE_MEMBER_SKETCH_ALWAYS_BOUNDED : 0, .socket_id = (int)rte_socket_id()};
    return rte_member_create(&parameters);
}

uint64_t bytes(const struct rte_member_setsum *sketch) {
    return 8ull * sketch->num_col * sketch->num_row;
}

// Cycles of adding all keys; those of the packets to come are fetched where each is looked at.
uint64_t add(const struct rte_member_setsum *sketch, const uint8_t *keys, uint64_t count, int fetch) {
    uint64_t started = rte_rdtsc();
    for (uint64_t k = 0; k < count; k += AT_ONCE) {
        uint64_t last = count - k < AT_ONCE ? count : k + AT_ONCE;
        for (uint64_t line = 0; fetch && line < AT_ONCE * KEY; line += 64)
            __builtin_prefetch(keys + k * KEY + 2 * AT_ONCE * KEY + line);
        for (uint64_t j = k; j < last; j++)
            rte_member_add(sketch, keys + j * KEY, 1);
    }
    return rte_rdtsc() - started;
}

int report(const struct rte_member_setsum *sketch, uint8_t *keys) {
    void *found[MOST];
    uint64_t counts[MOST];
    int many = rte_member_report_heavyhitter(sketch, found, counts);
    for (int k = 0; k < many; k++)
        memcpy(keys + k * KEY, found[k], KEY);
    return many;
}

void reset(const struct rte_member_setsum *sketch) {
    rte_member_reset(sketch);
}

void destroy(struct rte_member_setsum *sketch) {
    rte_member_free(sketch);
}
