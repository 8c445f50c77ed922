/* checkasm: walks the instruction sets of this processor and tests or times each kernel they bring. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "checkasm.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wisp.h"

static const check_slot *const families[] = {gemm_slots, conv_slots, pool_slots, eltwise_slots, quantize_slots};

enum { FAMILY_COUNT = sizeof families / sizeof families[0], REGIONS = 24, MARGIN = 64, SHOWN = 5 };

/* A multiple of every page size. */
#if defined(__unix__) || defined(__APPLE__)
static const size_t region_size = (size_t)1 << 21;
#else
static const size_t region_size = (size_t)1 << 19; /* all of them fit a small board */
#endif

static struct {
    uint64_t seed, random;
    const char *isa, *slot;
    char description[256];
    char *regions[REGIONS];
    int regions_used;
    long passed, failed, failed_here;
} state;

/* ---- randomness */

uint64_t random_bits(void) { /* splitmix64 */
    uint64_t z = state.random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int32_t random_between(int32_t lo, int32_t hi) {
    uint64_t range = (uint64_t)((int64_t)hi - lo) + 1;
    return (int32_t)(lo + (int64_t)(random_bits() % range));
}

float random_float(float lo, float hi) {
    return lo + (hi - lo) * (float)(random_bits() >> 40) / 16777216.0f;
}

void random_s8(int8_t *x, size_t n) {
    int style = random_between(0, 7);
    for (size_t i = 0; i < n; i++) {
        int value = random_between(-128, 127);
        switch (style) {
            case 0: value = -128; break;
            case 1: value = 127; break;
            case 2: value = value & 1 ? -128 : 127; break;
            case 3: value = value % 4; break;
            case 4: value = value & 7 ? 0 : value; break;
            default: break;
        }
        x[i] = (int8_t)value;
    }
}

void random_small_floats(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = (float)random_between(-15, 15);
}

void random_floats(float *x, size_t n, float lo, float hi) {
    for (size_t i = 0; i < n; i++) x[i] = random_float(lo, hi);
}

bool random_channels(wisp_channels_s8 *blocks, int32_t count, double magnitude) {
    static const int32_t biases[] = {INT32_MIN, INT32_MAX, 0, 1, -1, 1 << 22, -(1 << 22), 32767, -32768, 32768};
    static const int32_t multipliers[] = {0, 16384, 16385, 32766, 32767};
    int style = random_between(0, 3); /* 0: extreme, 1: realistic with left shifts, others: realistic */
    int usual = (int)floor(log2(magnitude + 1)) - 13;
    bool left = false;
    for (int32_t b = 0; b < count; b++) {
        for (int j = 0; j < WISP_CHANNELS; j++) {
            int32_t shift = style == 0 ? random_between(-15, 31) : random_between(usual - 1, usual + 2);
            if (style == 1) shift = random_between(-15, 3);
            shift = style > 1 && shift < 0 ? 0 : shift > 31 ? 31 : shift;
            left = left || shift < 0;
            blocks[b].shift[j] = shift;
            blocks[b].bias[j] = style == 0 ? PICK(biases) : random_between(-(int32_t)magnitude, (int32_t)magnitude);
            blocks[b].multiplier[j] = random_between(0, 3) ? random_between(16384, 32767) : PICK(multipliers);
        }
        memcpy(blocks[b].bias_u8, blocks[b].bias, sizeof blocks[b].bias);
    }
    return left;
}

/* ---- cases and buffers */

void begin_case(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(state.description, sizeof state.description, format, arguments);
    va_end(arguments);
    state.regions_used = 0;
}

static void allocate_regions(void) {
    if (guard_regions(state.regions, REGIONS, region_size)) return;
    perror("checkasm: no memory");
    exit(2);
}

static void *place_buffer(size_t size, bool at_end) {
    if (state.regions_used == REGIONS || size > region_size) {
        fprintf(stderr, "checkasm: case '%s' wants too many or too large buffers\n", state.description);
        exit(2);
    }
    char *region = state.regions[state.regions_used++];
    return at_end ? region + region_size - size : region;
}

static bool random_side(void) {
    return random_between(0, 3) != 0;
}

void *new_buffer(size_t size) {
    return place_buffer(size, random_side());
}

/* The part of the region around an output that is filled before and compared after. */
static size_t margin_before(const void *p) {
    for (int i = 0; i < REGIONS; i++)
        if (p == state.regions[i]) return 0;
    return MARGIN;
}

static size_t margin_after(const void *p) {
    return MARGIN - margin_before(p);
}

output new_output(size_t size) {
    bool at_end = size + MARGIN > region_size || random_side();
    output o = {place_buffer(size, at_end), place_buffer(size, at_end), size};
    size_t before = margin_before(o.expected), after = margin_after(o.expected);
    memset((char *)o.expected - before, 0xa5, before + size + after);
    memset((char *)o.actual - before, 0xa5, before + size + after);
    return o;
}

output new_output_from(const void *data, size_t size) {
    output o = new_output(size);
    memcpy(o.expected, data, size);
    memcpy(o.actual, data, size);
    return o;
}

const void **new_rows(size_t count, size_t size, void **data, size_t *data_size) {
    size_t unit = size % 4 == 0 ? 4 : 1; /* keeps floats aligned */
    size_t stride = size + unit * (size_t)random_between(0, 3);
    *data_size = (count - 1) * stride + size;
    *data = new_buffer(*data_size);
    const void **rows = new_buffer(count * sizeof *rows);
    for (size_t i = 0; i < count; i++) rows[i] = (const char *)*data + i * stride;
    for (size_t i = count - 1; i > 0; i--) {
        size_t other = (size_t)random_between(0, (int32_t)i);
        const void *row = rows[i];
        rows[i] = rows[other], rows[other] = row;
    }
    return rows;
}

/* ---- verdicts */

void expect(bool condition, const char *what) {
    if (condition) {
        state.passed++;
        return;
    }
    state.failed++;
    if (state.failed_here++ < SHOWN)
        fprintf(stderr, "FAILED %s %s: %s: %s (seed %llu)\n", state.isa, state.slot, state.description, what,
                (unsigned long long)state.seed);
}

static bool margins_untouched(const output *o) {
    const unsigned char *actual = o->actual;
    if (!guards_untouched(state.regions, state.regions_used, region_size)) return false;
    for (size_t i = 1; i <= margin_before(o->actual); i++)
        if (actual[-(ptrdiff_t)i] != 0xa5) return false;
    for (size_t i = 0; i < margin_after(o->actual); i++)
        if (actual[o->size + i] != 0xa5) return false;
    return true;
}

void expect_equal_bytes(const output *o) {
    const signed char *expected = o->expected, *actual = o->actual;
    char what[128] = "bytes outside the output were written";
    bool good = margins_untouched(o);
    for (size_t i = 0; i < o->size && good; i++) {
        if (expected[i] == actual[i]) continue;
        snprintf(what, sizeof what, "byte %zu is %d instead of %d", i, actual[i], expected[i]);
        good = false;
    }
    expect(good, what);
}

static void expect_floats(const output *o, const double *bound, bool signed_zero) {
    const float *expected = o->expected, *actual = o->actual;
    char what[128] = "bytes outside the output were written";
    bool good = margins_untouched(o);
    for (size_t i = 0; i < o->size / sizeof(float) && good; i++) {
        float e = expected[i], a = actual[i];
        if (memcmp(&e, &a, sizeof e) == 0 || (e != e && a != a) || (!signed_zero && e == 0 && a == 0)) continue;
        if (bound && fabs((double)e - (double)a) <= bound[i]) continue;
        snprintf(what, sizeof what, "element %zu is %.9g instead of %.9g", i, (double)a, (double)e);
        good = false;
    }
    expect(good, what);
}

void expect_equal_floats(const output *o, bool signed_zero) {
    expect_floats(o, NULL, signed_zero);
}

void expect_close_floats(const output *o, const double *bound) {
    expect_floats(o, bound, false);
}

static void report_crash(const char *name) {
    fprintf(stderr, "CRASHED %s %s: %s: %s (seed %llu)\n%ld passed, %ld failed\n", state.isa, state.slot, state.description, name,
            (unsigned long long)state.seed, state.passed, state.failed + 1);
}

/* ---- timing */

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Nanoseconds of one cycle: dependent additions take one cycle each on every processor we know. */
static double time_cycle(void) {
    enum { CHAIN = 1 << 14 };
    unsigned long x = 1;
    double start = seconds();
#define ADD \
    x += 3; \
    __asm__ volatile("" : "+r"(x));
    for (int i = 0; i < CHAIN / 8; i++) {
        ADD ADD ADD ADD ADD ADD ADD ADD /* unrolled, so that the loop itself costs nothing */
    }
#undef ADD
    return (seconds() - start) * 1e9 / CHAIN;
}

/* The best of many short trials, the clock measured next to each: other work on the machine only ever adds time. */
void bench(const char *shape, double work, const char *unit, bench_fn *run, const void *run_state) {
    double start = seconds(), best = 1e9, cycle = 1e9;
    run(run_state);
    int repeat = (int)(5e-4 / (seconds() - start + 1e-9)) + 1;
    for (int trial = 0; trial < 40; trial++) {
        double now = time_cycle();
        start = seconds();
        for (int i = 0; i < repeat; i++) run(run_state);
        double time = (seconds() - start) / repeat;
        best = time < best ? time : best;
        cycle = now < cycle ? now : cycle;
    }
    double ns = best * 1e9;
    printf("%-12s %-14s %-28s %12.0f ns %8.2f G%s/s %7.2f %s/cycle at %.2f GHz\n", state.isa, state.slot, shape, ns, work / ns, unit,
           work / ns * cycle, unit, 1 / cycle);
}

void *bench_buffer(size_t size) {
    size_t room = (size + 63) / 64 * 64;
    unsigned char *p = aligned_alloc(64, room);
    if (!p) exit(2);
    for (size_t i = 0; i < room; i++) p[i] = (unsigned char)random_bits();
    return p;
}

/* ---- the walk */

static const check_slot *next_slot(const check_slot *slot, int *family) {
    if (slot && (++slot)->name) return slot;
    while (slot || *family < 0) {
        if (++*family == FAMILY_COUNT) return NULL;
        if (families[*family]->name) return families[*family];
    }
    return NULL;
}

#define EACH_SLOT(slot)                                                         \
    for (int slot##_family = -1, slot##_once = 1; slot##_once; slot##_once = 0) \
        for (const check_slot *slot = next_slot(NULL, &slot##_family); slot; slot = next_slot(slot, &slot##_family))

/* Every slot of kernels.def has its test here: a kernel nobody tests is an error. */
static void expect_complete(void) {
    size_t covered = 0;
    EACH_SLOT(slot) covered++;
    state.isa = "all", state.slot = "table";
    begin_case("%d slots in kernels.def, %zu in checkasm", WISP_SLOT_COUNT, covered);
    expect(covered == WISP_SLOT_COUNT, "a slot has no test, or two");
}

static void visit(const check_slot *slot, const wisp_kernels *tested, bool timing) {
    state.slot = slot->name;
    state.random = state.seed;
    state.failed_here = 0;
    begin_case("setup");
    if (timing)
        slot->bench(tested, slot->offset);
    else
        slot->check(&wisp_kernels_scalar, tested, slot->offset);
}

typedef struct options {
    const char *isa, *slot;
    bool timing, list;
} options;

static bool wanted(const char *filter, const char *name) {
    return !filter || strcmp(filter, name) == 0;
}

/* The slots a set brings. */
static bool visit_set(const options *o, const char *isa, const wisp_kernels *tested) {
    if (!wanted(o->isa, isa)) return false;
    state.isa = isa;
    EACH_SLOT(slot) {
        if (!wisp_is_filled(tested, (int)(slot->offset / sizeof(wisp_max_s8_fn *))) || !wanted(o->slot, slot->name)) continue;
        if (o->list)
            printf("%s %s\n", isa, slot->name);
        else
            visit(slot, tested, o->timing);
    }
    return true;
}

static int walk(const options *o) {
    bool found = o->timing || o->list ? visit_set(o, "scalar", &wisp_kernels_scalar) : wanted(o->isa, "scalar");
    for (uint32_t bit = 1; wisp_cpu_name(bit); bit++) {
        const wisp_kernels *tested = wisp_kernels_of(bit);
        if (!tested || !(wisp_cpu_flags() >> bit & 1)) continue; /* not in this build or not on this processor */
        found = visit_set(o, wisp_cpu_name(bit), tested) || found;
    }
    if (!found) fprintf(stderr, "checkasm: no instruction set '%s' here\n", o->isa);
    return found ? 0 : 2;
}

static int print_usage(void) {
    fprintf(stderr, "usage: checkasm [--seed N] [--isa NAME] [--slot NAME] [--bench [SLOT]] [--list]\n");
    return 2;
}

int main(int argc, char **argv) {
    options o = {0};
    state.seed = (uint64_t)time(NULL);
    for (int i = 1; i < argc; i++) {
        bool value = i + 1 < argc && argv[i + 1][0] != '-';
        if (strcmp(argv[i], "--seed") == 0 && value)
            state.seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--isa") == 0 && value)
            o.isa = argv[++i];
        else if (strcmp(argv[i], "--slot") == 0 && value)
            o.slot = argv[++i];
        else if (strcmp(argv[i], "--list") == 0)
            o.list = true;
        else if (strcmp(argv[i], "--bench") == 0) {
            o.timing = true;
            if (value) o.slot = argv[++i];
        } else {
            return print_usage();
        }
    }
    catch_crashes(report_crash);
    allocate_regions();
    expect_complete();
    int status = walk(&o);
    if (status != 0) return status;
    if (!o.list && !o.timing) printf("seed %llu\n%ld passed, %ld failed\n", (unsigned long long)state.seed, state.passed, state.failed);
    return state.failed ? 1 : 0;
}
