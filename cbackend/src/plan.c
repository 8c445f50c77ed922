/* Plan and place: one function plans the nodes whose inputs are known, one gives known tensors their memory. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "session.h"

static wisp_tensor *operand(const wisp_session *s, const wisp_node *node, uint32_t i) {
    return node->operands[i] == WISP_NO_TENSOR ? NULL : &s->tensors[node->operands[i]];
}

static uint32_t index_of(const wisp_session *s, const wisp_tensor *t) {
    return (uint32_t)(t - s->tensors);
}

/* ---- extents */

int wisp_measure(wisp_session *s, wisp_tensor *t) {
    t->size = wisp_tensor_bytes(t->dtype, t->layout, t->rank, t->dims);
    if (t->size == UINT64_MAX || t->size > SIZE_MAX / 2) return WISP_BAD_SHAPE;
    if (!s->running && (s->total_size += t->size) >= WISP_MAX_TOTAL_SIZE) return WISP_BAD_SHAPE;
    t->count = wisp_extent(t->dims, 0, t->rank);
    t->flags |= WISP_TENSOR_KNOWN | (s->planning ? WISP_TENSOR_STATED : 0);
    return WISP_OK;
}

void wisp_forget_tensor(wisp_session *s, uint32_t index) {
    wisp_tensor *t = &s->tensors[index];
    memcpy(t->dims, s->file_tensors[index].dims, sizeof t->dims);
    t->flags &= ~(uint32_t)(WISP_TENSOR_KNOWN | WISP_TENSOR_VALUED | WISP_TENSOR_STATED);
    if (!s->lives) return;
    t->flags &= ~(uint32_t)WISP_TENSOR_PLACED;
    t->data = NULL;
    s->lives[index].root = index;
    s->lives[index].end = s->lives[index].last;
}

/* ---- lives */

/* What a body reads from outside is alive until its owner is done: the body may run again. */
static void keep_outer(wisp_session *s, const wisp_file_graph *graph, uint32_t begin, uint32_t end);

static void read_at(wisp_session *s, uint32_t index, uint32_t time) {
    if (index != WISP_NO_TENSOR && s->lives[index].last < time) s->lives[index].last = time;
}

static void write_at(wisp_session *s, uint32_t index, uint32_t first, uint32_t last) {
    if (index != WISP_NO_TENSOR) s->lives[index].first = first, s->lives[index].last = last;
}

int wisp_each_graph(wisp_session *s, uint32_t i, wisp_graph_fn *fn, void *state) {
    if (!(s->nodes[i].traits & WISP_OWNS_GRAPHS)) return WISP_OK;
    const wisp_operator_entry *entry = wisp_find_operator(s->nodes[i].code);
    const uint32_t *words = s->nodes[i].params;
    int status;
    for (uint32_t w = 0; w < entry->words; w++)
        if (entry->kinds[w] == 'g' && (status = fn(s, words[w], state))) return status;
    return WISP_OK;
}

static uint32_t find_graph_lives(wisp_session *s, uint32_t g, uint32_t time);

static int find_body_lives(wisp_session *s, uint32_t g, void *time) {
    *(uint32_t *)time = find_graph_lives(s, g, *(uint32_t *)time);
    return WISP_OK;
}

typedef struct span {
    uint32_t begin, end;
} span;

static int keep_body(wisp_session *s, uint32_t g, void *state) {
    const span *owner = state;
    const wisp_file_graph *graph = &s->graphs[g];
    for (uint32_t i = 0; i < graph->input_count + graph->output_count; i++) /* carried from one iteration to the next */
        write_at(s, s->operands[graph->operands + i], owner->begin, owner->end);
    keep_outer(s, graph, owner->begin, owner->end);
    return WISP_OK;
}

static int keep_inner(wisp_session *s, uint32_t g, void *state) {
    keep_outer(s, &s->graphs[g], ((span *)state)->begin, ((span *)state)->end);
    return WISP_OK;
}

