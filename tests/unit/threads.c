/* The thread pool under stress: every item done once, scratch never shared, only the workers needed woken, none left spinning. */
/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "session.h"

enum { MAX_THREADS = 64, MAX_ITEMS = 3000, CALLERS = 2 };

/* What stands behind the call that jobs get; the pool never looks into it. */
typedef struct job {
    uint32_t threads;
    int64_t count, grain, seed;
    uint8_t done[MAX_ITEMS]; /* written without atomics: the pool must order it */
    struct {
        atomic_flag taken;   /* somebody works with this scratch */
        int64_t seed, items; /* as above */
    } scratch[MAX_THREADS];
} job;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13, *state ^= *state >> 17, *state ^= *state << 5;
    return *state;
}

static void range(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    job *j = (job *)(uintptr_t)call;
    if (thread >= j->threads) fail("worker %u in a job of %u", thread, j->threads);
    if (begin < 0 || begin >= end || end > j->count)
        fail("range %lld..%lld of %lld", (long long)begin, (long long)end, (long long)j->count);
    if (end - begin < j->grain && end != j->count) fail("%lld items, less than the grain", (long long)(end - begin));
    if (atomic_flag_test_and_set_explicit(&j->scratch[thread].taken, memory_order_relaxed)) fail("scratch %u is in use", thread);
    if (j->scratch[thread].seed != j->seed) j->scratch[thread].seed = j->seed, j->scratch[thread].items = 0;
    j->scratch[thread].items += end - begin;
    for (int64_t i = begin; i < end; i++) j->done[i]++;
    for (volatile int64_t wait = (j->seed + begin) % 7 * 50; wait > 0; wait--) continue;
    atomic_flag_clear_explicit(&j->scratch[thread].taken, memory_order_relaxed);
}

static void run_job(wisp_pool *pool, job *j, uint32_t threads, uint32_t *random) {
    j->seed++;
    j->threads = threads;
    j->count = 1 + next_random(random) % (next_random(random) % 2 ? 40 : MAX_ITEMS);
    j->grain = 1 + next_random(random) % (uint32_t)j->count;
    memset(j->done, 0, sizeof j->done);
    wisp_pool_run(pool, (const wisp_call *)j, threads, j->count, j->grain, range);
    int64_t items = 0;
    for (int64_t i = 0; i < MAX_ITEMS; i++)
        if (j->done[i] != (i < j->count)) fail("item %lld of %lld done %d times", (long long)i, (long long)j->count, j->done[i]);
    for (uint32_t i = 0; i < threads; i++) items += j->scratch[i].seed == j->seed ? j->scratch[i].items : 0;
    if (items != j->count) fail("%lld items of %lld", (long long)items, (long long)j->count);
}

/* ---- several callers share the pool, as sessions do */

typedef struct caller {
    wisp_pool *pool;
    uint32_t index, runs;
} caller;

static void *call_often(void *argument) {
    caller *c = argument;
    uint32_t random = 77 + c->index;
    job *j = calloc(1, sizeof *j);
    for (uint32_t run = 0; run < c->runs;) {
        uint32_t threads = wisp_pool_enter(c->pool, 2 + next_random(&random) % MAX_THREADS);
        for (uint32_t i = next_random(&random) % 8; threads > 1 && i; i--) run_job(c->pool, j, 1 + next_random(&random) % threads, &random);
        wisp_pool_leave(c->pool, threads);
        run += threads > 1;                              /* else the other has the pool */
        if (next_random(&random) % 64 == 0) usleep(200); /* workers fall asleep */
    }
    free(j);
    return NULL;
}

/* ---- what sleepers cost */

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Times the thread gave up its core; thread ids of the pool's workers are those after `first` of the process's own. */
static long switches(int thread) {
    char path[64], line[128];
    long n = -1;
    snprintf(path, sizeof path, "/proc/self/task/%d/status", thread);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "voluntary_ctxt_switches: %ld", &n);
    if (file) fclose(file);
    return n;
}

static atomic_int task_ids[MAX_THREADS];

static void note_task(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)call, (void)begin, (void)end;
    atomic_store(&task_ids[thread], gettid());
    for (int i = 0; i < 20; i++) usleep(50); /* the others come in the meantime */
}

/* A job of two out of many threads: nobody but worker 1 may wake. */
static void check_wakes(wisp_pool *pool, uint32_t threads, job *j) {
    long before[MAX_THREADS];
    uint32_t random = 5, known = 0;
    for (int tries = 0; tries < 200 && known < threads; tries++) {
        uint32_t k = wisp_pool_enter(pool, threads);
        wisp_pool_run(pool, NULL, k, 4 * (int64_t)k, 1, note_task);
        wisp_pool_leave(pool, k);
        known = 0;
        for (uint32_t i = 0; i < threads; i++) known += atomic_load(&task_ids[i]) != 0;
    }
    if (known < threads) fail("%u of %u threads ever worked", known, threads);
    usleep(50000);
    for (uint32_t i = 1; i < threads; i++) before[i] = switches(task_ids[i]);
    for (int i = 0; i < 50; i++) {
        uint32_t k = wisp_pool_enter(pool, threads);
        run_job(pool, j, 2, &random);
        wisp_pool_leave(pool, k);
        usleep(1000);
    }
    for (uint32_t i = 1; i < threads; i++) {
        long woken = switches(task_ids[i]) - before[i];
        if (before[i] < 0 || (i > 1 && woken)) fail("worker %u woke %ld times for jobs of two threads", i, woken);
        if (i == 1 && !woken) fail("worker 1 never woke");
    }
}

int main(int argc, char **argv) {
    if (argc != 4) fail("usage: threads THREADS RUNS IDLE_MILLISECONDS");
    uint32_t threads = (uint32_t)atoi(argv[1]), runs = (uint32_t)atoi(argv[2]);
    unsigned idle = (unsigned)atoi(argv[3]) * 1000;
    wisp_pool *pool = aligned_alloc(WISP_ALIGNMENT, (size_t)wisp_pool_size(threads));
    if (wisp_pool_start((wisp_pool *)((char *)pool + 8), threads) != WISP_BAD_ARGUMENT) fail("an unaligned pool starts");
    if (wisp_pool_start(pool, threads)) fail("the pool does not start");

    caller callers[CALLERS];
    pthread_t ids[CALLERS];
    for (uint32_t i = 0; i < CALLERS; i++) {
        callers[i] = (caller){pool, i, runs};
        if (pthread_create(&ids[i], NULL, call_often, &callers[i])) fail("no thread");
    }
    for (uint32_t i = 0; i < CALLERS; i++) pthread_join(ids[i], NULL);

    usleep(20000);
    double before = cpu_seconds();
    usleep(idle);
    printf("idle %.6f\n", cpu_seconds() - before);
    job *j = calloc(1, sizeof *j);
    check_wakes(pool, threads, j);
    free(j);
    wisp_pool_stop(pool);
    free(pool);
    return 0;
}
