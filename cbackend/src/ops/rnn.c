/* GRU, LSTM and RNN in one direction, f32: the recurrent part; the products of the inputs come from one Gemm before it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "activation_math.h"

/* Operands: products x * W + b (steps, batch, gates * hidden); recurrent weights, GEMM_F32 with the panels of each gate in
 * turn, hidden rounded up to 16 (dims gates * hidden16, 1, hidden); their bias; then optional ones by operator. Gates are in
 * ONNX's order: GRU z r h, LSTM i o f c.
 *
 * A step is cut by panels of 16 units: a thread does all gates of its units, product and activation, so one parallel
 * section is enough (GRU without linear_before_reset needs two: its third product reads all of r * h).
 *
 * Shared state lies in the first thread's scratch, for b of the batch and unit u:
 *   gates[gate][b][u16]   h[2][b][u] (old and new)   extra[b][u] (LSTM: cell; GRU: r * h)   = 4 * batch * (gates * hidden16 + 3 * hidden)
 */
enum { PANEL = 16, GRAIN = 65536 /* multiply-accumulates worth a thread */ };

/* node->state: the first eight from prepare, the others of the run under way. */
enum { STEPS, BATCH, HIDDEN, HIDDEN16, GATES, REVERSE, INITIAL, CELL /* operand numbers of h0 and c0 */, STEP, PHASE };

typedef struct view {
    int64_t steps, batch, hidden, hidden16, gates, step;
    float *gate, *h_old, *h_new, *extra;
} view;

static view see(const wisp_call *call) {
    const int64_t *s = call->node->state;
    view v = {s[STEPS], s[BATCH], s[HIDDEN], s[HIDDEN16], s[GATES], s[STEP], wisp_scratch(call, 0), NULL, NULL, NULL};
    float *h = v.gate + v.gates * v.batch * v.hidden16;
    int64_t size = v.batch * v.hidden;
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
    return lengths ? wisp_integer_at(lengths, (uint64_t)b) : v->steps;
}

/* Where step `step` of sequence b lies in time; -1: the sequence has ended. */
static int64_t time_of(const wisp_call *call, const view *v, int64_t b) {
    int64_t length = length_of(call, v, b);
    if (v->step >= length) return -1;
    return call->node->state[REVERSE] ? length - 1 - v->step : v->step;
}

/* Products of gates [gate, gate_end) with `rows` (batch x hidden) for the panels [begin, end) into v->gate. */
static void multiply(const wisp_call *call, const view *v, const float *rows, int64_t gate, int64_t gate_end, int64_t begin, int64_t end) {
    const float *weights = data_of(call, 1), *bias = data_of(call, 2), *pointers[WISP_MAX_MR];
    int64_t first = begin * PANEL, last = end * PANEL < v->hidden ? end * PANEL : v->hidden, mr = call->kernels->gemm_f32_mr;
    for (; gate < gate_end; gate++)
        for (int64_t b = 0; b < v->batch; b += mr) {
            wisp_gemm_f32 g = {.m = (int32_t)(v->batch - b < mr ? v->batch - b : mr),
                               .n = (int32_t)(last - first),
                               .k = (int32_t)v->hidden,
                               .taps = 1,
                               .rows = pointers,
                               .weights = weights + (gate * v->hidden16 + first) * v->hidden,
                               .bias = bias + gate * v->hidden16 + first,
                               .out = v->gate + (gate * v->batch + b) * v->hidden16 + first,
                               .out_stride = (ptrdiff_t)v->hidden16,
                               .lo = -INFINITY,
                               .hi = INFINITY};
            for (int i = 0; i < g.m; i++) pointers[i] = rows + (b + i) * v->hidden;
            call->kernels->gemm_f32(&g);
        }
}

/* What the units [0, n) of one sequence at one step read and write; gate and x point at unit 0 of gate 0. */
typedef struct units {
    const float *gate, *x;
    int64_t gate_stride, x_stride; /* elements between gates */
    const float *h_old;
    float *h_new, *extra;
    int64_t n;
    float clip;
} units;