static void keep_outer(wisp_session *s, const wisp_file_graph *graph, uint32_t begin, uint32_t end) {
    span owner = {begin, end};
    for (uint32_t i = graph->first_operator; i < graph->first_operator + graph->operator_count; i++) {
        const wisp_node *node = &s->nodes[i];
        for (uint32_t k = 0; k < node->input_count; k++)
            if (node->operands[k] != WISP_NO_TENSOR && s->lives[node->operands[k]].first < begin) read_at(s, node->operands[k], end);
        wisp_each_graph(s, i, keep_inner, &owner);
    }
}

static uint32_t find_graph_lives(wisp_session *s, uint32_t g, uint32_t time) {
    const wisp_file_graph *graph = &s->graphs[g];
    for (uint32_t i = graph->first_operator; i < graph->first_operator + graph->operator_count; i++) {
        const wisp_node *node = &s->nodes[i];
        time++;
        span owner = {time, time};
        wisp_each_graph(s, i, find_body_lives, &time);
        if (time > owner.begin) owner.end = ++time;
        for (uint32_t k = 0; k < node->input_count; k++) read_at(s, node->operands[k], owner.end);
        for (uint32_t k = 0; k < node->output_count; k++) write_at(s, node->operands[node->input_count + k], owner.begin, owner.end);
        if (owner.end > owner.begin) wisp_each_graph(s, i, keep_body, &owner);
    }
    return time;
}

void wisp_find_lives(wisp_session *s) {
    uint64_t states;
    const wisp_file_state *state = wisp_section(&s->model, WISP_SECTION_STATES, &states);
    find_graph_lives(s, 0, 0);
    for (uint32_t i = 0; i < s->graphs[0].output_count; i++)
        s->lives[s->operands[s->graphs[0].operands + s->graphs[0].input_count + i]].last = UINT32_MAX;
    for (uint64_t i = 0; i < states; i++) s->lives[state[i].next].last = UINT32_MAX;
    for (uint32_t i = s->node_count; i-- > 0;) { /* a view keeps what it views */
        const wisp_node *node = &s->nodes[i];
        if (!(node->traits & WISP_VIEW) || !node->input_count || !node->output_count) continue;
        const wisp_tensor *x = operand(s, node, 0), *y = operand(s, node, node->input_count);
        if (x && y && !(y->flags & WISP_TENSOR_APART)) read_at(s, node->operands[0], s->lives[index_of(s, y)].last);
    }
}

/* ---- shared memory: one rule for files with a plan and without */

/* Whether output y may be the memory of input k: the converter's planner has the same rule (plan.py). */
static bool may_share(const wisp_node *node, uint32_t k, const wisp_tensor *x, const wisp_tensor *y) {
    if (!x || x->kind != WISP_KIND_ACTIVATION || y->kind != WISP_KIND_ACTIVATION || x->size != y->size || y->flags & WISP_TENSOR_APART)
        return false;
    if (node->traits & WISP_VIEW) return k == 0;
    if (!(node->traits & WISP_IN_PLACE) || (k && !(node->traits & WISP_ELEMENTWISE)) || x->flags & WISP_TENSOR_APART) return false;
    return x->rank == y->rank && !memcmp(x->dims, y->dims, sizeof x->dims);
}

/* Whether the node also reads this memory through an input that may not become y: it would be overwritten while it is read. */
static bool reads_otherwise(const wisp_session *s, const wisp_node *node, const wisp_life *root, const wisp_tensor *y) {
    for (uint32_t k = 0; k < node->input_count; k++) {
        const wisp_tensor *x = operand(s, node, k);
        if (x && &s->lives[s->lives[index_of(s, x)].root] == root && !may_share(node, k, x, y)) return true;
    }
    return false;
}

/* Without a plan in the file: output 0 joins the first input whose memory it may take over. */
static uint32_t join_root(wisp_session *s, const wisp_node *node, const wisp_tensor *y) {
    wisp_life *life = &s->lives[index_of(s, y)];
    for (uint32_t k = 0; k < node->input_count; k++) {
        const wisp_tensor *x = operand(s, node, k);
        if (!may_share(node, k, x, y)) continue;
        wisp_life *root = &s->lives[s->lives[index_of(s, x)].root];
        const bool placed = s->tensors[root - s->lives].flags & WISP_TENSOR_PLACED;
        if (!(node->traits & WISP_VIEW) && (placed || root->end != life->first || reads_otherwise(s, node, root, y))) continue;
        life->root = (uint32_t)(root - s->lives);
        if (root->end < life->last) root->end = life->last;
        return k + 1;
    }
    return 0;
}

