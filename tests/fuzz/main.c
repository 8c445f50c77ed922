/* What libFuzzer calls: a file is opened, prepared, resized and run in several ways, which must agree and touch nothing else. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

enum { THREADS = 3, MOST_CALLS = 2000 /* of nodes in a run: loops go on for ever */, MOST_MACS = 1 << 24, OTHER_SYMBOL = 3 };

int32_t fuzz_symbols[MAX_SYMBOLS];
static uint64_t random_state;
static wisp_pool *pool;

uint32_t fuzz_random(void) {
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

void *fuzz_allocate(size_t size) {
    void *memory;
    if (posix_memalign(&memory, WISP_ALIGNMENT, size ? size : 1)) abort();
    return memory;
}

static void finding(const char *text, const char *detail) {
    fprintf(stderr, "finding: %s %s\n", text, detail);
    abort();
}

/* ---- one way to run a file */

typedef struct way {
    uint32_t mask, threads;
    uint8_t poison; /* what memory held before */
    bool resized;   /* prepared with other extents first */
} way;

typedef struct result {
    int32_t status; /* -1: not run */
    size_t size;
    uint8_t *bytes; /* outputs, one behind the other; static memory of this result */
} result;

static jmp_buf too_long;
static uint32_t calls;

static uint64_t count_calls(void) {
    if (++calls > MOST_CALLS) longjmp(too_long, 1);
    return 0;
}

static void check_message(int32_t status, const wisp_error *error) {
    if (error->status != status || !error->message[0] || !memchr(error->message, 0, sizeof error->message) || strchr(error->message, '\n'))
        finding("no clear message for status", wisp_status_name(status));
}

static void fill_element(uint8_t *at, int dtype, size_t unit, int mode) {
    static const float edges[] = {0, -0.f, 1, -1, 1e-45f, 3e38f, -3e38f, INFINITY, -INFINITY, NAN, 2147483648.f, 0.5f};
    if (dtype == WISP_F32 || dtype == WISP_F64) {
        const float small = (float)(int)(below(2001) - 1000u) / 300.f, value = mode == 2 ? small : edges[below(12)];
        const double wide = value;
        dtype == WISP_F32 ? memcpy(at, &value, 4) : memcpy(at, &wide, 8);
        return;
    }
    const int64_t value = mode == 2 ? below(3) : mode == 3 ? (int64_t)fuzz_random() - INT32_MAX : (int64_t)below(7) - 3;
    if (dtype == WISP_BOOL)
        *at = value & 1;
    else
        memcpy(at, &value, unit);
}

static void fill(uint8_t *data, const wisp_tensor_info *info, int mode) {
    const size_t unit = wisp_dtype_size(info->dtype);
    for (size_t i = 0; i < info->size; i++) data[i] = mode == 1 ? (uint8_t)fuzz_random() & (info->dtype == WISP_BOOL ? 1 : 255) : 0;
    if (mode < 2) return;
    for (size_t i = 0; i + unit <= info->size; i += unit) fill_element(data + i, info->dtype, unit, mode);
}

static void fill_inputs(const wisp_model *model, wisp_session *s, int mode) {
    random_state = 88172645463325252u + (unsigned)mode;
    for (uint32_t i = 0; i < wisp_input_count(model); i++) {
        wisp_tensor_info info;
        if (wisp_session_input_info(s, i, &info)) finding("an input without", "info");
        fill(wisp_input_data(s, i), &info, mode);
    }
}

static void take_outputs(const wisp_model *model, const wisp_session *s, result *r) {
    r->size = 0;
    for (uint32_t i = 0; i < wisp_output_count(model); i++) {
        wisp_tensor_info info;
        if (wisp_session_output_info(s, i, &info)) finding("an output without", "info");
        if (info.size > MAX_BYTES - r->size) return;
        if (info.size) memcpy(r->bytes + r->size, wisp_output_data(s, i), info.size);
        r->size += info.size;
    }
}

/* Runs, with larger arenas as long as it asks for them. -1: needs too much, or does not end. */
static int32_t run_session(const wisp_model *model, wisp_session *s, const way *w, int mode, uint8_t **arena, uint64_t *ticks) {
    wisp_error error;
    for (;;) {
        const uint64_t size = wisp_arena_size(s);
        if (size > MAX_BYTES) return -1;
        uint8_t *old = *arena;
        *arena = fuzz_allocate(size);
        memset(*arena, w->poison, size);
        error.status = 0;
        if (wisp_bind(s, *arena, size, &error)) finding("an arena as large as asked for is refused:", error.message);
        free(old);
        fill_inputs(model, s, mode);
        calls = 0;
        if (setjmp(too_long)) {
            wisp_pool_leave(pool, s->active_threads);
            return -1;
        }
        const int32_t status = wisp_run_timed(s, count_calls, ticks, &error);
        if (status) check_message(status, &error);
        if (status != WISP_NO_MEMORY || wisp_arena_size(s) <= size) return status;
    }
}

static bool too_much_work(const wisp_model *model, const wisp_session *s) {
    uint64_t macs = 0;
    for (uint32_t i = 0; i < wisp_node_count(model) && macs <= MOST_MACS; i++) {
        wisp_node_info info;
        if (wisp_session_node_info(s, i, &info)) finding("a node without", "info");
        macs += info.macs;
    }
    return macs > MOST_MACS;
}

/* Prepares and runs twice; the second run, its states reset, must do what the first did. */
static void run_way(const wisp_model *model, const way *w, int mode, result *r) {
    static uint8_t *copy;
    int32_t other[MAX_SYMBOLS];
    const uint64_t size = wisp_session_size(model);
    wisp_session *s;
    wisp_error error = {0, {0}};
    r->status = -1;
    if (size > MAX_BYTES) return;
    if (!r->bytes) r->bytes = fuzz_allocate(MAX_BYTES);
    if (!copy) copy = fuzz_allocate(MAX_BYTES);
    uint8_t *memory = fuzz_allocate(size), *arena = NULL;
    uint64_t *ticks = calloc(wisp_node_count(model) + 1, sizeof *ticks);
    memset(memory, w->poison, size);
    for (int i = 0; i < MAX_SYMBOLS; i++) other[i] = OTHER_SYMBOL;
    const wisp_options options = {w->resized ? other : fuzz_symbols, MAX_SYMBOLS, w->threads, w->mask, 0, w->threads > 1 ? pool : NULL};
    int32_t status = wisp_prepare(model, &options, memory, size, &s, &error);
    if (status) check_message(status, &error);
    const bool prepared = !status;
    if (prepared && w->resized) {
        if (wisp_arena_size(s) <= MAX_BYTES) run_session(model, s, w, mode, &arena, ticks);
        status = wisp_resize(s, fuzz_symbols, MAX_SYMBOLS, &error);
        if (status) finding("what prepare took, resize refuses:", error.message);
    }
    if (!status && !too_much_work(model, s)) {
        r->status = run_session(model, s, w, mode, &arena, ticks);
        if (r->status >= 0) {
            if (w->resized && !wisp_reset(s, &error)) r->status = run_session(model, s, w, mode, &arena, ticks);
            if (!r->status) take_outputs(model, s, r);
            result again = {.bytes = copy};
            if (wisp_reset(s, &error)) finding("a bound session is not reset:", error.message);
            again.status = run_session(model, s, w, mode, &arena, ticks);
            if (!again.status) take_outputs(model, s, &again);
            if (again.status != r->status) finding("a second run ends otherwise:", error.message);
            if (!r->status && (again.size != r->size || memcmp(again.bytes, r->bytes, r->size))) finding("a second run differs", "");
        }
    }
    free(arena), free(memory), free(ticks);
}

/* Where b was run at all: more threads need more memory. */
static void compare(const result *a, const result *b, const char *text) {
    if (b->status < 0) return;
    if (b->status != a->status) finding(text, "(status)");
    if (!a->status && (a->size != b->size || memcmp(a->bytes, b->bytes, a->size))) finding(text, "(outputs)");
}

static bool integers_only(const wisp_model *model) {
    uint64_t count;
    const wisp_file_tensor *tensors = wisp_file_tensors(model, &count);
    for (uint64_t i = 0; i < count; i++)
        if (tensors[i].dtype == WISP_F32 || tensors[i].dtype == WISP_F16 || tensors[i].dtype == WISP_F64) return false;
    return true;
}

static void run_model(const wisp_model *model, uint64_t hash) {
    static result first, other;
    const int mode = (int)(hash % 5);
    const uint32_t all = wisp_cpu_flags(), masks[] = {WISP_CPU_SCALAR, 0, all & 1u << hash / 8 % 4};
    const way plain = {masks[hash / 64 % 3], 1, 0xaa, false};
    run_way(model, &plain, mode, &first);
    if (first.status < 0) return;
    const way threads = {plain.mask, THREADS, 0x55, false};
    run_way(model, &threads, mode, &other);
    compare(&first, &other, "results depend on threads, or on what memory held before");
    if (hash / 256 % 4 == 0) {
        const way resized = {plain.mask, 1, 0xaa, true};
        run_way(model, &resized, mode, &other);
        compare(&first, &other, "a resized session differs from a new one");
    }
    if (hash / 256 % 4 == 1 && integers_only(model)) {
        const way set = {plain.mask == WISP_CPU_SCALAR ? 0 : WISP_CPU_SCALAR, 1, 0xaa, false};
        run_way(model, &set, mode, &other);
        compare(&first, &other, "instruction sets differ");
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    for (int i = 0; i < MAX_SYMBOLS; i++) fuzz_symbols[i] = 1 + (i * 7 + 3) % 5;
    pool = fuzz_allocate((size_t)wisp_pool_size(THREADS));
    if (wisp_pool_start(pool, THREADS)) finding("no threads", "");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint64_t hash = 14695981039346656037u;
    wisp_model model;
    wisp_error error = {0, {0}};
    wisp_tensor_info info;
    uint8_t *file = fuzz_allocate(size);
    if (size) memcpy(file, data, size);
    fuzz_repair(file, size);
    const int32_t status = wisp_open(&model, file, size, &error);
    if (status) check_message(status, &error);
    for (size_t i = 0; i < size; i++) hash = (hash ^ file[i]) * 1099511628211u;
    if (!status) {
        for (uint32_t i = 0; i < wisp_symbol_count(&model); i++)
            if (!wisp_symbol_name(&model, i)) finding("a symbol without", "name");
        for (uint32_t i = 0; i < wisp_input_count(&model); i++) wisp_input_info(&model, i, &info);
        for (uint32_t i = 0; i < wisp_output_count(&model); i++) wisp_output_info(&model, i, &info);
        for (uint32_t i = 0; i < wisp_state_count(&model); i++) wisp_state_info(&model, i, &info);
        run_model(&model, hash ^ hash >> 32);
    }
    free(file);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
    static fuzz_file f;
    random_state = seed + 0x9e3779b97f4a7c15u;
    if (one_in(64) || !fuzz_parse(&f, data, size)) {
        size = LLVMFuzzerMutate(data, size, most);
        fuzz_repair(data, size);
        return size;
    }
    for (uint32_t n = 1 + below(4); n; n--) fuzz_edit(&f);
    if (!one_in(20)) {
        if (one_in(6)) fuzz_make_dynamic(&f);
        if (!one_in(8)) fuzz_order(&f);
        fuzz_fit(&f);
        if (!one_in(5)) fuzz_settle(&f);
    }
    const size_t written = fuzz_write(&f, data, most);
    return written ? written : size;
}
