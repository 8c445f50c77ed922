/* What an operator is: a const descriptor of functions that check, plan and compute, and what they see of one node. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_OP_H
#define WISP_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "format.h"
#include "kernels.h"
#include "wisp.h"

/* A tensor of a session. */
typedef struct wisp_tensor {
    void *data; /* in begin and range: never null where size > 0. In plan use wisp_value() */
    int32_t dims[WISP_MAX_RANK];
    uint64_t count;  /* elements */
    uint64_t size;   /* bytes */
    uint64_t offset; /* in the memory of its kind */
    uint8_t dtype, rank, kind, layout;
    float scale; /* 0: not quantized */
    int32_t zero_point;
    uint32_t flags; /* WISP_TENSOR_* of format.h, and those below */
} wisp_tensor;

enum {
    WISP_TENSOR_KNOWN = 1 << 16,       /* all its dims are */
    WISP_TENSOR_VALUED = 1 << 17,      /* a constant, or a value computed while shapes are planned: data may be read in plan */
    WISP_TENSOR_PLACED = 1 << 18,      /* offset is set */
    WISP_TENSOR_DEFINED = 1 << 19,     /* an input, a constant, a state, or the output of a node */
    WISP_TENSOR_VISIBLE = 1 << 20,     /* while the order of nodes is checked: defined in this graph or one around it */
    WISP_TENSOR_OWN = 1 << 23,         /* while the order of nodes is checked: an output of the graph at hand */
    WISP_TENSOR_STATED = 1 << 22,      /* its dims were stated by a plan, not by begin */
    WISP_TENSOR_SHIFTS_LEFT = 1 << 24, /* channels: some shift is negative, as check found */
    WISP_TENSOR_APART = 1 << 21        /* shares memory with no other: a body's inputs and outputs, states and what follows them */
};

typedef struct wisp_call wisp_call;

/* How one operator works; `const wisp_operator wisp_op_NAME` in its family's file.
 *
 *   check   optional; once, when the session is made: the *contents* of constants that are long to scan (channel blocks,
 *           tables). Shapes of other operands are not known yet.
 *   plan    every time shapes are settled, and all its inputs' extents are known: operands, dtypes, ranks, parameters (never
 *           trust the file); the outputs' dims by wisp_set_output; the work by wisp_set_work; scratch by wisp_need_scratch;
 *           kernel and macs of the node. What range needs goes into call->plan: scalars, offsets, pointers to const
 *           descriptors; never tensor data, which may move. All of *plan is zero before.
 *   begin   optional; every run, one thread: what depends on data. Checks indices, fills tables in shared scratch, may state
 *           dims that plan left open. May fail.
 *   range   items [begin, end) of those stated. Cannot fail, runs on any thread, and what it computes for an item depends on
 *           that item alone. It sees no session: code generated ahead of time calls it as it is.
 *
 * check, plan and begin return WISP_OK or the value of wisp_call_fail. An operator without work (items 0) has no range. */
typedef struct wisp_operator {
    int (*check)(wisp_call *call);
    int (*plan)(wisp_call *call);
    int (*begin)(wisp_call *call);
    void (*range)(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end);
    uint16_t plan_size; /* bytes of its plan, at most WISP_MAX_PLAN */
} wisp_operator;

enum { WISP_MAX_PLAN = 512 };

/* Traits of ops.def. */
enum {
    WISP_ELEMENTWISE = 1 << 0,
    WISP_UNARY = 1 << 1,
    WISP_MOVES = 1 << 2,
    WISP_VIEW = 1 << 3,
    WISP_IN_PLACE = 1 << 4,
    WISP_JOINS = 1 << 5,
    WISP_DIMS = 1 << 6,
    WISP_OWNS_GRAPHS = 1 << 7 /* it has a graph parameter */
};

/* What a session keeps of a node. */
typedef struct wisp_node {
    const wisp_operator *op;
    const void *params; /* the operator's parameter words */
    const uint32_t *operands;
    void *plan;
    const char *kernel; /* name for reports */
    uint64_t macs;      /* multiply-accumulates, for reports */
    int64_t items;
    uint32_t grain; /* fewest items worth a thread */
    uint32_t phases;
    uint32_t name;  /* string offset */
    uint32_t flags; /* WISP_NODE_* of session.h */
    uint16_t code;
    uint16_t input_count, output_count;
    uint8_t traits;
} wisp_node;

