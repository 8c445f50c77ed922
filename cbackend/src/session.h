/* The inside of a session and of a pool; private to session.c, op.c and threads.c. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_SESSION_H
#define WISP_SESSION_H

#include "op.h"

/* Session memory, every part on 64 bytes:  | wisp_session 512 | tensors | nodes | shape memory | */
enum { WISP_SESSION_STRUCT = 512 };

struct wisp_session {
    wisp_model model;
    wisp_kernels kernels;
    uint32_t cpu_mask; /* only sets that this processor has */
    wisp_tensor *tensors;
    wisp_node *nodes;
    uint8_t *shape_memory;
    uint8_t *arena; /* null before wisp_bind */
    wisp_pool *pool;
    uint64_t plan_size, scratch_size; /* bytes; scratch for each thread */
    uint64_t total_size;              /* bytes of all tensors so far; bounded, so that no sum overflows */
    uint32_t tensor_count, node_count;
    uint32_t threads;
    uint32_t active_threads; /* of the run under way */
};

_Static_assert(sizeof(struct wisp_session) <= WISP_SESSION_STRUCT, "session_size counts on it; format.md states it");
_Static_assert(sizeof(wisp_tensor) == 88, "session_size counts on it");
_Static_assert(sizeof(wisp_node) == 192, "session_size counts on it");

#define WISP_MAX_TOTAL_SIZE (1ull << 47)

static inline uint64_t round_up(uint64_t n, uint64_t step) {
    return (n + step - 1) / step * step;
}

/* message.c: a line of text in a fixed buffer, cut at its end. */
void wisp_error_start(wisp_error *error, int32_t status);
void wisp_error_text(wisp_error *error, const char *text);
void wisp_error_number(wisp_error *error, int64_t number);
/* "text 'name'"; returns status. A null name leaves the quoted part out. */
int32_t wisp_error_set(wisp_error *error, int32_t status, const char *text, const char *name);

/* model.c */
const wisp_file_tensor *wisp_file_tensors(const wisp_model *model);
const char *wisp_file_string(const wisp_model *model, uint32_t offset);
uint64_t wisp_section_entries(const wisp_model *model, uint32_t section);
const char *wisp_operator_name(uint16_t code);
wisp_prepare_fn *wisp_operator_prepare(uint16_t code);
/* Bytes of a tensor with these dims (all known), or UINT64_MAX: unknown dtype or layout, wrong rank, above the bound. */
uint64_t wisp_tensor_bytes(int dtype, int layout, int rank, const int32_t *dims);

/* threads.c */
/* Threads that may work on a run, the caller included: 1 when the pool is missing or busy. */
uint32_t wisp_pool_enter(wisp_pool *pool, uint32_t threads);
void wisp_pool_leave(wisp_pool *pool, uint32_t threads);
/* Inside enter and leave: fn over [0, count) in chunks of max(grain, count / (4 * threads)) items, whoever is free takes the
 * next; returns when all are done. 1 <= grain <= count; `threads` is at most what enter gave. */
void wisp_pool_run(wisp_pool *pool, wisp_call *call, uint32_t threads, int64_t count, int64_t grain, wisp_range_fn *fn);

#endif
