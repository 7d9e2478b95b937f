// Buffers taken on one core and given back on another, through slots in memory: the same loop for every kind of pool.
#define _GNU_SOURCE
#include <pthread.h>
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int64_t (*operation)(int64_t pool, int64_t buffers, int64_t n); // returns n, or 0 where there are too few

enum { WAITING = 1024, LARGEST = 256 }; // buffers between the two cores at most; of a burst

struct side {
    operation function;
    int64_t pool, total, burst;
    int core;
    pthread_barrier_t *start;
    double seconds;
};

// A slot is a flag and a burst of addresses, in cache lines of its own. Who sees the flag he waits for has the slot.
static uint64_t slots[WAITING * 3] __attribute__((aligned(128)));

static uint64_t *slot(int64_t burst, int64_t number) {
    return slots + number % (WAITING / burst) * ((burst + 8) / 8 * 8);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void begin(struct side *s) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(s->core, &cores);
    pthread_setaffinity_np(pthread_self(), sizeof(cores), &cores);
    rte_thread_register();
    pthread_barrier_wait(s->start);
    s->seconds = now();
}

static void *end(struct side *s) {
    s->seconds = now() - s->seconds;
    pthread_barrier_wait(s->start);
    rte_thread_unregister();
    return NULL;
}

static void *take(void *argument) {
    struct side *s = argument;
    begin(s);
    for (int64_t k = 0; k * s->burst < s->total; k++) {
        uint64_t *to = slot(s->burst, k);
        while (__atomic_load_n(to, __ATOMIC_ACQUIRE) != 0) {
        }
        while (s->function(s->pool, (int64_t)(to + 1), s->burst) == 0) {
        }
        __atomic_store_n(to, 1, __ATOMIC_RELEASE);
    }
    return end(s);
}

static void *give(void *argument) {
    struct side *s = argument;
    begin(s);
    for (int64_t k = 0; k * s->burst < s->total; k++) {
        uint64_t *from = slot(s->burst, k);
        while (__atomic_load_n(from, __ATOMIC_ACQUIRE) == 0) {
        }
        s->function(s->pool, (int64_t)(from + 1), s->burst);
        __atomic_store_n(from, 0, __ATOMIC_RELEASE);
    }
    return end(s);
}

// Seconds until `total` buffers have gone from the first core to the second and back into the pool.
double two_cores(operation taking, int64_t taker, operation giving, int64_t giver, int64_t total, int64_t burst,
                 int first, int second) {
    pthread_barrier_t start;
    pthread_t threads[2];
    struct side a = {taking, taker, total, burst, first, &start, 0}, b = {giving, giver, total, burst, second, &start, 0};
    memset(slots, 0, sizeof(slots)); // other bursts leave addresses where flags are
    pthread_barrier_init(&start, NULL, 2);
    if (pthread_create(&threads[0], NULL, take, &a) != 0)
        return -1;
    if (pthread_create(&threads[1], NULL, give, &b) != 0)
        abort();
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    return a.seconds > b.seconds ? a.seconds : b.seconds;
}

double one_core(operation taking, operation giving, int64_t pool, int64_t total, int64_t burst) {
    int64_t buffers[LARGEST];
    double started = now();
    for (int64_t done = 0; done < total; done += burst) {
        taking(pool, (int64_t)buffers, burst);
        giving(pool, (int64_t)buffers, burst);
    }
    return now() - started;
}

int64_t mempool_take(int64_t pool, int64_t buffers, int64_t n) {
    return rte_mempool_get_bulk((struct rte_mempool *)pool, (void **)buffers, (unsigned)n) == 0 ? n : 0;
}

int64_t mempool_give(int64_t pool, int64_t buffers, int64_t n) {
    rte_mempool_put_bulk((struct rte_mempool *)pool, (void **)buffers, (unsigned)n);
    return n;
}

// What the loop itself takes: nothing is taken from anywhere.
int64_t nothing(int64_t pool, int64_t buffers, int64_t n) {
    (void)pool, (void)buffers;
    return n;
}