/* What an operator's functions see of one node. */
struct wisp_call {
    wisp_tensor *tensors;     /* of the session; indexed by operands */
    const uint32_t *operands; /* inputs, then outputs */
    const void *params;
    void *plan;
    uint8_t *shared;       /* shared scratch: written by begin, or in an earlier phase */
    uint8_t *scratch;      /* of thread 0; thread t's begins t * scratch_size behind it */
    uint64_t scratch_size; /* bytes */
    uint16_t code;
    uint16_t input_count, output_count;
    uint32_t phase;               /* 0..phases - 1; phase p begins when all of p - 1 is done */
    wisp_node *node;              /* in check, plan and begin */
    struct wisp_session *session; /* in check, plan and begin */
    wisp_error *error;
};

/* Operand i, or null when it is left out. Indices were checked by wisp_open. */
static inline wisp_tensor *wisp_input(const wisp_call *call, uint32_t i) {
    uint32_t index = i < call->input_count ? call->operands[i] : WISP_NO_TENSOR;
    return index == WISP_NO_TENSOR ? NULL : &call->tensors[index];
}
static inline wisp_tensor *wisp_output(const wisp_call *call, uint32_t i) {
    uint32_t index = i < call->output_count ? call->operands[(uint32_t)call->input_count + i] : WISP_NO_TENSOR;
    return index == WISP_NO_TENSOR ? NULL : &call->tensors[index];
}

/* Parameters of operator NAME as the struct made from its line in ops.def. */
#define WISP_PARAMS(call, NAME) ((const wisp_##NAME##_params *)(call)->params)

/* A V parameter: int32s of any number among the node's words. wisp_open checked that they are there. */
typedef struct wisp_ints {
    uint32_t count, first;
} wisp_ints;
static inline const int32_t *wisp_ints_of(const wisp_call *call, wisp_ints v) {
    return (const int32_t *)call->params + v.first;
}

/* In plan, before anything is stated: WISP_OK if inputs first..last have values or are left out. Otherwise plan returns the status,
 * and is called again in the run, when they are computed. A file with a static plan has no such nodes. */
enum { WISP_LATER = -1 }; /* a status between an operator and its session */
int wisp_wait_for(wisp_call *call, uint32_t first, uint32_t last);

/* In plan: the value of a tensor that is known by then, else null. t may be null. */
static inline const void *wisp_value(const wisp_tensor *t) {
    return t && t->flags & WISP_TENSOR_VALUED ? t->data : NULL;
}

/* Writes "node 'NAME' (Operator): message" and returns status. wisp_call_fail_value appends a number. */
int wisp_call_fail(wisp_call *call, int status, const char *message);
int wisp_call_fail_value(wisp_call *call, int status, const char *message, int64_t value);

/* Fails unless min <= number of inputs <= max, the first `min` are present, and the node has `outputs` outputs
 * (optional ones included; a single one is not optional). */
int wisp_check_operands(wisp_call *call, uint32_t min_inputs, uint32_t max_inputs, uint32_t outputs);

/* States the dtype and shape of output i; fails when the file says otherwise. Nothing to do when the optional output is
 * left out. In plan, or in begin after plan called wisp_size_later. */
int wisp_set_output(wisp_call *call, uint32_t i, int dtype, int rank, const int32_t *dims);
/* In plan: the extents of outputs that are not stated will be, by begin, from the data. */
void wisp_size_later(wisp_call *call);

/* In plan, or in begin where only data tells: work is `items` pieces, in each of `phases` rounds; a thread is worth waking for `grain` of
 * them. */
void wisp_set_work(wisp_call *call, int64_t items, int64_t grain, uint32_t phases);

/* In plan: bytes of scratch this plan uses, shared and for each thread. Not above the limits where the least algorithm is
 * not: then the file's budget is too small, and the session refuses it. */
void wisp_need_scratch(wisp_call *call, uint64_t shared, uint64_t each);
/* In plan, where there is a choice of algorithms: what the hungriest could use for these shapes, whatever the processor.
 * The converter writes it into the file as the budget. */
void wisp_could_use_scratch(wisp_call *call, uint64_t shared, uint64_t each);
/* In plan: bytes there are, UINT64_MAX where nothing limits them. */
uint64_t wisp_shared_limit(const wisp_call *call);
uint64_t wisp_scratch_limit(const wisp_call *call);

