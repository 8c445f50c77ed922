/* GRU, LSTM and RNN in one direction, f32: the recurrent part; the products of the inputs come from one Gemm before it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "../matrix/matrix.h"
#include "activation_math.h"

/* Operands: products x * W + b (steps, batch, gates * hidden16); recurrent weights, GEMM_F32 (gates * hidden16, 1, hidden);
 * their bias; then optional ones by operator. hidden16: hidden rounded up to 16; each gate has that many outputs, the last ones
 * 0. Gates are in ONNX's order: GRU z r h, LSTM i o f c.
 *
 * A step is cut by panels of 16 units: a thread does all gates of its units, product and activation, so one parallel
 * section is enough (GRU without linear_before_reset needs two: its third product reads all of r * h).
 *
 * Shared scratch, for b of the batch and unit u:
 *   gates[b][gate][u]   h[2][b][u] (old and new)   extra[b][u] (LSTM: cell; GRU: r * h)   = 4 * batch * hidden16 * (gates + 3)
 *
 * Phases are steps; GRU without linear_before_reset has two for each. */
enum {
    PANEL = 16,
    GRAIN = 262144 /* multiply-accumulates of a step worth a thread: a step ends with all threads waiting for each other */
};

enum { RNN = 1, GRU = 3, LSTM = 4 }; /* what an operator is, by its gates */

typedef struct recurrent_plan {
    wisp_matrix m; /* h, or r * h, by the recurrent weights of all gates */
    int64_t steps, batch, hidden, hidden16, gates;
    float clip;
    bool reverse, resets_first; /* resets_first: the third product of GRU reads r * h */
} recurrent_plan;

typedef struct view {
    const recurrent_plan *p;
    int64_t step;
    int part; /* 0, or 1 in the second phase of a step */
    float *gate, *h_old, *h_new, *extra;
} view;

static view see(const wisp_call *call) {
    const recurrent_plan *p = call->plan;
    const int64_t size = p->batch * p->hidden16;
    view v = {.p = p, .step = call->phase, .gate = (float *)(void *)call->shared};
    if (p->resets_first) v.step = call->phase / 2, v.part = call->phase % 2;
    float *h = v.gate + p->gates * size;
    v.h_old = h + (v.step & 1 ? size : 0);
    v.h_new = h + (v.step & 1 ? 0 : size);
    v.extra = h + 2 * size;
    return v;
}

static const float *data_of(const wisp_call *call, uint32_t i) {
    const wisp_tensor *t = wisp_input(call, i);
    return t ? t->data : NULL;
}

/* Steps of sequence b: operand 3, or all. */
static int64_t length_of(const wisp_call *call, const view *v, int64_t b) {
    const wisp_tensor *lengths = wisp_input(call, 3);
    return lengths ? wisp_integer_at(lengths, (uint64_t)b) : v->p->steps;
}

/* Where step `step` of sequence b lies in time; -1: the sequence has ended. */
static int64_t time_of(const wisp_call *call, const view *v, int64_t b) {
    int64_t length = length_of(call, v, b);
    if (v->step >= length) return -1;
    return v->p->reverse ? length - 1 - v->step : v->step;
}

/* Products of `rows` (batch x hidden) with n weights from `first` on, counted over all gates, into v->gate. */
static void multiply(const wisp_call *call, const view *v, uint32_t thread, float *rows, int64_t first, int64_t n) {
    wisp_factors f = {.weights = data_of(call, 1), .columns = data_of(call, 2), .y = v->gate};
    f.x.data = (uint8_t *)rows;
    wisp_matrix_multiply(&v->p->m, &f, wisp_scratch(call, thread), 0, v->p->batch, (int32_t)first, (int32_t)(first + n));
}

/* Gates [gate, gate_end) of the panels [begin, end). */
static void multiply_gates(const wisp_call *call, const view *v, uint32_t thread, float *rows, int64_t gate, int64_t gate_end,
                           int64_t begin, int64_t end) {
    const int64_t hidden16 = v->p->hidden16;
    if (begin == 0 && end * PANEL == hidden16)
        multiply(call, v, thread, rows, gate * hidden16, (gate_end - gate) * hidden16);
    else
        for (; gate < gate_end; gate++) multiply(call, v, thread, rows, gate * hidden16 + begin * PANEL, (end - begin) * PANEL);
}

/* What one panel of units of one sequence reads and writes at one step; gate and x point at its first unit in gate 0, other
 * gates are `stride` apart. Results pass through a local array, so that compilers see no overlap and vectorise. */
typedef struct units {
    const float *gate, *x;
    int64_t stride;
    const float *h_old;
    float *h_new, *extra;
    float clip;
} units;

/* A NaN stays NaN. */
static inline float clip_f32(float x, float clip) {
    x = x > clip ? clip : x;
    return x < -clip ? -clip : x;
}