/* The sum of a gate's two products, clipped. A NaN stays NaN. */
static inline float sum(const units *u, int gate, int64_t i) {
    float s = u->x[gate * u->x_stride + i] + u->gate[gate * u->gate_stride + i];
    s = s > u->clip ? u->clip : s;
    return s < -u->clip ? -u->clip : s;
}

static void gru_units(const units *u, float *restrict h_new) {
    for (int64_t i = 0; i < u->n; i++) { /* linear_before_reset: the reset gate scales the third product */
        float z = sigmoid_f32(sum(u, 0, i)), r = sigmoid_f32(sum(u, 1, i));
        float s = u->x[2 * u->x_stride + i] + r * u->gate[2 * u->gate_stride + i];
        s = s > u->clip ? u->clip : s;
        s = s < -u->clip ? -u->clip : s;
        h_new[i] = tanh_f32(s) * (1 - z) + z * u->h_old[i];
    }
}

static void gru_reset_units(const units *u, float *restrict extra) {
    for (int64_t i = 0; i < u->n; i++) extra[i] = sigmoid_f32(sum(u, 1, i)) * u->h_old[i];
}

static void gru_candidate_units(const units *u, float *restrict h_new) {
    for (int64_t i = 0; i < u->n; i++) {
        float z = sigmoid_f32(sum(u, 0, i));
        h_new[i] = tanh_f32(sum(u, 2, i)) * (1 - z) + z * u->h_old[i];
    }
}

static inline float clip_f32(float x, float clip) {
    x = x > clip ? clip : x;
    return x < -clip ? -clip : x;
}

/* peep: weights of the cell into i, o, f (`stride` apart), or null. */
static void lstm_units(const units *u, float *restrict h_new, float *restrict cell, const float *peep, int64_t stride) {
    static const float none[1] = {0};
    int64_t step = peep ? 1 : 0;
    if (!peep) peep = none, stride = 0;
    for (int64_t k = 0; k < u->n; k++) {
        float c = cell[k];
        float i = sigmoid_f32(clip_f32(u->x[k] + u->gate[k] + peep[k * step] * c, u->clip));
        float f =
            sigmoid_f32(clip_f32(u->x[2 * u->x_stride + k] + u->gate[2 * u->gate_stride + k] + peep[2 * stride + k * step] * c, u->clip));
        c = f * c + i * tanh_f32(sum(u, 3, k));
        float o = sigmoid_f32(clip_f32(u->x[u->x_stride + k] + u->gate[u->gate_stride + k] + peep[stride + k * step] * c, u->clip));
        cell[k] = c;
        h_new[k] = o * tanh_f32(c);
    }
}

static void rnn_units(const units *u, float *restrict h_new, bool relu) {
    if (relu)
        for (int64_t i = 0; i < u->n; i++) {
            float s = sum(u, 0, i);
            h_new[i] = s < 0 ? 0 : s;
        }
    else
        for (int64_t i = 0; i < u->n; i++) h_new[i] = tanh_f32(sum(u, 0, i));
}

static void apply_units(const wisp_call *call, const units *u, int64_t first, int64_t hidden) {
    const float *peep;
    switch (call->node->code) {
        case OP_GRU:
            if (WISP_PARAMS(call, GRU)->linear_before_reset)
                gru_units(u, u->h_new);
            else if (call->node->state[PHASE] == 0)
                gru_reset_units(u, u->extra);
            else
                gru_candidate_units(u, u->h_new);
            break;
        case OP_LSTM:
            peep = data_of(call, 6);
            lstm_units(u, u->h_new, u->extra, peep ? peep + first : NULL, hidden);
            break;
        default: rnn_units(u, u->h_new, WISP_PARAMS(call, RNN)->relu != 0); break;
    }
}

