/* Prints the fingerprint of a model file on a hosted target: digest FILE [gain] [threads] [instruction sets, or "all"]. */
/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"

#if defined(__linux__) || defined(__hexagon__)
#include <unistd.h>

/* counts/icount.c listens for this call, about processes that cannot be. */
void digest_mark(int end) {
    (void)!getpgid(0x51000000 + end);
}
#else
void digest_mark(int end) {
    (void)end;
}
#endif

static void *aligned(size_t size) {
    char *p = malloc(size + 64);
    return p ? p + (64 - (uintptr_t)p % 64) : NULL;
}

/* All sets up to and including the named one. */
static uint32_t cpu_mask(const char *name) {
    uint32_t mask = 0, found = wisp_cpu_flags();
    if (!strcmp(name, "all")) return found;
    for (uint32_t bit = 0; wisp_cpu_name(bit); bit++) {
        mask |= 1u << bit;
        if (strcmp(wisp_cpu_name(bit), name)) continue;
        if (found & 1u << bit) return mask & found;
        fprintf(stderr, "digest: this CPU has no %s\n", name);
        exit(2);
    }
    fprintf(stderr, "digest: unknown instruction set %s\n", name);
    exit(2);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: digest FILE [gain] [threads] [instruction set]\n");
        return 2;
    }
    float gain = argc > 2 ? strtof(argv[2], NULL) : 1;
    uint32_t threads = argc > 3 ? (uint32_t)atoi(argv[3]) : 1;
    uint32_t mask = cpu_mask(argc > 4 ? argv[4] : "all");
    FILE *f = fopen(argv[1], "rb");
    if (!f || fseek(f, 0, SEEK_END)) {
        fprintf(stderr, "digest: cannot read %s\n", argv[1]);
        return 1;
    }
    size_t size = (size_t)ftell(f), memory_size = 64u << 20;
    void *file = aligned(size), *memory = aligned(memory_size);
    rewind(f);
    if (!file || !memory || fread(file, 1, size, f) != size) {
        fprintf(stderr, "digest: cannot read %s\n", argv[1]);
        return 1;
    }
    fclose(f);
    wisp_pool *pool = threads > 1 ? aligned((size_t)wisp_pool_size(threads)) : NULL;
    if (pool && wisp_pool_start(pool, threads)) {
        fprintf(stderr, "digest: no threads in this build\n");
        return 2;
    }
    wisp_error error;
    char hex[65];
    uint64_t used = 0;
    int32_t status = digest_model(file, size, gain, memory, memory_size, threads, mask, pool, hex, &used, &error);
    if (pool) wisp_pool_stop(pool);
    if (status) {
        fprintf(stderr, "digest: %s: %s (needs %llu bytes)\n", wisp_status_name(status), error.message, (unsigned long long)used);
        return 1;
    }
    printf("%s %llu\n", hex, (unsigned long long)used);
    return 0;
}
