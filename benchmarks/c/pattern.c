// Literals in payloads by Hyperscan, or by Vectorscan, which has its interface: block mode, every match told.
#include <hs/hs.h>
#include <stdint.h>
#include <stdlib.h>

struct sum {
    uint64_t count, starts;
    const size_t *lengths;
};

static hs_database_t *database;
static hs_scratch_t *scratch;

int build(const char *const *literals, const size_t *lengths, unsigned count) {
    unsigned *flags = calloc(count, sizeof(*flags)), *ids = calloc(count, sizeof(*ids));
    hs_compile_error_t *error = NULL;
    for (unsigned k = 0; k < count; k++)
        ids[k] = k;
    int failed = hs_compile_lit_multi(literals, flags, ids, lengths, count, HS_MODE_BLOCK, NULL, &database, &error);
    free(flags);
    free(ids);
    return failed || hs_alloc_scratch(database, &scratch);
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context) {
    struct sum *sum = context;
    (void)from;
    (void)flags;
    sum->count++;
    sum->starts += (id + 1) * (to - sum->lengths[id] + 1);
    return 0;
}

void scan(const char *payloads, uint32_t count, uint32_t size, struct sum *sum) { // with the lengths of the literals
    for (uint32_t k = 0; k < count; k++)
        hs_scan(database, payloads + (uint64_t)k * size, size, 0, scratch, on_match, sum);
}

void destroy(void) {
    hs_free_scratch(scratch);
    hs_free_database(database);
    scratch = NULL;
}
