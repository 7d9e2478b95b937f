// The same rules and tuples through DPDK's ACL library, at the widest vectors that it has here.
#include <rte_acl.h>
#include <rte_eal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROTO, SRC, DST, SPORT, DPORT, FIELDS };

// In order of the input words; the first one has one byte (DPDK's programmer's guide, "Packet Classification").
static const struct rte_acl_field_def definitions[FIELDS] = {
    {.type = RTE_ACL_FIELD_TYPE_BITMASK, .size = 1, .field_index = PROTO, .input_index = 0, .offset = 12},
    {.type = RTE_ACL_FIELD_TYPE_MASK, .size = 4, .field_index = SRC, .input_index = 1, .offset = 0},
    {.type = RTE_ACL_FIELD_TYPE_MASK, .size = 4, .field_index = DST, .input_index = 2, .offset = 4},
    {.type = RTE_ACL_FIELD_TYPE_RANGE, .size = 2, .field_index = SPORT, .input_index = 3, .offset = 8},
    {.type = RTE_ACL_FIELD_TYPE_RANGE, .size = 2, .field_index = DPORT, .input_index = 3, .offset = 10},
};
RTE_ACL_RULE_DEF(acl_rule, FIELDS);

struct plain { // host byte order
    uint32_t src, src_length, dst, dst_length, sport_low, sport_high, dport_low, dport_high, proto, proto_mask;
};

static int widest = 1;

// On huge pages where there are some: its tries are larger than what the processor remembers of small ones.
int start(const char *core, int huge) {
    char *words[] = {"acl", "-l", strdup(core), "--no-pci", "--no-shconf", "--no-telemetry", "--log-level=1",
                     "--force-max-simd-bitwidth=512", "-m", "1024", huge ? "--in-memory" : "--no-huge"};
    return rte_eal_init((int)(sizeof(words) / sizeof(*words)), words);
}

// Whether all that was built is classified by AVX-512, 32 at a time.
int is_widest(void) {
    return widest;
}

struct rte_acl_ctx *build(const struct plain *rules, uint32_t count) {
    static int number;
    char name[32];
    snprintf(name, sizeof(name), "acl%d", number++);
    struct rte_acl_param parameters = {.name = name, .socket_id = 0, .rule_size = RTE_ACL_RULE_SZ(FIELDS),
                                       .max_rule_num = count};
    struct rte_acl_ctx *made = rte_acl_create(&parameters);
    if (made == NULL)
        return NULL;
    struct acl_rule *all = calloc(count, sizeof(*all));
    for (uint32_t k = 0; k < count; k++) {
        const struct plain *r = &rules[k];
        all[k].data.category_mask = 1;
        all[k].data.priority = (int32_t)(RTE_ACL_MAX_PRIORITY - (int32_t)k);
        all[k].data.userdata = k + 1;
        all[k].field[PROTO].value.u8 = (uint8_t)r->proto;
        all[k].field[PROTO].mask_range.u8 = (uint8_t)r->proto_mask;
        all[k].field[SRC].value.u32 = r->src;
        all[k].field[SRC].mask_range.u32 = r->src_length;
        all[k].field[DST].value.u32 = r->dst;
        all[k].field[DST].mask_range.u32 = r->dst_length;
        all[k].field[SPORT].value.u16 = (uint16_t)r->sport_low;
        all[k].field[SPORT].mask_range.u16 = (uint16_t)r->sport_high;
        all[k].field[DPORT].value.u16 = (uint16_t)r->dport_low;
        all[k].field[DPORT].mask_range.u16 = (uint16_t)r->dport_high;
    }
    struct rte_acl_config config = {.num_categories = 1, .num_fields = FIELDS};
    memcpy(config.defs, definitions, sizeof(definitions));
    int failed = rte_acl_add_rules(made, (struct rte_acl_rule *)all, count) || rte_acl_build(made, &config);
    free(all);
    if (failed)
        return NULL;
    if (rte_acl_set_ctx_classify(made, RTE_ACL_CLASSIFY_AVX512X32) != 0)
        widest = 0; // what the library chooses for this CPU
    return made;
}

// In bursts of 256; `data` has the address of each tuple.
void classify(const struct rte_acl_ctx *rules, const uint8_t **data, uint32_t packets, uint32_t *found) {
    for (uint32_t k = 0; k < packets; k += 256)
        rte_acl_classify(rules, data + k, found + k, packets - k < 256 ? packets - k : 256, 1);
}

void destroy(struct rte_acl_ctx *rules) {
    rte_acl_free(rules);
}
