/* The fingerprint of a model on a target: run it on a fixed pseudo-random input, hash all outputs. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_TESTS_DIGEST_H
#define WISP_TESTS_DIGEST_H

#include "wisp.h"

/* Opens, prepares and runs the file in the given memory (session, then arena; both parts start on 64 bytes), and writes the SHA-256
 * of the outputs' bytes, in the file's order, as 64 hex digits. f32 inputs are gain * k / 64, k in -128..127; other dtypes get k as
 * bytes. Symbolic axes are bound to 1. Needs no libc beyond memcpy and memset, and no pool for threads = 1.
 * Returns a wisp_status; then error says why. *used: bytes of memory needed. */
int32_t digest_model(const void *file, size_t size, float gain, void *memory, size_t memory_size, uint32_t threads, uint32_t cpu_mask,
                     wisp_pool *pool, char hex[65], uint64_t *used, wisp_error *error);

/* The program's own: called with 0 right before the model runs, with 1 right after. For instruction counters. */
void digest_mark(int end);

#endif