static bool overlap(const wisp_tensor *a, const wisp_tensor *b) {
    return a && b && a->kind == WISP_KIND_ACTIVATION && b->kind == WISP_KIND_ACTIVATION && a->size && b->size &&
           a->offset < b->offset + b->size && b->offset < a->offset + a->size;
}

/* With a plan in the file: an output shares memory with an input by the rule above, or holds it as a piece, or not at all. So
 * what begin checks, and what range reads, is never overwritten by range. *alias: which input's memory output 0 is. */
static int check_places(wisp_session *s, wisp_call *call, uint32_t *alias) {
    const wisp_node *node = call->node;
    *alias = 0;
    for (uint32_t o = 0; o < node->output_count; o++) {
        const wisp_tensor *y = operand(s, node, node->input_count + o);
        const int axis = node->traits & WISP_JOINS && y ? wisp_axis(*(const int32_t *)node->params, y->rank) : -1;
        const bool in_pieces = axis >= 0 && wisp_extent(y->dims, 0, axis) == 1; /* each input lies in y in one piece */
        uint64_t piece = 0;
        for (uint32_t k = 0; k < node->input_count; k++) {
            const wisp_tensor *x = operand(s, node, k);
            const bool joined = in_pieces && x && x->offset - y->offset == piece;
            if (x) piece += x->size;
            if (!overlap(x, y) || joined) continue;
            if (o || x->offset != y->offset || !may_share(node, k, x, y))
                return wisp_call_fail_value(call, WISP_BAD_FILE, "the plan lays an output over input", k);
            if (!*alias) *alias = k + 1;
        }
        for (uint32_t k = 0; k < o; k++)
            if (overlap(y, operand(s, node, node->input_count + k)))
                return wisp_call_fail_value(call, WISP_BAD_FILE, "the plan lays outputs over each other: output", o);
    }
    return WISP_OK;
}

/* ---- plan */

static bool inputs_known(const wisp_session *s, const wisp_node *node) {
    for (uint32_t i = 0; i < node->input_count; i++) {
        const wisp_tensor *t = operand(s, node, i);
        if (t && !(t->flags & WISP_TENSOR_KNOWN)) return false;
    }
    return true;
}

/* An operator on shapes and constants: its value is needed to plan others, so it runs now, on one thread. */
static int run_now(wisp_session *s, wisp_call *call) {
    const wisp_node *node = call->node;
    if (s->plan_shared || s->plan_scratch || node->flags & WISP_NODE_SIZED_IN_RUN)
        return wisp_call_fail(call, WISP_UNSUPPORTED, "this operator cannot run while shapes are planned");
    for (uint32_t i = 0; i < node->input_count; i++) {
        const wisp_tensor *t = operand(s, node, i);
        if (t && !(t->flags & WISP_TENSOR_VALUED) && !(node->traits & WISP_DIMS))
            return wisp_call_fail_value(call, WISP_BAD_FILE, "runs while shapes are planned but is not known by then: input", i);
    }
    for (uint32_t i = 0; i < node->output_count; i++) {
        wisp_tensor *t = operand(s, node, node->input_count + i);
        if (!t) continue;
        t->data = s->shape_memory + t->offset; /* dims are static: wisp_open checked the bounds */
        t->flags |= WISP_TENSOR_VALUED;
    }
    return wisp_run_node(call);
}

static int check_budget(wisp_session *s, wisp_call *call) {
    if (s->plan_shared >= WISP_MAX_TOTAL_SIZE || s->plan_scratch >= WISP_MAX_TOTAL_SIZE)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "needs too much scratch");
    if (s->plan_scratch > wisp_scratch_limit(call))
        return wisp_call_fail_value(call, WISP_BAD_FILE, "the file leaves too little scratch, bytes needed:", (int64_t)s->plan_scratch);
    if (s->plan_shared > wisp_shared_limit(call))
        return wisp_call_fail_value(call, WISP_BAD_FILE,
                                    "the file leaves too little shared scratch, bytes needed:", (int64_t)s->plan_shared);
    return WISP_OK;
}

