/* The optional thread pool: one job at a time, cut into chunks; workers spin while a run holds the pool, else they sleep. */
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

/* Pauses before a worker sleeps: some 50 us, longer than the gap between two operators, short beside a wake-up. */
#ifndef WISP_POOL_SPIN
#define WISP_POOL_SPIN 2000
#endif

enum { CHUNKS = 4 /* for each worker, so that one who is held up leaves little to wait for */ };

/* A worker's ticket, and who moves it on:
 *     WAITING -> RAISED (caller) -> AT_WORK (worker) -> WAITING (worker)
 *     RAISED -> WAITING (caller: the work was done before the worker came)
 *     WAITING -> ASLEEP (worker) -> RAISED (caller, who then wakes it)     any but AT_WORK -> STOPPED (wisp_pool_stop)
 * Every worker has one of its own: a late worker can only ever accept the job its ticket was raised for last. */
enum { WAITING, ASLEEP, RAISED, AT_WORK, STOPPED };

/* Written by the caller before tickets are raised, read by workers between AT_WORK and WAITING. */
struct job {
    const wisp_call *call;
    wisp_job_fn *fn;
    int64_t count, chunk; /* items */
};

struct wisp_pool {
    uint32_t threads, started; /* the caller included; workers */
    atomic_uint held;          /* a run owns the workers: they may spin */
    _Alignas(WISP_ALIGNMENT) struct job job;
    atomic_uint next; /* the next chunk nobody has taken; at most CHUNKS + 1 for each thread */
    struct worker {
        _Alignas(WISP_ALIGNMENT) atomic_uint ticket;
        uint32_t index;
        wisp_pool *pool;
        host_thread id;
        host_wait wait;
    } workers[]; /* workers[0] is the caller and unused */
};

/* ---- workers */

/* `next` is relaxed: that no chunk is handed out twice needs its atomicity only, and tickets order everything else. */
static void take_chunks(wisp_pool *pool, uint32_t thread) {
    const struct job job = pool->job;
    for (;;) {
        int64_t begin = job.chunk * atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (begin >= job.count) return;
        job.fn(job.call, thread, begin, job.count - begin < job.chunk ? job.count : begin + job.chunk);
    }
}

/* The lock is held from the step to ASLEEP until host_sleep gives it up, and the caller takes it between its own step
 * from ASLEEP and the wake-up: so the wake-up cannot fall before the sleep. */
static void sleep_until_raised(struct worker *w) {
    unsigned waiting = WAITING;
    host_lock(&w->wait);
    if (atomic_compare_exchange_strong_explicit(&w->ticket, &waiting, ASLEEP, memory_order_relaxed, memory_order_relaxed))
        while (atomic_load_explicit(&w->ticket, memory_order_relaxed) == ASLEEP) host_sleep(&w->wait);
    host_unlock(&w->wait);
}

/* Returns with the ticket AT_WORK, or false when it is STOPPED. */
static bool accept_ticket(struct worker *w) {
    for (int spins = 0;;) {
        unsigned ticket = atomic_load_explicit(&w->ticket, memory_order_relaxed);
        if (ticket == STOPPED) return false;
        /* acquire: the job as it was when the ticket was raised */
        if (ticket == RAISED &&
            atomic_compare_exchange_strong_explicit(&w->ticket, &ticket, AT_WORK, memory_order_acquire, memory_order_relaxed))
            return true;
        if (spins++ < WISP_POOL_SPIN && atomic_load_explicit(&w->pool->held, memory_order_relaxed)) {
            PAUSE();
        } else {
            sleep_until_raised(w);
            spins = 0;
        }
    }
}

static host_result HOST_CALL work(void *argument) {
    struct worker *w = argument;
    while (accept_ticket(w)) {
        take_chunks(w->pool, w->index);
        /* release: the caller sees the results, and may write the next job, once it sees the ticket put down; it sees no
         * less when the worker has fallen asleep since, because that step is a read-modify-write */
        atomic_store_explicit(&w->ticket, WAITING, memory_order_release);
    }
    return 0;
}

