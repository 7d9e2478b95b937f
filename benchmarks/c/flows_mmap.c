/* The flows of a capture that is mapped into memory and walked from start to end.
 * clang -O3 -march=native flows.c flows_mmap.c -o flows_mmap; ./flows_mmap FILE.pcap RUNS CAPACITY [FLOWS.csv]
 */
#include "flows.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t pass(const char *path, flow_table *table) {
    int file = open(path, O_RDONLY);
    struct stat status;
    if (file < 0 || fstat(file, &status))
        fail(path, "cannot be opened");
    size_t size = (size_t)status.st_size;
    const uint8_t *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (map == MAP_FAILED)
        fail(path, "cannot be mapped");
    madvise((void *)map, size, MADV_SEQUENTIAL);
    check_header(map, size);
    flow_table t = *table; /* a local copy may stay in registers */
    uint64_t packets = 0;
    const uint8_t *p = map + 24, *end = map + size;
    while (end - p >= 16) {
        uint32_t cap = load32(p + 8), wire = load32(p + 12);
        if (end - p - 16 < cap)
            break;
        t.other += !count_frame(&t, p + 16, cap, wire);
        p += 16 + cap;
        packets++;
        if (overfull(&t))
            break;
    }
    munmap((void *)map, size);
    close(file);
    *table = t;
    return packets;
}