/* The sum of a gate's two products. */
static inline float sum(const units *u, int gate, int i) {
    return clip_f32(u->x[gate * u->stride + i] + u->gate[gate * u->stride + i], u->clip);
}

/* linear_before_reset: the reset gate scales the third product. */
static void gru_units(const units *u) {
    float h[PANEL];
    for (int i = 0; i < PANEL; i++) {
        float z = sigmoid_f32(sum(u, 0, i)), r = sigmoid_f32(sum(u, 1, i));
        float s = clip_f32(u->x[2 * u->stride + i] + r * u->gate[2 * u->stride + i], u->clip);
        h[i] = tanh_f32(s) * (1 - z) + z * u->h_old[i];
    }
    memcpy(u->h_new, h, sizeof h);
}

static void gru_reset_units(const units *u) {
    float reset[PANEL];
    for (int i = 0; i < PANEL; i++) reset[i] = sigmoid_f32(sum(u, 1, i)) * u->h_old[i];
    memcpy(u->extra, reset, sizeof reset);
}

static void gru_candidate_units(const units *u) {
    float h[PANEL];
    for (int i = 0; i < PANEL; i++) {
        float z = sigmoid_f32(sum(u, 0, i));
        h[i] = tanh_f32(sum(u, 2, i)) * (1 - z) + z * u->h_old[i];
    }
    memcpy(u->h_new, h, sizeof h);
}

/* peep: weights of the cell into i, o, f, or null. */
static void lstm_units(const units *u, const float *peep) {
    float in[PANEL], out[PANEL], forget[PANEL], cell[PANEL], h[PANEL];
    for (int k = 0; k < PANEL; k++) {
        in[k] = u->x[k] + u->gate[k];
        out[k] = u->x[u->stride + k] + u->gate[u->stride + k];
        forget[k] = u->x[2 * u->stride + k] + u->gate[2 * u->stride + k];
    }
    if (peep)
        for (int k = 0; k < PANEL; k++) {
            in[k] += peep[k] * u->extra[k];
            forget[k] += peep[2 * u->stride + k] * u->extra[k];
        }
    for (int k = 0; k < PANEL; k++)
        cell[k] = sigmoid_f32(clip_f32(forget[k], u->clip)) * u->extra[k] + sigmoid_f32(clip_f32(in[k], u->clip)) * tanh_f32(sum(u, 3, k));
    if (peep)
        for (int k = 0; k < PANEL; k++) out[k] += peep[u->stride + k] * cell[k];
    for (int k = 0; k < PANEL; k++) h[k] = sigmoid_f32(clip_f32(out[k], u->clip)) * tanh_f32(cell[k]);
    memcpy(u->extra, cell, sizeof cell);
    memcpy(u->h_new, h, sizeof h);
}

static void rnn_units(const units *u, bool relu) {
    float h[PANEL];
    if (relu)
        for (int i = 0; i < PANEL; i++) h[i] = sum(u, 0, i) < 0 ? 0 : sum(u, 0, i);
    else
        for (int i = 0; i < PANEL; i++) h[i] = tanh_f32(sum(u, 0, i));
    memcpy(u->h_new, h, sizeof h);
}

static void apply_units(const wisp_call *call, const view *v, const units *u, int64_t first) {
    switch (v->p->gates) {
        case GRU:
            if (!v->p->resets_first)
                gru_units(u);
            else if (v->part == 0)
                gru_reset_units(u);
            else
                gru_candidate_units(u);
            break;
        case LSTM: lstm_units(u, wisp_input(call, 6) ? data_of(call, 6) + first : NULL); break;
        default: rnn_units(u, WISP_PARAMS(call, RNN)->relu != 0); break;
    }
}

/* A step ends with this phase. */
static bool ends_step(const view *v) {
    return !v->p->resets_first || v->part == 1;
}

/* The activations of panels [begin, end) for sequence b at `time`, and their copy into the sequence output. */
static void finish_panels(const wisp_call *call, const view *v, int64_t b, int64_t time, int64_t begin, int64_t end) {
    const recurrent_plan *p = v->p;
    const wisp_tensor *y = wisp_output(call, 0);
    for (int64_t first = begin * PANEL; first < end * PANEL; first += PANEL) {
        int64_t at = b * p->hidden16 + first, left = p->hidden - first;
        units u = {.gate = v->gate + b * p->gates * p->hidden16 + first,
                   .x = data_of(call, 0) + (time * p->batch + b) * p->gates * p->hidden16 + first,
                   .stride = p->hidden16,
                   .h_old = v->h_old + at,
                   .h_new = v->h_new + at,
                   .extra = v->extra + at,
                   .clip = p->clip};
        apply_units(call, v, &u, first);
        if (ends_step(v) && y)
            memcpy((float *)y->data + (time * p->batch + b) * p->hidden + first, u.h_new,
                   (size_t)(left < PANEL ? left : PANEL) * sizeof(float));
    }
}