/* ---- the caller */

/* release: whoever accepts the ticket sees the job. */
static void set_ticket(struct worker *w, unsigned ticket) {
    if (atomic_exchange_explicit(&w->ticket, ticket, memory_order_release) != ASLEEP) return;
    host_lock(&w->wait);
    host_unlock(&w->wait); /* first, or the worker wakes only to wait for the lock */
    host_wake(&w->wait);
}

/* True once the worker has no part in the job: it has put its ticket down, or never came and gets it taken away. */
static bool is_out(struct worker *w) {
    unsigned ticket = atomic_load_explicit(&w->ticket, memory_order_acquire);
    if (ticket == RAISED)
        return atomic_compare_exchange_strong_explicit(&w->ticket, &ticket, WAITING, memory_order_relaxed, memory_order_relaxed);
    return ticket != AT_WORK;
}

uint32_t wisp_pool_enter(wisp_pool *pool, uint32_t threads) {
    /* acquire and release of `held` hand job and tickets from the thread of one run to that of the next */
    if (!pool || threads < 2 || pool->threads < 2 || atomic_exchange_explicit(&pool->held, 1, memory_order_acquire)) return 1;
    return threads < pool->threads ? threads : pool->threads;
}

void wisp_pool_leave(wisp_pool *pool, uint32_t threads) {
    if (threads > 1) atomic_store_explicit(&pool->held, 0, memory_order_release);
}

void wisp_pool_run(wisp_pool *pool, const wisp_call *call, uint32_t threads, int64_t count, int64_t grain, wisp_job_fn *fn) {
    const int64_t parts = (int64_t)CHUNKS * threads, share = (count + parts - 1) / parts, chunk = share > grain ? share : grain;
    const int64_t chunks = (count + chunk - 1) / chunk;
    if (threads > chunks) threads = (uint32_t)chunks;
    pool->job = (struct job){call, fn, count, chunk};
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    for (uint32_t i = 1; i < threads; i++) set_ticket(&pool->workers[i], RAISED);
    take_chunks(pool, 0);
    for (uint32_t i = 1; i < threads; i++) {
        for (int spins = 0; !is_out(&pool->workers[i]); spins++) {
            if (spins < WISP_POOL_SPIN)
                PAUSE();
            else
                host_yield(); /* more threads than cores: let the worker have this one */
        }
    }
}

/* ---- its life */

uint64_t wisp_pool_size(uint32_t threads) {
    return round_up(sizeof(wisp_pool) + (threads ? threads : 1) * sizeof(struct worker), WISP_ALIGNMENT);
}

int32_t wisp_pool_start(wisp_pool *pool, uint32_t threads) {
    if (!pool || (uintptr_t)pool % WISP_ALIGNMENT || threads < 1 || threads > 64) return WISP_BAD_ARGUMENT;
    memset(pool, 0, (size_t)wisp_pool_size(threads));
    pool->threads = threads;
    for (uint32_t i = 1; i < threads; i++) {
        struct worker *w = &pool->workers[i];
        w->pool = pool;
        w->index = i;
        bool prepared = host_prepare(&w->wait);
        if (!prepared || !host_start(&w->id, work, w)) {
            if (prepared) host_release(&w->wait);
            wisp_pool_stop(pool);
            return WISP_UNSUPPORTED;
        }
        pool->started = i;
    }
    return WISP_OK;
}

void wisp_pool_stop(wisp_pool *pool) {
    if (!pool || !pool->threads) return;
    for (uint32_t i = 1; i <= pool->started; i++) set_ticket(&pool->workers[i], STOPPED);
    for (uint32_t i = 1; i <= pool->started; i++) {
        host_join(pool->workers[i].id);
        host_release(&pool->workers[i].wait);
    }
    pool->threads = 0;
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