/* The node stays as it was: not planned. */
static int wait_for_values(wisp_session *s, wisp_call *call) {
    if (!s->lives) return wisp_call_fail(call, WISP_BAD_FILE, "needs values that only a run finds out, in a file with a plan");
    if (call->node->flags & WISP_NODE_AT_RESIZE)
        return wisp_call_fail(call, WISP_BAD_FILE, "runs while shapes are planned, but its inputs are not known by then");
    s->late = true;
    return WISP_OK;
}

static int plan_node(wisp_session *s, uint32_t i, wisp_error *error) {
    wisp_node *node = &s->nodes[i];
    wisp_call call = wisp_make_call(s, i, error);
    uint32_t alias = 0;
    int status;
    node->flags &= WISP_NODE_AT_RESIZE;
    if (s->running) { /* what it states is for this run only, also where it fails half-way */
        node->flags |= WISP_NODE_LATE;
        s->late = true;
    }
    node->kernel = "portable";
    node->macs = 0, node->items = 0, node->grain = 1, node->phases = 0;
    s->plan_shared = s->plan_scratch = 0;
    s->lacks_kernel = false;
    memset(node->plan, 0, node->op->plan_size);
    const bool planning = s->planning;
    s->planning = true;
    status = node->op->plan(&call);
    s->planning = planning;
    if (status == WISP_LATER) return wait_for_values(s, &call);
    if (!status && s->lacks_kernel) status = wisp_call_fail(&call, WISP_UNSUPPORTED, "needs a kernel that this build leaves out");
    if (status || (status = check_budget(s, &call))) return status;
    const wisp_tensor *y = node->output_count ? operand(s, node, node->input_count) : NULL;
    if (!s->lives && (status = check_places(s, &call, &alias))) return status;
    if (s->lives && y && y->flags & WISP_TENSOR_KNOWN) alias = join_root(s, node, y);
    node->flags |= WISP_NODE_PLANNED | alias << WISP_NODE_ALIAS_SHIFT;
    if (node->flags & WISP_NODE_SIZED_IN_RUN) {
        s->late = true;
        if (!s->lives) return wisp_call_fail(&call, WISP_BAD_FILE, "extents that only a run finds out, in a file with a plan");
    }
    const bool more = s->plan_shared > s->shared_size || s->plan_scratch > s->scratch_size;
    if (s->plan_shared > s->shared_size) s->shared_size = s->plan_shared;
    if (s->plan_scratch > s->scratch_size) s->scratch_size = s->plan_scratch;
    if (node->flags & WISP_NODE_AT_RESIZE) return run_now(s, &call);
    if (s->running && more) {
        s->arena = NULL; /* all moves: begin again */
        return wisp_call_fail_value(&call, WISP_NO_MEMORY,
                                    "the arena is too small for extents found in the run, bytes needed:", (int64_t)wisp_arena_size(s));
    }
    return WISP_OK;
}

int wisp_plan_known(wisp_session *s, uint32_t g, wisp_error *error) {
    const wisp_file_graph *graph = &s->graphs[g];
    for (uint32_t i = graph->first_operator; i < graph->first_operator + graph->operator_count; i++) {
        const wisp_node *node = &s->nodes[i];
        if (node->flags & WISP_NODE_PLANNED || !inputs_known(s, node)) continue; /* later, in the run */
        int status = plan_node(s, i, error);
        if (status) return status;
    }
    return s->running ? wisp_place(s, error) : WISP_OK;
}

int wisp_plan_waiting(wisp_session *s, uint32_t g, uint32_t i, wisp_error *error) {
    const wisp_node *node = &s->nodes[i];
    uint64_t marked = 0;
    if (node->flags & WISP_NODE_PLANNED || !inputs_known(s, node)) return WISP_OK; /* which its run complains about */
    for (uint32_t k = 0; k < node->input_count && k < 64; k++) {
        wisp_tensor *t = operand(s, node, k);
        if (!t || t->flags & WISP_TENSOR_VALUED) continue;
        t->flags |= WISP_TENSOR_VALUED;
        marked |= UINT64_C(1) << k;
    }
    int status = plan_node(s, i, error);
    for (uint32_t k = 0; k < 64; k++) /* the next run has other values */
        if (marked >> k & 1) operand(s, node, k)->flags &= ~(uint32_t)WISP_TENSOR_VALUED;
    return status ? status : wisp_plan_known(s, g, error);
}

