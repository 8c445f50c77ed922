/* checkasm compares every kernel with the scalar one: guarded buffers, boundary sizes, extreme values; also times them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECKASM_H
#define CHECKASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels.h"

/* A slot of the kernel table and how to test it. `offset` is that of its function pointer in wisp_kernels. */
typedef struct check_slot {
    const char *name;
    size_t offset;
    void (*check)(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset);
    void (*bench)(const wisp_kernels *tested, size_t offset);
} check_slot;

/* The slots of one family, ended by a null name. main.c lists the families. */
extern const check_slot gemm_slots[], conv_slots[], pool_slots[], eltwise_slots[], quantize_slots[];

#define SLOT(name, check, bench) {#name, offsetof(wisp_kernels, name), check, bench}

/* Reproducible: every slot starts from the seed of the command line. */
uint64_t random_bits(void);
int32_t random_between(int32_t lo, int32_t hi); /* both included */
float random_float(float lo, float hi);
#define PICK(array) ((array)[random_between(0, (int32_t)(sizeof(array) / sizeof(array)[0]) - 1)])
#define EACH_OF(type, value, array)                                                          \
    for (size_t value##_at = 0; value##_at < sizeof(array) / sizeof(array)[0]; value##_at++) \
        for (type value = (array)[value##_at], *value##_once = &value; value##_once; value##_once = 0)

/* Starts a case: frees all buffers and remembers the description for messages. */
void begin_case(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A buffer whose end (or, one time in four, whose start) touches a page that may not be accessed. The other end is
 * not guarded. Where there are no such pages, only writes beyond are found. Aligned to 64 bytes if the size is a multiple of 64. Valid
 * until the next case. */
void *new_buffer(size_t size);

/* guards.c: `count` regions of `size` bytes, a multiple of the page size, each with guards around it. */
bool guard_regions(char **regions, int count, size_t size);
bool guards_untouched(char *const *regions, int count, size_t size);
/* `handler` gets the name of the signal that ends the program. */
void catch_crashes(void (*handler)(const char *name));

/* Two buffers for the results of the scalar and the tested kernel, filled alike, with a margin on the open side. */
typedef struct output {
    void *expected, *actual;
    size_t size;
} output;
output new_output(size_t size);
/* A copy of `data` in both: for kernels that work in place. */
output new_output_from(const void *data, size_t size);

/* Each counts one passed or failed case. Bytes outside the results must be untouched in all of them. */
void expect_equal_bytes(const output *o);
/* As floats: bit for bit, or both NaN, or, unless `signed_zero`, both zero. */
void expect_equal_floats(const output *o, bool signed_zero);
/* As floats: |expected - actual| <= bound[i]. */
void expect_close_floats(const output *o, const double *bound);
void expect(bool condition, const char *what);

/* Fills with the styles a kernel may trip over: uniform, all -128, all 127, alternating, small, sparse. */
void random_s8(int8_t *x, size_t n);
/* Integers so small that every partial sum of a kernel is exact. */
void random_small_floats(float *x, size_t n);
void random_floats(float *x, size_t n, float lo, float hi);

/* Channel blocks for `count` blocks: some realistic for sums of about `magnitude`, some extreme. Returns whether a
 * shift is negative. */
bool random_channels(wisp_channels_s8 *blocks, int32_t count, double magnitude);

/* Pointers to `count` rows of `size` bytes each, scattered over one buffer, first and last byte of which are used.
 * Filled by the caller through *data (*data_size bytes). */
const void **new_rows(size_t count, size_t size, void **data, size_t *data_size);

/* Timing: calls `run(state)` for a while, prints shape, nanoseconds, and `work` per nanosecond and per cycle. */
typedef void bench_fn(const void *state);
void bench(const char *shape, double work, const char *unit, bench_fn *run, const void *state);
void *bench_buffer(size_t size); /* 64-byte aligned, random content; lives until the end of the program */

#endif
