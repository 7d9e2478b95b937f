/* rte_flow's names, sizes and places, which steering/hardware/items.py must agree with. */
#ifndef BURSTLINE_FLOW_H
#define BURSTLINE_FLOW_H

#include "_shim.h"
#include <rte_flow.h>

#define BL_FLOW_ITEMS 32
#define BL_FLOW_ACTIONS 8
#define BL_FLOW_QUEUES 1024
#define BL_RETA_GROUPS 64

#define BL_ITEM(name) {#name, RTE_FLOW_ITEM_TYPE_##name}
static const struct bl_named bl_flow_items[] = {
    BL_ITEM(ETH), BL_ITEM(VLAN), BL_ITEM(IPV4), BL_ITEM(IPV6), BL_ITEM(UDP), BL_ITEM(TCP), BL_ITEM(SCTP),
    BL_ITEM(VXLAN), BL_ITEM(GENEVE), BL_ITEM(GTPU), BL_ITEM(GRE), BL_ITEM(GRE_KEY), {NULL, 0}};

/* As GRE_KEY has no structure, but a big-endian number, its size is that. */
#define BL_SIZE(name, type) {#name, sizeof(struct rte_flow_item_##type)}
static const struct bl_named bl_flow_sizes[] = {
    BL_SIZE(ETH, eth), BL_SIZE(VLAN, vlan), BL_SIZE(IPV4, ipv4), BL_SIZE(IPV6, ipv6), BL_SIZE(UDP, udp),
    BL_SIZE(TCP, tcp), BL_SIZE(SCTP, sctp), BL_SIZE(VXLAN, vxlan), BL_SIZE(GENEVE, geneve), BL_SIZE(GTPU, gtp),
    BL_SIZE(GRE, gre), {"GRE_KEY", sizeof(rte_be32_t)}, {NULL, 0}};

#define BL_PLACE(name, type, field) {name, offsetof(struct rte_flow_item_##type, field)}
static const struct bl_named bl_flow_places[] = {
    BL_PLACE("ETH.dst", eth, dst), BL_PLACE("ETH.src", eth, src), BL_PLACE("ETH.type", eth, type),
    BL_PLACE("VLAN.vid", vlan, tci), BL_PLACE("IPV4.proto", ipv4, hdr.next_proto_id),
    BL_PLACE("IPV4.src", ipv4, hdr.src_addr), BL_PLACE("IPV4.dst", ipv4, hdr.dst_addr),
    BL_PLACE("IPV6.proto", ipv6, hdr.proto), BL_PLACE("IPV6.src", ipv6, hdr.src_addr),
    BL_PLACE("IPV6.dst", ipv6, hdr.dst_addr), BL_PLACE("UDP.sport", udp, hdr.src_port),
    BL_PLACE("UDP.dport", udp, hdr.dst_port), BL_PLACE("TCP.sport", tcp, hdr.src_port),
    BL_PLACE("TCP.dport", tcp, hdr.dst_port), BL_PLACE("TCP.flags", tcp, hdr.tcp_flags),
    BL_PLACE("SCTP.sport", sctp, hdr.src_port), BL_PLACE("SCTP.dport", sctp, hdr.dst_port),
    BL_PLACE("VXLAN.vni", vxlan, vni), BL_PLACE("GENEVE.vni", geneve, vni), BL_PLACE("GTPU.teid", gtp, teid),
    BL_PLACE("GRE.key_bit", gre, c_rsvd0_ver), {NULL, 0}};

/* Bit fields have no offsetof. */
static void bl_flow_more_vlan(struct rte_flow_item_vlan *item) {
    memset(item, 0, sizeof(*item));
    item->has_more_vlan = 1;
}

#define BL_ACTION(name) {#name, RTE_FLOW_ACTION_TYPE_##name}
static const struct bl_named bl_flow_actions[] = {
    BL_ACTION(QUEUE), BL_ACTION(RSS), BL_ACTION(DROP), BL_ACTION(MARK), BL_ACTION(COUNT), BL_ACTION(PASSTHRU),
    {NULL, 0}};

