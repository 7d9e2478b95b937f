// Five-tuple rules as one writes them in C: one rule after the other, and out at the first field that differs.
#include <arpa/inet.h>
#include <stdint.h>

struct tuple { // as it lies in a packet, and its protocol
    uint32_t src, dst;
    uint16_t sport, dport;
    uint8_t proto, rest[3];
};

struct rule {
    uint32_t src, src_mask, dst, dst_mask; // network byte order
    uint16_t sport_low, sport_high, dport_low, dport_high;
    uint8_t proto, proto_mask, rest[2];
};

void match_rules(const struct rule *rules, uint32_t count, const struct tuple *tuples, uint32_t packets,
                 uint32_t *found) {
    for (uint32_t k = 0; k < packets; k++) {
        const struct tuple *t = &tuples[k];
        uint16_t sport = ntohs(t->sport), dport = ntohs(t->dport);
        found[k] = UINT32_MAX;
        for (uint32_t r = 0; r < count; r++) {
            const struct rule *rule = &rules[r];
            if ((t->src & rule->src_mask) != rule->src)
                continue;
            if ((t->dst & rule->dst_mask) != rule->dst)
                continue;
            if ((t->proto & rule->proto_mask) != rule->proto)
                continue;
            if (sport < rule->sport_low || sport > rule->sport_high)
                continue;
            if (dport < rule->dport_low || dport > rule->dport_high)
                continue;
            found[k] = r;
            break;
        }
    }
}