/* Scratch of thread `thread`; 64-byte aligned. */
static inline void *wisp_scratch(const wisp_call *call, uint32_t thread) {
    return call->scratch + thread * call->scratch_size;
}

/* In plan: the kernel for a slot of kernels.def, a function or a descriptor of the slot's type, from the newest instruction set.
 * In a build without the slot null, and the session refuses the node. */
#define WISP_KERNEL(call, slot) (*wisp_slot_##slot(wisp_call_kernel(call, WISP_SLOT_##slot)))
const void *wisp_call_kernel(const wisp_call *call, int slot);

/* ---- for control operators */

/* Operand i of graph g of the file (G parameters were checked by wisp_open); null past the last. */
wisp_tensor *wisp_graph_input(const wisp_call *call, uint32_t g, uint32_t i);
wisp_tensor *wisp_graph_output(const wisp_call *call, uint32_t g, uint32_t i);
uint32_t wisp_graph_input_count(const wisp_call *call, uint32_t g);
uint32_t wisp_graph_output_count(const wisp_call *call, uint32_t g);
/* In plan and begin: a body's input gets the dims of `like`, which must fit it. With other dims than before it has no memory
 * until the body is planned (again). */
int wisp_set_graph_input(wisp_call *call, uint32_t g, uint32_t i, const wisp_tensor *like);
/* Plans what can be planned of g, and in begin gives it memory. `again`: forgets what was planned before; inputs keep their
 * dims and data. */
int wisp_plan_graph(wisp_call *call, uint32_t g, bool again);
/* In begin: a and b, an input and an output of one body, exchange their memory, and a takes b's dims. Where they differed the
 * body must be planned again. */
void wisp_exchange(wisp_call *call, wisp_tensor *a, wisp_tensor *b);
/* In begin: output i, whose extents are found out there, gets these dims now, and room for them; its first `keep` bytes stay. */
int wisp_enlarge_output(wisp_call *call, uint32_t i, const int32_t *dims, uint64_t keep);
/* In begin: runs g once. */
int wisp_run_graph(wisp_call *call, uint32_t g);

/* ---- small helpers */

size_t wisp_dtype_size(int dtype); /* bytes; 0 for unknown */

/* 0: a build without f32 kernels. Operators that need one refuse f32 in plan, and their f32 branches fall away. */
#ifndef WISP_FLOAT
#define WISP_FLOAT 1
#endif
/* Of a tensor that plan accepted as f32 or s8. */
static inline bool wisp_is_s8(const wisp_tensor *t) {
    return !WISP_FLOAT || t->dtype == WISP_S8;
}
/* In plan: f32 or s8, and this build has kernels for it. */
static inline bool wisp_has_kernels(const wisp_tensor *t) {
    return t->dtype == WISP_S8 || (WISP_FLOAT && t->dtype == WISP_F32);
}

/* Number of elements of dims[begin..end); shapes were checked to stay below 2^47 bytes in all. */
static inline uint64_t wisp_extent(const int32_t *dims, int begin, int end) {
    uint64_t n = 1;
    for (int i = begin; i < end; i++) n *= (uint64_t)dims[i];
    return n;
}

/* Reads element i of an s32 or s64 tensor with a value. */
int64_t wisp_integer_at(const wisp_tensor *t, uint64_t i);

/* ONNX axis: -rank..rank-1 to 0..rank-1; -1 when out of range. */
static inline int wisp_axis(int64_t axis, int rank) {
    if (axis < 0) axis += rank;
    return axis >= 0 && axis < rank ? (int)axis : -1;
}

/* Right-aligned broadcast of two shapes (ONNX multidirectional). Returns the rank, or -1 if they do not fit. */
int wisp_broadcast(const wisp_tensor *a, const wisp_tensor *b, int32_t *dims);

/* ---- parameter structs, from ops.def */

#define I(name) int32_t name;
#define F(name) float name;
#define V(name) wisp_ints name;
#define G(name) uint32_t name;
#define NONE char none; /* C has no empty structs; there are no words either */
#define OP(code, name, traits, params)    \
    typedef struct wisp_##name##_params { \
        params                            \
    } wisp_##name##_params;
#include "ops.def"
#undef OP
#undef NONE
#undef G
#undef V
#undef F
#undef I

#endif
