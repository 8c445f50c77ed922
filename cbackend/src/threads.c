/* The optional thread pool: static ranges, one job at a time, workers spin for microseconds and then sleep. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#ifdef WISP_HAVE_THREADS

#include <stdatomic.h>
#include <string.h>

#include "host.h"

#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__) || defined(__arm__)
#define PAUSE() __asm__ volatile("yield" ::: "memory")
#else
#define PAUSE() ((void)0)
#endif

/* About 50 us on a 3 GHz core: longer than the gap between two operators, short beside a wake-up by the kernel. */
enum { SPIN = 2000 };

struct wisp_pool {
    uint32_t threads;    /* the caller included */
    atomic_uint busy;    /* a run owns the workers */
    atomic_uint ticket;  /* raised for every job */
    atomic_uint pending; /* workers that have not finished the job */
    atomic_uint sleepers;
    atomic_uint stop;
    struct {
        const wisp_call *call;
        wisp_job_fn *fn;
        int64_t count;
        uint32_t threads;
    } job;
    host_wait wait;
    uint32_t started;
    struct worker {
        wisp_pool *pool;
        uint32_t index;
        host_thread id;
    } workers[];
};

static void run_share(const wisp_pool *pool, uint32_t thread) {
    int64_t share = (pool->job.count + pool->job.threads - 1) / pool->job.threads;
    int64_t begin = share * thread, end = begin + share < pool->job.count ? begin + share : pool->job.count;
    if (thread < pool->job.threads && begin < end) pool->job.fn(pool->job.call, thread, begin, end);
}

static unsigned wait_ticket(wisp_pool *pool, unsigned seen) {
    for (int i = 0; i < SPIN; i++) {
        if (atomic_load(&pool->ticket) != seen) return atomic_load(&pool->ticket);
        PAUSE();
    }
    host_lock(&pool->wait);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->ticket) == seen) host_sleep(&pool->wait);
    atomic_fetch_sub(&pool->sleepers, 1);
    host_unlock(&pool->wait);
    return atomic_load(&pool->ticket);
}

static host_result HOST_CALL work(void *argument) {
    struct worker *self = argument;
    wisp_pool *pool = self->pool;
    for (unsigned seen = 0;;) {
        seen = wait_ticket(pool, seen);
        if (atomic_load(&pool->stop)) return 0;
        run_share(pool, self->index);
        atomic_fetch_sub(&pool->pending, 1);
    }
}

/* A sleeper raised `sleepers` before it looked at the ticket; we raise the ticket before we look at `sleepers`. */
static void announce(wisp_pool *pool) {
    atomic_fetch_add(&pool->ticket, 1);
    if (!atomic_load(&pool->sleepers)) return;
    host_lock(&pool->wait);
    host_wake_all(&pool->wait);
    host_unlock(&pool->wait);
}

uint64_t wisp_pool_size(uint32_t threads) {
    return round_up(sizeof(wisp_pool) + (threads ? threads : 1) * sizeof(struct worker), WISP_ALIGNMENT);
}

int32_t wisp_pool_start(wisp_pool *pool, uint32_t threads) {
    if (!pool || threads < 1 || threads > 64) return WISP_BAD_ARGUMENT;
    memset(pool, 0, (size_t)wisp_pool_size(threads));
    pool->threads = threads;
    if (!host_prepare(&pool->wait)) return WISP_UNSUPPORTED;
    for (uint32_t i = 1; i < threads; i++) {
        struct worker *w = &pool->workers[i];
        w->pool = pool;
        w->index = i;
        if (!host_start(&w->id, work, w)) {
            wisp_pool_stop(pool);
            return WISP_UNSUPPORTED;
        }
        pool->started = i;
    }
    return WISP_OK;
}

void wisp_pool_stop(wisp_pool *pool) {
    if (!pool || !pool->threads) return;
    atomic_store(&pool->stop, 1);
    announce(pool);
    for (uint32_t i = 1; i <= pool->started; i++) host_join(pool->workers[i].id);
    host_release(&pool->wait);
    pool->threads = 0;
}

uint32_t wisp_pool_enter(wisp_pool *pool, uint32_t threads) {
    if (!pool || threads < 2 || pool->threads < 2 || atomic_exchange(&pool->busy, 1)) return 1;
    return threads < pool->threads ? threads : pool->threads;
}

void wisp_pool_leave(wisp_pool *pool, uint32_t threads) {
    if (threads > 1) atomic_store(&pool->busy, 0);
}

void wisp_pool_run(wisp_pool *pool, const wisp_call *call, uint32_t threads, int64_t count, int64_t grain, wisp_job_fn *fn) {
    (void)grain;
    pool->job.call = call, pool->job.fn = fn, pool->job.count = count, pool->job.threads = threads;
    atomic_store(&pool->pending, pool->threads - 1);
    announce(pool);
    run_share(pool, 0);
    for (int i = 0; atomic_load(&pool->pending); i++) {
        if (i < SPIN)
            PAUSE();
        else
            host_yield(); /* more threads than cores: let the worker have this one */
    }
}

#else

uint64_t wisp_pool_size(uint32_t threads) {
    (void)threads;
    return WISP_ALIGNMENT;
}

int32_t wisp_pool_start(wisp_pool *pool, uint32_t threads) {
    (void)pool;
    return threads == 1 ? WISP_OK : WISP_UNSUPPORTED;
}

void wisp_pool_stop(wisp_pool *pool) {
    (void)pool;
}

uint32_t wisp_pool_enter(wisp_pool *pool, uint32_t threads) {
    (void)pool, (void)threads;
    return 1;
}

void wisp_pool_leave(wisp_pool *pool, uint32_t threads) {
    (void)pool, (void)threads;
}

void wisp_pool_run(wisp_pool *pool, const wisp_call *call, uint32_t threads, int64_t count, int64_t grain, wisp_job_fn *fn) {
    (void)pool, (void)threads, (void)grain;
    fn(call, 0, 0, count);
}

#endif