/* Units [first, end) of states, from rows of hidden16 (scratch) to rows of `hidden` (a tensor, or null). */
static void store_state(const recurrent_plan *p, const wisp_tensor *to, const float *from, int64_t first, int64_t end) {
    if (end > p->hidden) end = p->hidden;
    for (int64_t b = 0; to && b < p->batch; b++)
        memcpy((float *)to->data + b * p->hidden + first, from + b * p->hidden16 + first, (size_t)(end - first) * sizeof *from);
}

/* Panels [begin, end) of one phase, for all sequences. */
static void range_step(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const view v = see(call);
    const recurrent_plan *p = v.p;
    if (!p->resets_first)
        multiply_gates(call, &v, thread, v.h_old, 0, p->gates, begin, end);
    else if (v.part == 0)
        multiply_gates(call, &v, thread, v.h_old, 0, 2, begin, end);
    else
        multiply_gates(call, &v, thread, v.extra, 2, 3, begin, end);
    for (int64_t b = 0; b < p->batch; b++) {
        int64_t time = time_of(call, &v, b), at = b * p->hidden16 + begin * PANEL;
        if (time >= 0)
            finish_panels(call, &v, b, time, begin, end);
        else
            memcpy(v.h_new + at, v.h_old + at, (size_t)(end - begin) * PANEL * sizeof(float));
    }
    if (v.step + 1 < p->steps || !ends_step(&v)) return;
    store_state(p, wisp_output(call, 1), v.h_new, begin * PANEL, end * PANEL);
    if (p->gates == LSTM) store_state(p, wisp_output(call, 2), v.extra, begin * PANEL, end * PANEL);
}

static void load_state(const recurrent_plan *p, float *to, const wisp_tensor *from) {
    memset(to, 0, (size_t)(p->batch * p->hidden16) * sizeof *to);
    for (int64_t b = 0; from && b < p->batch; b++)
        memcpy(to + b * p->hidden16, (const float *)from->data + b * p->hidden, (size_t)p->hidden * sizeof *to);
}

static int begin_recurrent(wisp_call *call) {
    const recurrent_plan *p = call->plan;
    const wisp_tensor *y = wisp_output(call, 0), *lengths = wisp_input(call, 3);
    for (uint64_t b = 0; lengths && b < lengths->count; b++) {
        int64_t length = wisp_integer_at(lengths, b);
        if (length < 0 || length > p->steps)
            return wisp_call_fail_value(call, WISP_BAD_INDEX, "a sequence cannot have this length:", length);
    }
    if (lengths && y) memset(y->data, 0, (size_t)y->size); /* steps past the end of a sequence */
    call->phase = 0;
    const view v = see(call);
    load_state(p, v.h_old, wisp_input(call, 4));
    if (p->gates == LSTM) load_state(p, v.extra, wisp_input(call, 5));
    if (p->steps) return WISP_OK;
    store_state(p, wisp_output(call, 1), v.h_old, 0, p->hidden);
    if (p->gates == LSTM) store_state(p, wisp_output(call, 2), v.extra, 0, p->hidden);
    return WISP_OK;
}

/* ---- plan */

static int check_state(wisp_call *call, uint32_t i, int64_t count) {
    const wisp_tensor *t = wisp_input(call, i);
    if (t && (t->dtype != WISP_F32 || t->layout != WISP_LAYOUT_PLAIN || t->count != (uint64_t)count))
        return wisp_call_fail_value(call, WISP_BAD_SHAPE, "wrong dtype or size: input", i);
    return WISP_OK;
}

static int check_weights(wisp_call *call, int64_t gates) {
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1), *bias = wisp_input(call, 2), *lengths = wisp_input(call, 3);
    if (!WISP_FLOAT || x->dtype != WISP_F32 || x->rank != 3 || x->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "products must be f32 with 3 axes");
    if (w->layout != WISP_LAYOUT_GEMM_F32 || w->dtype != WISP_F32 || w->rank != 3 || w->dims[1] != 1 || w->dims[2] < 1 ||
        w->dims[2] > 1 << 24)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "packed recurrent weights are needed");
    int64_t hidden = w->dims[2], hidden16 = (hidden + PANEL - 1) / PANEL * PANEL;
    if (w->dims[0] != gates * hidden16 || x->dims[2] != gates * hidden16)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "products and weights do not fit together");
    if (bias->dtype != WISP_F32 || bias->layout != WISP_LAYOUT_PLAIN || bias->count != (uint64_t)(gates * hidden16))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "the bias does not fit the weights");
    if (lengths && ((lengths->dtype != WISP_S32 && lengths->dtype != WISP_S64) || lengths->layout != WISP_LAYOUT_PLAIN ||
                    lengths->count != (uint64_t)x->dims[1]))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "one integer length is needed for each sequence");
    return WISP_OK;
}