#define BL_FLOW_ERROR(name) {#name, RTE_FLOW_ERROR_TYPE_##name}
static const struct bl_named bl_flow_errors[] = {
    BL_FLOW_ERROR(NONE), BL_FLOW_ERROR(UNSPECIFIED), BL_FLOW_ERROR(HANDLE), BL_FLOW_ERROR(ATTR_GROUP),
    BL_FLOW_ERROR(ATTR_PRIORITY), BL_FLOW_ERROR(ATTR_INGRESS), BL_FLOW_ERROR(ATTR_EGRESS),
    BL_FLOW_ERROR(ATTR_TRANSFER), BL_FLOW_ERROR(ATTR), BL_FLOW_ERROR(ITEM_NUM), BL_FLOW_ERROR(ITEM_SPEC),
    BL_FLOW_ERROR(ITEM_LAST), BL_FLOW_ERROR(ITEM_MASK), BL_FLOW_ERROR(ITEM), BL_FLOW_ERROR(ACTION_NUM),
    BL_FLOW_ERROR(ACTION_CONF), BL_FLOW_ERROR(ACTION), BL_FLOW_ERROR(STATE), {NULL, 0}};

/* An action as burstline has it, and room for its configuration: drivers copy what is behind `conf` of a COUNT, too
 * (net/ice/ice_fdir_filter.c, ice_fdir_parse_action), so that it never is NULL where there is a structure. */
struct bl_flow_conf {
    struct rte_flow_action_queue queue;
    struct rte_flow_action_mark mark;
    struct rte_flow_action_count count;
    struct rte_flow_action_rss rss;
};

static void bl_flow_action(struct rte_flow_action *action, struct bl_flow_conf *conf, uint32_t type, uint32_t number,
                           const uint16_t *queues, uint32_t n, uint64_t functions) {
    memset(conf, 0, sizeof(*conf));
    action->type = (enum rte_flow_action_type)type;
    action->conf = NULL;
    if (type == RTE_FLOW_ACTION_TYPE_QUEUE) {
        conf->queue.index = (uint16_t)number;
        action->conf = &conf->queue;
    } else if (type == RTE_FLOW_ACTION_TYPE_MARK) {
        conf->mark.id = number;
        action->conf = &conf->mark;
    } else if (type == RTE_FLOW_ACTION_TYPE_COUNT) {
        action->conf = &conf->count;
    } else if (type == RTE_FLOW_ACTION_TYPE_RSS) {
        conf->rss.types = functions;
        conf->rss.queue = queues;
        conf->rss.queue_num = n;
        action->conf = &conf->rss;
    }
}

static int bl_flow_count(uint16_t port, struct rte_flow *flow, uint64_t *hits, uint64_t *bytes,
                         struct rte_flow_error *error) {
    struct rte_flow_action_count conf = {.id = 0};
    struct rte_flow_action action[] = {{.type = RTE_FLOW_ACTION_TYPE_COUNT, .conf = &conf},
                                       {.type = RTE_FLOW_ACTION_TYPE_END}};
    struct rte_flow_query_count found = {.reset = 0};
    int result = rte_flow_query(port, flow, action, &found, error);
    *hits = found.hits_set ? found.hits : 0;
    *bytes = found.bytes_set ? found.bytes : 0;
    return result;
}

/* Rules of received packets, in group 0. */
static struct rte_flow *bl_flow_make(uint16_t port, uint32_t priority, const struct rte_flow_item *items,
                                     const struct rte_flow_action *actions, int only_validate, int *result,
                                     struct rte_flow_error *error) {
    struct rte_flow_attr attr = {.priority = priority, .ingress = 1};
    struct rte_flow *flow = NULL;
    memset(error, 0, sizeof(*error));
    if (only_validate) {
        *result = rte_flow_validate(port, &attr, items, actions, error);
    } else {
        rte_errno = 0;
        flow = rte_flow_create(port, &attr, items, actions, error);
        *result = flow != NULL ? 0 : rte_errno != 0 ? -rte_errno : -EIO;
    }
    return flow;
}
#endif
