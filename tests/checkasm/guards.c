/* Memory that notices access beyond its ends: by pages that may not be touched where there are such, else by canaries. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkasm.h"

#if defined(__unix__) || defined(__APPLE__)
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

bool guard_regions(char **regions, int count, size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < count; i++) {
        char *base = mmap(NULL, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base == MAP_FAILED || mprotect(base + page, size, PROT_READ | PROT_WRITE) != 0) return false;
        regions[i] = base + page;
    }
    return true;
}

bool guards_untouched(char *const *regions, int count, size_t size) {
    (void)regions, (void)count, (void)size;
    return true; /* or the program would have stopped */
}

static const struct {
    int number;
    const char *name;
} signals[] = {{SIGSEGV, "SIGSEGV"}, {SIGILL, "SIGILL"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"}, {SIGABRT, "SIGABRT"}};

static void (*report)(const char *name);

static void handle_crash(int number) {
    const char *name = "a signal";
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (signals[i].number == number) name = signals[i].name;
    report(name);
    _exit(3);
}

void catch_crashes(void (*handler)(const char *name)) {
    report = handler;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) signal(signals[i].number, handle_crash);
}
#else
#include <stdlib.h>
#include <string.h>

/* Writes beyond an end are found when a case is judged; reads are not found at all. */
enum { CANARY = 64 };

bool guard_regions(char **regions, int count, size_t size) {
    for (int i = 0; i < count; i++) {
        char *base = malloc(size + 3 * CANARY);
        if (!base) return false;
        base += CANARY - (uintptr_t)base % CANARY;
        memset(base, 0x5a, CANARY);
        memset(base + CANARY + size, 0x5a, CANARY);
        regions[i] = base + CANARY;
    }
    return true;
}

bool guards_untouched(char *const *regions, int count, size_t size) {
    for (int i = 0; i < count; i++)
        for (int j = 0; j < CANARY; j++)
            if (regions[i][j - CANARY] != 0x5a || regions[i][size + (size_t)j] != 0x5a) return false;
    return true;
}

void catch_crashes(void (*handler)(const char *name)) {
    (void)handler;
}
#endif