static void plan_product(wisp_call *call, recurrent_plan *p) {
    p->m = (wisp_matrix){.kernel = WISP_KERNEL(call, gemm_f32),
                         .x_stride = p->hidden16 * (int64_t)sizeof(float),
                         .y_stride = p->gates * p->hidden16,
                         .k = (int32_t)p->hidden,
                         .taps = 1,
                         .n = (int32_t)(p->gates * p->hidden16),
                         .group_k = (int32_t)p->hidden,
                         .source = WISP_ROWS_PLAIN,
                         .x_size = sizeof(float),
                         .y_size = sizeof(float),
                         .min = -INFINITY,
                         .max = INFINITY};
}

/* Inputs: 4 the initial h; cell: operand of the initial c, or 0; peep: operand of the peepholes, or 0. */
static int plan_recurrent(wisp_call *call, int64_t gates, int32_t reverse, float clip, uint32_t outputs, uint32_t cell, uint32_t peep) {
    recurrent_plan *p = call->plan;
    int status = wisp_check_operands(call, 3, 5 + (cell > 0) + (peep > 0), outputs);
    if (status || (status = check_weights(call, gates))) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    const int32_t hidden = wisp_input(call, 1)->dims[2], steps = x->dims[0], batch = x->dims[1];
    p->steps = steps, p->batch = batch, p->hidden = hidden, p->hidden16 = ((int64_t)hidden + PANEL - 1) / PANEL * PANEL;
    p->gates = gates, p->reverse = reverse != 0, p->clip = clip > 0 ? clip : INFINITY;
    p->resets_first = gates == GRU && !WISP_PARAMS(call, GRU)->linear_before_reset;
    if ((status = check_state(call, 4, (int64_t)batch * hidden))) return status;
    if (cell && (status = check_state(call, cell, (int64_t)batch * hidden))) return status;
    if (peep && (status = check_state(call, peep, 3 * p->hidden16))) return status;
    plan_product(call, p);
    if (!p->m.kernel) return wisp_call_fail(call, WISP_UNSUPPORTED, "needs a kernel that this build leaves out");
    const uint64_t each = wisp_matrix_set_tiles(&p->m, batch, UINT64_MAX);
    wisp_need_scratch(call, 4 * (uint64_t)batch * (uint64_t)p->hidden16 * (uint64_t)(gates + 3), each);
    call->node->macs = (uint64_t)steps * (uint64_t)batch * (uint64_t)gates * (uint64_t)hidden * (uint64_t)hidden;
    call->node->kernel = p->m.kernel->name;
    const int32_t y[4] = {steps, 1, batch, hidden}, last[3] = {1, batch, hidden};
    if ((status = wisp_set_output(call, 0, WISP_F32, 4, y))) return status;
    for (uint32_t i = 1; i < outputs; i++)
        if ((status = wisp_set_output(call, i, WISP_F32, 3, last))) return status;
    const int64_t work = gates * PANEL * hidden * batch, phases = (int64_t)steps * (p->resets_first ? 2 : 1);
    if (phases > UINT32_MAX) return wisp_call_fail(call, WISP_BAD_SHAPE, "too many steps");
    wisp_set_work(call, batch ? p->hidden16 / PANEL : 0, work >= GRAIN || work == 0 ? 1 : GRAIN / work, (uint32_t)phases);
    return WISP_OK;
}

static int plan_gru(wisp_call *call) {
    const wisp_GRU_params *p = WISP_PARAMS(call, GRU);
    return plan_recurrent(call, GRU, p->reverse, p->clip, 2, 0, 0);
}

static int plan_lstm(wisp_call *call) {
    const wisp_LSTM_params *p = WISP_PARAMS(call, LSTM);
    return plan_recurrent(call, LSTM, p->reverse, p->clip, 3, 5, 6);
}

static int plan_rnn(wisp_call *call) {
    const wisp_RNN_params *p = WISP_PARAMS(call, RNN);
    return plan_recurrent(call, RNN, p->reverse, p->clip, 2, 0, 0);
}

const wisp_operator wisp_op_GRU = {.plan = plan_gru, .begin = begin_recurrent, .range = range_step, .plan_size = sizeof(recurrent_plan)};
const wisp_operator wisp_op_LSTM = {.plan = plan_lstm, .begin = begin_recurrent, .range = range_step, .plan_size = sizeof(recurrent_plan)};
const wisp_operator wisp_op_RNN = {.plan = plan_rnn, .begin = begin_recurrent, .range = range_step, .plan_size = sizeof(recurrent_plan)};
