/* main of both C yardsticks: runs the pass over the file, prints its time, writes the flows. */
#include "flows.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

void fail(const char *path, const char *message) {
    fprintf(stderr, "%s: %s\n", path, message);
    exit(1);
}

void check_header(const uint8_t *p, size_t have) {
    if (have < 24 || (load32(p) != 0xa1b2c3d4 && load32(p) != 0xa1b23c4d) || (load32(p + 20) & 0xffff) != 1)
        fail("input", "not a pcap file of Ethernet frames in this machine's byte order");
}

/* At least two slots a flow, on huge pages where the kernel gives them: a TLB miss costs as much as the look-up. */
static flow_table table_new(uint64_t capacity) {
    const size_t huge = 2 << 20;
    uint64_t slots = 64;
    while (slots < 2 * capacity)
        slots *= 2;
    size_t size = (slots * sizeof(flow) + huge - 1) & ~(huge - 1);
    flow_table t = {.slots = aligned_alloc(huge, size), .mask = slots - 1, .limit = capacity};
    if (!t.slots)
        fail("flow table", "no memory");
    madvise(t.slots, size, MADV_HUGEPAGE);
    memset(t.slots, 0, size);
    return t;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void hex(FILE *out, const uint8_t *p, int n, char after) {
    for (int i = 0; i < n; i++)
        fprintf(out, "%02x", p[i]);
    fputc(after, out);
}

/* src,dst,sport,dport,proto,packets,bytes: one line a flow, addresses in hexadecimal. */
static void table_write(const flow_table *t, const char *path) {
    FILE *out = fopen(path, "w");
    if (!out)
        fail(path, "cannot be written");
    for (uint64_t i = 0; i <= t->mask; i++) {
        const flow *f = &t->slots[i];
        if (!f->packets)
            continue;
        const uint8_t *a = (const uint8_t *)f->key, *r = (const uint8_t *)&f->key[4];
        int n = r[5] == 4 ? 4 : 16;
        hex(out, a, n, ',');
        hex(out, a + n, n, ',');
        fprintf(out, "%u,%u,%u,%llu,%llu\n", be16(r), be16(r + 2), r[4], (unsigned long long)f->packets,
                (unsigned long long)f->bytes);
    }
    if (fclose(out))
        fail(path, "cannot be written");
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* PROGRAM FILE RUNS CAPACITY [FLOWS.csv]: the first run is dropped when there are others. */
int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: %s FILE.pcap RUNS CAPACITY [FLOWS.csv]\n", argv[0]);
        return 2;
    }
    int runs = atoi(argv[2]) > 0 ? atoi(argv[2]) : 1, dropped = runs > 1;
    double *seconds = calloc((size_t)runs, sizeof *seconds);
    if (!seconds)
        fail("runs", "no memory");
    uint64_t packets = 0, flows = 0, other = 0;
    for (int run = 0; run < runs; run++) {
        flow_table t = table_new(strtoull(argv[3], NULL, 10));
        double start = now();
        packets = pass(argv[1], &t);
        seconds[run] = now() - start;
        flows = t.used;
        other = t.other;
        if (flows > t.limit)
            fail(argv[1], "holds more flows than CAPACITY");
        if (run == runs - 1 && argc > 4)
            table_write(&t, argv[4]);
        free(t.slots);
    }
    qsort(seconds + dropped, (size_t)(runs - dropped), sizeof *seconds, ascending);
    double median = seconds[dropped + (runs - dropped) / 2];
    printf("{\"packets\": %llu, \"flows\": %llu, \"other\": %llu, \"seconds\": %.9f, \"runs\": %d}\n",
           (unsigned long long)packets, (unsigned long long)flows, (unsigned long long)other, median, runs - dropped);
    return 0;
}