/* Panels [begin, end) of one step: products, activations, and the sequence output where this finishes the step. */
static void step_panels(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    const int64_t *state = call->node->state;
    view v = see(call);
    bool reset_first = call->node->code == OP_GRU && !WISP_PARAMS(call, GRU)->linear_before_reset, ends = !reset_first || state[PHASE] == 1;
    const wisp_tensor *y = wisp_output(call, 0);
    int64_t first = begin * PANEL, n = (end * PANEL < v.hidden ? end * PANEL : v.hidden) - first;
    float clip;
    memcpy(&clip, (const int32_t *)call->node->params + (call->node->code == OP_LSTM ? 1 : 2), sizeof clip);
    if (!reset_first)
        multiply(call, &v, v.h_old, 0, v.gates, begin, end);
    else if (state[PHASE] == 0)
        multiply(call, &v, v.h_old, 0, 2, begin, end);
    else
        multiply(call, &v, v.extra, 2, 3, begin, end);
    for (int64_t b = 0; b < v.batch; b++) {
        int64_t time = time_of(call, &v, b), at = b * v.hidden + first;
        if (time < 0) {
            memcpy(v.h_new + at, v.h_old + at, (size_t)n * sizeof(float));
            continue;
        }
        units u = {.gate = v.gate + b * v.hidden16 + first,
                   .x = data_of(call, 0) + (time * v.batch + b) * v.gates * v.hidden + first,
                   .gate_stride = v.batch * v.hidden16,
                   .x_stride = v.hidden,
                   .h_old = v.h_old + at,
                   .h_new = v.h_new + at,
                   .extra = v.extra + at,
                   .n = n,
                   .clip = clip > 0 ? clip : INFINITY};
        apply_units(call, &u, first, v.hidden);
        if (ends && y) memcpy((float *)y->data + (time * v.batch + b) * v.hidden + first, u.h_new, (size_t)n * sizeof(float));
    }
}

static void load_state(float *to, const float *from, int64_t count) {
    if (from)
        memcpy(to, from, (size_t)count * sizeof *to);
    else
        memset(to, 0, (size_t)count * sizeof *to);
}

static int start_run(wisp_call *call) {
    int64_t *state = call->node->state;
    const wisp_tensor *y = wisp_output(call, 0), *lengths = wisp_input(call, 3);
    for (uint64_t b = 0; lengths && b < lengths->count; b++) {
        int64_t length = wisp_integer_at(lengths, b);
        if (length < 0 || length > state[STEPS])
            return wisp_call_fail_value(call, WISP_BAD_INDEX, "a sequence cannot have this length:", length);
    }
    if (lengths && y) memset(y->data, 0, (size_t)y->size); /* steps past the end of a sequence */
    state[STEP] = state[PHASE] = 0;
    view v = see(call);
    load_state(v.h_old, data_of(call, (uint32_t)state[INITIAL]), v.batch * v.hidden);
    if (state[CELL]) load_state(v.extra, data_of(call, (uint32_t)state[CELL]), v.batch * v.hidden);
    return WISP_OK;
}

static int run_steps(wisp_call *call) {
    int64_t *state = call->node->state;
    int status = start_run(call);
    if (status) return status;
    int64_t panels = state[HIDDEN16] / PANEL, work = state[GATES] * PANEL * state[HIDDEN] * state[BATCH];
    int64_t grain = work >= GRAIN || work == 0 ? 1 : GRAIN / work;
    bool reset_first = call->node->code == OP_GRU && !WISP_PARAMS(call, GRU)->linear_before_reset;
    for (state[STEP] = 0; state[STEP] < state[STEPS] && state[BATCH]; state[STEP]++)
        for (state[PHASE] = 0; state[PHASE] <= reset_first; state[PHASE]++) wisp_parallel(call, panels, grain, step_panels);
    const wisp_tensor *last = wisp_output(call, 1), *cell = wisp_output(call, 2);
    view v = see(call); /* after the last step, new has become old */
    if (last) memcpy(last->data, v.h_old, (size_t)last->size);
    if (cell) memcpy(cell->data, v.extra, (size_t)cell->size);
    return WISP_OK;
}

/* ---- prepare */

