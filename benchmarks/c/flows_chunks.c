/* The flows of a capture read in chunks that stay in the L2 cache.
 * clang -O3 -march=native flows.c flows_chunks.c -o flows_chunks; ./flows_chunks FILE.pcap RUNS CAPACITY [FLOWS.csv]
 */
#include "flows.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, LARGEST = 256 * 1024 }; /* LARGEST: tcpdump's MAXIMUM_SNAPLEN */

uint64_t pass(const char *path, flow_table *table) {
    static uint8_t *buffer;
    if (!buffer)
        buffer = aligned_alloc(4096, CHUNK + LARGEST + 4096);
    int file = open(path, O_RDONLY);
    if (file < 0 || !buffer)
        fail(path, "cannot be opened");
    uint8_t head[24];
    check_header(head, read(file, head, sizeof head) == sizeof head ? sizeof head : 0);
    flow_table t = *table; /* a local copy may stay in registers */
    uint64_t packets = 0;
    size_t have = 0;
    ssize_t got;
    while ((got = read(file, buffer + have, CHUNK)) > 0) {
        const uint8_t *p = buffer, *end = buffer + have + got;
        while (end - p >= 16) {
            uint32_t cap = load32(p + 8), wire = load32(p + 12);
            if (cap > LARGEST)
                fail(path, "a record longer than any packet");
            if (end - p - 16 < cap)
                break;
            t.other += !count_frame(&t, p + 16, cap, wire);
            p += 16 + cap;
            packets++;
            if (overfull(&t))
                goto done;
        }
        have = (size_t)(end - p);
        memmove(buffer, p, have);
    }
    if (got < 0)
        fail(path, "cannot be read");
done:
    close(file);
    *table = t;
    return packets;
}
