/* What an operator is: a prepare function that validates and binds, and a run function that cannot fail. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_OP_H
#define WISP_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format.h"
#include "kernels.h"
#include "wisp.h"

/* Session memory is laid out alike on 32- and 64-bit targets: a pointer always takes eight bytes. */
#define WISP_PTR(type, name)  \
    union {                   \
        type name;            \
        uint64_t name##_slot; \
    }

/* A tensor bound to a session. */
typedef struct wisp_tensor { /* 88 bytes */
    WISP_PTR(void *, data);  /* during prepare: null unless the value is known; during run: never null */
    int32_t dims[WISP_MAX_RANK];
    uint64_t count; /* elements */
    uint64_t size;  /* bytes */
    uint8_t dtype, rank, kind, layout;
    float scale; /* 0: not quantized */
    int32_t zero_point;
    uint32_t first_use, last_use; /* node index + 1; 0: before the first node; UINT32_MAX: undefined, or kept to the end */
    uint64_t offset;              /* in the arena */
} wisp_tensor;

typedef struct wisp_node wisp_node;
typedef struct wisp_call wisp_call;

/* Returns WISP_OK, or WISP_BAD_INDEX after wisp_call_fail when a value taken from the data is out of range. */
typedef int wisp_run_fn(wisp_call *call);

enum {
    WISP_NODE_STATE = 16,
    WISP_NODE_READS_SHAPES = 2 /* flag set by prepare: run reads its inputs' dims only (Shape, Size) */
};

struct wisp_node { /* 192 bytes */
    WISP_PTR(wisp_run_fn *, run);
    WISP_PTR(const char *, kernel); /* name for reports */
    WISP_PTR(const void *, params); /* the operator's parameter words */
    WISP_PTR(const uint32_t *, operands);
    uint64_t scratch_size; /* bytes for each thread */
    uint64_t macs;
    uint16_t code;
    uint8_t input_count, output_count;
    uint32_t name;  /* string offset */
    uint32_t flags; /* WISP_OPERATOR_AT_PREPARE, WISP_NODE_READS_SHAPES */
    uint32_t reserved;
    int64_t state[WISP_NODE_STATE]; /* what prepare wants run to know; zero at first */
};

/* What prepare and run see of one node. */
struct wisp_call {
    wisp_session *session;
    uint32_t cpu_mask;           /* instruction sets that may be used */
    const wisp_kernels *kernels; /* for operators that do not use WISP_KERNEL yet */
    wisp_node *node;
    wisp_tensor *tensors;
    wisp_error *error;
};

/* An operator's prepare:
 * 1. checks dtypes, ranks, parameters and operand counts (never trust the file);
 * 2. computes every output's shape and states it through wisp_set_output;
 * 3. chooses the kernel, and its scratch size in the same statement; sets node->run (and macs, kernel name).
 * Returns WISP_OK or the value of wisp_call_fail. */
typedef int wisp_prepare_fn(wisp_call *call);

/* The kernel for a slot of kernels.def, chosen in prepare: a function or a descriptor of the slot's type. */
#define WISP_KERNEL(call, slot) WISP_FIND_KERNEL((call)->cpu_mask, slot)

/* Operand i, or null when it is left out. Indices were checked by wisp_open. */
static inline wisp_tensor *wisp_input(const wisp_call *call, uint32_t i) {
    uint32_t index = i < call->node->input_count ? call->node->operands[i] : WISP_NO_TENSOR;
    return index == WISP_NO_TENSOR ? NULL : &call->tensors[index];
}
static inline wisp_tensor *wisp_output(const wisp_call *call, uint32_t i) {
    uint32_t index = i < call->node->output_count ? call->node->operands[call->node->input_count + i] : WISP_NO_TENSOR;
    return index == WISP_NO_TENSOR ? NULL : &call->tensors[index];
}

/* Parameters of operator NAME as the struct made from its line in ops.def. */
#define WISP_PARAMS(call, NAME) ((const wisp_##NAME##_params *)(call)->node->params)

/* Writes "node 'NAME' (Operator): message" and returns status. wisp_call_fail_value appends a number. */
int wisp_call_fail(wisp_call *call, int status, const char *message);
int wisp_call_fail_value(wisp_call *call, int status, const char *message, int64_t value);

/* Fails unless min <= number of inputs <= max, the first `min` are present, and the node has `outputs` outputs
 * (optional ones included; a single one is not optional). */
int wisp_check_operands(wisp_call *call, uint32_t min_inputs, uint32_t max_inputs, uint32_t outputs);

/* States the inferred dtype and shape of output i; fails when the file says otherwise. Nothing to do when the
 * optional output is left out. */
int wisp_set_output(wisp_call *call, uint32_t i, int dtype, int rank, const int32_t *dims);

size_t wisp_dtype_size(int dtype); /* bytes; 0 for unknown */

/* 0: a build without f32 kernels. Operators that need one refuse f32 in prepare, and their f32 branches fall away. */
#ifndef WISP_FLOAT
#define WISP_FLOAT 1
#endif
/* Of a tensor that prepare accepted as f32 or s8. */
static inline bool wisp_is_s8(const wisp_tensor *t) {
    return !WISP_FLOAT || t->dtype == WISP_S8;
}
/* In prepare: f32 or s8, and this build has kernels for it. */
static inline bool wisp_has_kernels(const wisp_tensor *t) {
    return t->dtype == WISP_S8 || (WISP_FLOAT && t->dtype == WISP_F32);
}

/* Number of elements of dims[begin..end); shapes were checked to stay below 2^47 bytes in all. */
static inline uint64_t wisp_extent(const int32_t *dims, int begin, int end) {
    uint64_t n = 1;
    for (int i = begin; i < end; i++) n *= (uint64_t)dims[i];
    return n;
}

/* Reads element i of a known or bound s32 or s64 tensor. */
int64_t wisp_integer_at(const wisp_tensor *t, uint64_t i);

/* ONNX axis: -rank..rank-1 to 0..rank-1; -1 when out of range. */
static inline int wisp_axis(int64_t axis, int rank) {
    if (axis < 0) axis += rank;
    return axis >= 0 && axis < rank ? (int)axis : -1;
}

/* Right-aligned broadcast of two shapes (ONNX multidirectional). Returns the rank, or -1 if they do not fit. */
int wisp_broadcast(const wisp_tensor *a, const wisp_tensor *b, int32_t *dims);

/* Calls fn(call, thread, begin, end) for consecutive ranges covering [0, count), possibly in parallel.
 * `grain`: fewest items worth a thread. Ranges are static; fn must not depend on how they are cut. */
typedef void wisp_range_fn(wisp_call *call, uint32_t thread, int64_t begin, int64_t end);
void wisp_parallel(wisp_call *call, int64_t count, int64_t grain, wisp_range_fn *fn);

/* This thread's scratch: node->scratch_size bytes, aligned to WISP_ALIGNMENT. */
void *wisp_scratch(const wisp_call *call, uint32_t thread);

/* Parameter structs, one for each line of ops.def. */
#define I(name) int32_t name;
#define F(name) float name;
#define A(name) int32_t name[WISP_MAX_RANK];
#define NONE uint32_t none_;
#define OP(code, name, params)            \
    typedef struct wisp_##name##_params { \
        params                            \
    } wisp_##name##_params;
#include "ops.def"
#undef OP
#undef NONE
#undef A
#undef F
#undef I

#endif