static int check_state(wisp_call *call, uint32_t i, int64_t count) {
    const wisp_tensor *t = wisp_input(call, i);
    if (t && (t->dtype != WISP_F32 || t->layout != WISP_LAYOUT_PLAIN || t->count != (uint64_t)count))
        return wisp_call_fail_value(call, WISP_BAD_SHAPE, "wrong dtype or size: input", i);
    return WISP_OK;
}

static int check_weights(wisp_call *call, int64_t gates) {
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1), *bias = wisp_input(call, 2), *lengths = wisp_input(call, 3);
    if (x->dtype != WISP_F32 || x->rank != 3 || x->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "products must be f32 with 3 axes");
    if (w->layout != WISP_LAYOUT_GEMM_F32 || w->dtype != WISP_F32 || w->rank != 3 || w->dims[1] != 1 || w->dims[2] < 1 ||
        w->dims[2] > 1 << 24)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "packed recurrent weights are needed");
    int64_t hidden = w->dims[2], hidden16 = (hidden + PANEL - 1) / PANEL * PANEL;
    if (w->dims[0] != gates * hidden16 || x->dims[2] != gates * hidden)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "products and weights do not fit together");
    if (bias->dtype != WISP_F32 || bias->layout != WISP_LAYOUT_PLAIN || bias->count != (uint64_t)(gates * hidden16))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "the bias does not fit the weights");
    if (lengths && ((lengths->dtype != WISP_S32 && lengths->dtype != WISP_S64) || lengths->layout != WISP_LAYOUT_PLAIN ||
                    lengths->count != (uint64_t)x->dims[1]))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "one integer length is needed for each sequence");
    return WISP_OK;
}

/* Inputs: 4 the initial h; cell: operand of the initial c, or 0; peep: operand of the peepholes, or 0. */
static int prepare_recurrent(wisp_call *call, int64_t gates, int32_t reverse, uint32_t outputs, uint32_t cell, uint32_t peep) {
    int64_t *state = call->node->state;
    int status = wisp_check_operands(call, 3, 5 + (cell > 0) + (peep > 0), outputs);
    if (status || (status = check_weights(call, gates))) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    int32_t hidden = wisp_input(call, 1)->dims[2], steps = x->dims[0], batch = x->dims[1];
    if ((status = check_state(call, 4, (int64_t)batch * hidden))) return status;
    if (cell && (status = check_state(call, cell, (int64_t)batch * hidden))) return status;
    if (peep && (status = check_state(call, peep, 3 * (int64_t)hidden))) return status;
    state[STEPS] = steps, state[BATCH] = batch, state[HIDDEN] = hidden, state[HIDDEN16] = (hidden + PANEL - 1) / PANEL * PANEL;
    state[GATES] = gates, state[REVERSE] = reverse != 0, state[INITIAL] = 4, state[CELL] = cell;
    call->node->scratch_size = 4 * (uint64_t)batch * (uint64_t)(gates * state[HIDDEN16] + 3 * hidden);
    call->node->macs = (uint64_t)steps * (uint64_t)batch * (uint64_t)gates * (uint64_t)hidden * (uint64_t)hidden;
    call->node->kernel = call->kernels->gemm_f32_name;
    call->node->run = run_steps;
    const int32_t y[4] = {steps, 1, batch, hidden}, last[3] = {1, batch, hidden};
    if ((status = wisp_set_output(call, 0, WISP_F32, 4, y))) return status;
    for (uint32_t i = 1; i < outputs; i++)
        if ((status = wisp_set_output(call, i, WISP_F32, 3, last))) return status;
    return WISP_OK;
}

int wisp_prepare_GRU(wisp_call *call) {
    return prepare_recurrent(call, 3, WISP_PARAMS(call, GRU)->reverse, 2, 0, 0);
}

int wisp_prepare_LSTM(wisp_call *call) {
    return prepare_recurrent(call, 4, WISP_PARAMS(call, LSTM)->reverse, 3, 5, 6);
}

int wisp_prepare_RNN(wisp_call *call) {
    return prepare_recurrent(call, 1, WISP_PARAMS(call, RNN)->reverse, 2, 0, 0);
}