static int forget_body(wisp_session *s, uint32_t g, void *unused) {
    const wisp_file_graph *graph = &s->graphs[g];
    int status;
    for (uint32_t i = graph->first_operator; i < graph->first_operator + graph->operator_count; i++) {
        wisp_node *node = &s->nodes[i];
        node->flags &= WISP_NODE_AT_RESIZE;
        for (uint32_t k = 0; k < node->output_count; k++)
            if (node->operands[node->input_count + k] != WISP_NO_TENSOR) wisp_forget_tensor(s, node->operands[node->input_count + k]);
        if ((status = wisp_each_graph(s, i, forget_body, unused))) return status;
    }
    return WISP_OK;
}

int wisp_plan_graph(wisp_call *call, uint32_t g, bool again) {
    wisp_session *s = call->session;
    const uint64_t shared = s->plan_shared, each = s->plan_scratch;
    if (again) {
        forget_body(s, g, NULL);
        wisp_unplace(s);
    }
    const int status = wisp_plan_known(s, g, call->error);
    s->plan_shared = shared, s->plan_scratch = each; /* the owner's own */
    return status;
}

/* ---- place: largest first, each at the lowest offset that is free while it is alive */

/* A list of the tensors to place, by size, as a heap in lives[].order: the smallest on top, so that the sorted list has the
 * largest first. */
static bool before(const wisp_session *s, uint32_t a, uint32_t b) {
    const uint64_t x = s->tensors[a].size, y = s->tensors[b].size;
    return x != y ? x > y : s->lives[a].first != s->lives[b].first ? s->lives[a].first < s->lives[b].first : a < b;
}

static void sift(wisp_session *s, uint32_t at, uint32_t count) {
    wisp_life *l = s->lives;
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && before(s, l[child].order, l[child + 1].order)) child++;
        if (!before(s, l[at].order, l[child].order)) return;
        const uint32_t t = l[at].order;
        l[at].order = l[child].order, l[child].order = t;
    }
}

static void sort_order(wisp_session *s, uint32_t count) {
    wisp_life *l = s->lives;
    for (uint32_t i = count / 2; i-- > 0;) sift(s, i, count);
    for (uint32_t n = count; n > 1;) {
        const uint32_t t = l[0].order;
        l[0].order = l[--n].order, l[n].order = t;
        sift(s, 0, n);
    }
}

/* Puts root t into the list, behind `from`, which lies below it; null: from the start. */
static void link_root(wisp_session *s, uint32_t t, uint32_t *from) {
    uint32_t *link = from ? from : &s->first_placed;
    while (*link != WISP_NO_TENSOR && s->tensors[*link].offset < s->tensors[t].offset) link = &s->lives[*link].next;
    s->lives[t].next = *link, *link = t;
}

/* One scan over what is placed, by offset: the first gap wide enough among those alive together. Places root t there. */
static void place_root(wisp_session *s, uint32_t t) {
    wisp_life *l = s->lives, *self = &l[t];
    const uint64_t size = round_up(s->tensors[t].size, WISP_ALIGNMENT);
    uint64_t offset = 0;
    uint32_t at = s->first_placed, *below = NULL;
    for (; at != WISP_NO_TENSOR; at = l[at].next) {
        if (l[at].end < self->first || l[at].first > self->end) continue;
        if (offset + size <= s->tensors[at].offset) break;
        const uint64_t end = round_up(s->tensors[at].offset + s->tensors[at].size, WISP_ALIGNMENT);
        if (end > offset) offset = end, below = &l[at].next;
    }
    s->tensors[t].offset = offset;
    link_root(s, t, below);
    s->tensors[t].flags |= WISP_TENSOR_PLACED;
    if (offset + size > s->plan_size) s->plan_size = offset + size;
}

static void unlink_root(wisp_session *s, uint32_t t) {
    for (uint32_t *link = &s->first_placed; *link != WISP_NO_TENSOR; link = &s->lives[*link].next)
        if (*link == t) {
            *link = s->lives[t].next;
            return;
        }
}

