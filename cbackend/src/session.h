/* The inside of a session and of a pool; private to the files beside it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_SESSION_H
#define WISP_SESSION_H

#include "model.h"

/* Session memory, every part on 64 bytes; lives only without a static plan:
 *   | wisp_session 320 | tensors | nodes | plans, each on 8 | lives | shape values |
 * Arena:
 *   | state | shared scratch | scratch of each thread | activations |   the last can grow */
enum { WISP_SESSION_STRUCT = 320, WISP_MAX_THREADS = 64 };

/* When a tensor is alive, and where the planner is with it. Times count nodes as they run: a node, its bodies, its end. */
typedef struct wisp_life {
    uint32_t first, last; /* of the tensor and of what views it; UINT32_MAX: to the end */
    uint32_t root;        /* the tensor whose memory it uses; itself, where it shares none */
    uint32_t end;         /* of a root: the last time of all that use its memory */
    uint32_t next;        /* of a placed root: the one with the next higher offset */
    uint32_t order;       /* a list of tensor indices across all lives: those to place */
} wisp_life;

typedef struct wisp_session {
    wisp_model model;
    uint32_t cpu_mask;                           /* only sets that this processor has */
    uint32_t slots[(WISP_SLOT_COUNT + 31) / 32]; /* a bit for each kernel slot that a plan asked for */
    const wisp_file_header *header;
    const wisp_file_tensor *file_tensors;
    const wisp_file_graph *graphs;
    const uint32_t *operands;
    wisp_tensor *tensors;
    wisp_node *nodes;
    wisp_life *lives; /* null with a static plan */
    uint8_t *shape_memory;
    uint8_t *arena; /* null before wisp_bind, and after extents that need a larger one */
    uint8_t *state; /* the arena last bound: its front has the states */
    uint64_t room;  /* bytes of the arena */
    wisp_pool *pool;
    uint64_t plan_size;                   /* bytes of activations; without a static plan the most since the last resize */
    uint64_t shared_size, scratch_size;   /* bytes used by the hungriest node: shared, for each thread */
    uint64_t could_shared, could_scratch; /* what it could use */
    uint64_t plan_shared, plan_scratch;   /* of the node being planned */
    uint64_t total_size;                  /* bytes of all tensors so far; bounded, so that no sum overflows */
    uint32_t tensor_count, node_count, graph_count;
    uint32_t first_placed; /* the root at the lowest offset, or WISP_NO_TENSOR */
    uint32_t threads;
    uint32_t active_threads; /* of the run under way; 1 outside */
    bool planned, running;
    bool lacks_kernel; /* the node being planned asked for one that the build leaves out */
    bool planning;     /* inside an operator's plan */
    bool late;         /* some nodes were planned in a run */
    bool has_state;    /* the states in the arena are the session's */
    uint64_t (*clock)(void);
    uint64_t *ticks;
} wisp_session;

_Static_assert(sizeof(wisp_session) <= WISP_SESSION_STRUCT, "the layout of session memory counts on it");
_Static_assert(sizeof(wisp_tensor) <= 80 && sizeof(wisp_node) <= 80 && sizeof(wisp_life) == 24, "a microcontroller's memory");

enum {                             /* wisp_node.flags; the upper half: which input's memory output 0 uses, counted from 1 */
       WISP_NODE_AT_RESIZE = 1,    /* as WISP_OPERATOR_AT_RESIZE */
       WISP_NODE_PLANNED = 2,      /* its plan holds */
       WISP_NODE_LATE = 4,         /* planned in a run */
       WISP_NODE_SIZED_IN_RUN = 8, /* begin states dims of outputs */
       WISP_NODE_ALIAS_SHIFT = 16
};

/* A call of node i; op.c. */
wisp_call wisp_make_call(wisp_session *s, uint32_t node, wisp_error *error);

/* plan.c */
/* Calls fn for each graph that node i owns; stops at the first that returns other than WISP_OK. */
typedef int wisp_graph_fn(wisp_session *s, uint32_t g, void *state);
int wisp_each_graph(wisp_session *s, uint32_t i, wisp_graph_fn *fn, void *state);
/* Plans every node of graph g whose inputs are known, in order, and gives what is known now its place. */
int wisp_plan_known(wisp_session *s, uint32_t g, wisp_error *error);
/* In a run: plans node i of g, which waited for the values of its inputs, and what can be planned then. */
int wisp_plan_waiting(wisp_session *s, uint32_t g, uint32_t i, wisp_error *error);
/* Times, and who views whom: once, from the order of nodes alone. */
void wisp_find_lives(wisp_session *s);
/* Places every activation whose dims are known. */
int wisp_place(wisp_session *s, wisp_error *error);
/* Takes the places of tensors that are not known any more out of the list of places. */
void wisp_unplace(wisp_session *s);
/* Points every placed tensor into the arena. */
void wisp_settle(wisp_session *s);
/* Dims as the file states them; a value that is found out in a run, or at the next resize, is unknown again. */
void wisp_forget_tensor(wisp_session *s, uint32_t index);
/* Bytes from the start of the arena to the activations. */
uint64_t wisp_arena_front(const wisp_session *s);
/* Extents of t are all known: counts, bytes, bounds. */
int wisp_measure(wisp_session *s, wisp_tensor *t);

/* run.c */
int wisp_run_nodes(wisp_session *s, uint32_t g, wisp_error *error);
/* begin and all ranges of a planned node. */
int wisp_run_node(wisp_call *call);

/* threads.c */
/* Threads that may work on a run, the caller included: 1 when the pool is missing or busy. */
uint32_t wisp_pool_enter(wisp_pool *pool, uint32_t threads);
void wisp_pool_leave(wisp_pool *pool, uint32_t threads);
typedef void wisp_job_fn(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end);
/* Inside enter and leave: fn over [0, count) in chunks of max(grain, count / (4 * threads)) items, whoever is free takes the
 * next; returns when all are done. 1 <= grain <= count; `threads` is at most what enter gave. */
void wisp_pool_run(wisp_pool *pool, const wisp_call *call, uint32_t threads, int64_t count, int64_t grain, wisp_job_fn *fn);

#endif
