/* The operating system's threads under one set of names, POSIX or Windows; private to threads.c. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_HOST_H
#define WISP_HOST_H

#include <stdbool.h>
#include <stddef.h>

/* A thread's function is `static host_result HOST_CALL name(void *argument)`; it returns 0.
 * host_start and host_prepare return false where the system refuses. */
#ifdef _WIN32

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define HOST_CALL WINAPI
typedef DWORD host_result;
typedef HANDLE host_thread;
typedef struct host_wait {
    SRWLOCK mutex;
    CONDITION_VARIABLE wake;
} host_wait;

static inline bool host_start(host_thread *thread, LPTHREAD_START_ROUTINE run, void *argument) {
    *thread = CreateThread(NULL, 0, run, argument, 0, NULL);
    return *thread != NULL;
}

static inline void host_join(host_thread thread) {
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}

static inline void host_yield(void) {
    SwitchToThread();
}

static inline bool host_prepare(host_wait *w) {
    InitializeSRWLock(&w->mutex);
    InitializeConditionVariable(&w->wake);
    return true;
}

static inline void host_release(host_wait *w) {
    (void)w; /* holds nothing */
}

static inline void host_lock(host_wait *w) {
    AcquireSRWLockExclusive(&w->mutex);
}

static inline void host_unlock(host_wait *w) {
    ReleaseSRWLockExclusive(&w->mutex);
}

/* Sleeps with the lock given up; the caller checks what it waits for again. */
static inline void host_sleep(host_wait *w) {
    SleepConditionVariableSRW(&w->wake, &w->mutex, INFINITE, 0);
}

/* Wakes the one who sleeps; the lock need not be held. */
static inline void host_wake(host_wait *w) {
    WakeConditionVariable(&w->wake);
}

#else

#include <pthread.h>
#include <sched.h>

#define HOST_CALL
typedef void *host_result;
typedef pthread_t host_thread;
typedef struct host_wait {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
} host_wait;

static inline bool host_start(host_thread *thread, host_result (*run)(void *), void *argument) {
    return !pthread_create(thread, NULL, run, argument);
}

static inline void host_join(host_thread thread) {
    pthread_join(thread, NULL);
}

static inline void host_yield(void) {
    sched_yield();
}

static inline bool host_prepare(host_wait *w) {
    if (pthread_mutex_init(&w->mutex, NULL)) return false;
    if (!pthread_cond_init(&w->wake, NULL)) return true;
    pthread_mutex_destroy(&w->mutex);
    return false;
}

static inline void host_release(host_wait *w) {
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->mutex);
}

static inline void host_lock(host_wait *w) {
    pthread_mutex_lock(&w->mutex);
}

static inline void host_unlock(host_wait *w) {
    pthread_mutex_unlock(&w->mutex);
}

/* Sleeps with the lock given up; the caller checks what it waits for again. */
static inline void host_sleep(host_wait *w) {
    pthread_cond_wait(&w->wake, &w->mutex);
}

/* Wakes the one who sleeps; the lock need not be held. */
static inline void host_wake(host_wait *w) {
    pthread_cond_signal(&w->wake);
}

#endif
#endif