void wisp_exchange(wisp_call *call, wisp_tensor *a, wisp_tensor *b) {
    wisp_session *s = call->session;
    void *data = a->data;
    a->data = b->data, b->data = data;
    if (!s->lives) return; /* of one size; offsets are read when an arena is bound, and then either may have either */
    const uint32_t ia = index_of(s, a), ib = index_of(s, b);
    const uint64_t offset = a->offset;
    unlink_root(s, ia), unlink_root(s, ib);
    a->offset = b->offset, b->offset = offset;
    memcpy(a->dims, b->dims, sizeof a->dims);
    a->count = b->count, a->size = b->size;
    link_root(s, ia, NULL), link_root(s, ib, NULL);
}

int wisp_enlarge_output(wisp_call *call, uint32_t i, const int32_t *dims, uint64_t keep) {
    wisp_session *s = call->session;
    wisp_tensor *t = wisp_output(call, i);
    const uint8_t *old = t->flags & WISP_TENSOR_PLACED ? t->data : NULL;
    const uint64_t size = t->size;
    wisp_forget_tensor(s, index_of(s, t));
    int status = wisp_set_output(call, i, t->dtype, t->rank, dims);
    if (status) return status;
    if (old && t->size <= size) { /* it stays where it is */
        t->data = (void *)(uintptr_t)old;
        t->flags |= WISP_TENSOR_PLACED;
        return WISP_OK;
    }
    wisp_unplace(s);
    if ((status = wisp_place(s, call->error))) return status;
    if (old && keep) memmove(t->data, old, (size_t)keep);
    return WISP_OK;
}

void wisp_unplace(wisp_session *s) {
    if (!s->lives) return;
    for (uint32_t *link = &s->first_placed; *link != WISP_NO_TENSOR;) {
        if (s->tensors[*link].flags & WISP_TENSOR_PLACED)
            link = &s->lives[*link].next;
        else
            *link = s->lives[*link].next;
    }
}

uint64_t wisp_arena_front(const wisp_session *s) {
    return s->header->state_size + s->shared_size + s->threads * s->scratch_size;
}

static bool has_place(const wisp_tensor *t) {
    return t->kind == WISP_KIND_ACTIVATION && t->flags & WISP_TENSOR_KNOWN && t->flags & WISP_TENSOR_DEFINED;
}

void wisp_settle(wisp_session *s) {
    uint8_t *activations = s->arena + wisp_arena_front(s);
    for (uint32_t i = 0; i < s->tensor_count; i++) {
        wisp_tensor *t = &s->tensors[i];
        if (t->kind == WISP_KIND_STATE) t->data = s->arena + t->offset;
        if (has_place(t) && (t->flags & WISP_TENSOR_PLACED)) t->data = activations + t->offset;
    }
}

int wisp_place(wisp_session *s, wisp_error *error) {
    uint32_t count = 0;
    if (!s->lives) return WISP_OK;
    for (uint32_t i = 0; i < s->tensor_count; i++)
        if (has_place(&s->tensors[i]) && !(s->tensors[i].flags & WISP_TENSOR_PLACED) && s->lives[i].root == i) s->lives[count++].order = i;
    sort_order(s, count);
    for (uint32_t i = 0; i < count; i++) place_root(s, s->lives[i].order);
    uint8_t *activations = s->running ? s->arena + wisp_arena_front(s) : NULL;
    if (s->running && wisp_arena_size(s) > s->room) {
        s->arena = NULL;
        return wisp_error_value(error, WISP_NO_MEMORY, "the arena is too small for extents found in the run, bytes needed",
                                (int64_t)wisp_arena_size(s));
    }
    for (uint32_t i = 0; i < s->tensor_count; i++) { /* those that share follow */
        wisp_tensor *t = &s->tensors[i];
        const wisp_tensor *root = &s->tensors[s->lives[i].root];
        if (!has_place(t) || !(root->flags & WISP_TENSOR_PLACED) || (t->flags & WISP_TENSOR_PLACED && t->data)) continue;
        t->offset = root->offset;
        t->flags |= WISP_TENSOR_PLACED;
        if (activations) t->data = activations + t->offset;
    }
    return WISP_OK;
}
