/* ConvTranspose on NHWC and NDHWC: for each phase of the outputs a convolution in the matrix loop. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "matrix.h"

_Static_assert(offsetof(wisp_ConvTranspose_params, same) == offsetof(window_params, same), "the words of a window come first");

/* Output o of an axis, at q = o + pad = stride * j + phase, is made of input j - t for each tap k with dilation * k = stride * t + phase:
 * k = first + n * step, t = (dilation * first - phase) / stride + n * dilation / gcd. Read with t falling that is a window of
 * stride 1. Phases without taps get one, of zeros. */
typedef struct phase_axis {
    int32_t count, dilation;  /* of the window */
    int32_t first, step;      /* of k */
    int32_t from, outputs;    /* the first output of the phase, and how many there are */
    int64_t before;           /* pad of the window */
    int32_t taps_before, all; /* taps of the phases before this one, of all phases */
} phase_axis;

typedef struct transpose_plan {
    wisp_window window;         /* of the inputs; out: extents of y */
    wisp_matrix m;              /* but for what differs between phases */
    int32_t gcd[3], inverse[3]; /* of stride and dilation; of dilation / gcd modulo stride / gcd */
    int32_t taps[3];            /* of all phases */
    int32_t groups, panels;     /* panels of a group */
    int32_t phases;
    int64_t lines; /* items of a phase: lines of outputs, the most any has */
    bool packs;
} transpose_plan;

/* False where the compiler knows: a build without f32 is without this. */
static bool packs(const transpose_plan *p) {
    return WISP_FLOAT && p->packs;
}

/* ---- phases */

static int32_t greatest_divisor(int32_t a, int32_t b) {
    while (b) {
        const int32_t rest = a % b;
        a = b, b = rest;
    }
    return a;
}

/* The first tap of a phase: k * dilation = phase modulo stride, both divided by their gcd; kernel or more: there is none. */
static int32_t first_tap(const transpose_plan *p, int axis, int32_t phase) {
    const int32_t period = p->window.stride[axis] / p->gcd[axis];
    if (phase % p->gcd[axis]) return INT32_MAX;
    return (int32_t)((int64_t)(phase / p->gcd[axis]) * p->inverse[axis] % period);
}

static int32_t taps_of(const transpose_plan *p, int axis, int32_t first) {
    const int32_t kernel = p->window.kernel[axis];
    return first < kernel ? (kernel - 1 - first) / (p->window.stride[axis] / p->gcd[axis]) + 1 : 1;
}

static phase_axis find_phase(const transpose_plan *p, int axis, int32_t phase) {
    const wisp_window *w = &p->window;
    const int64_t stride = w->stride[axis];
    phase_axis a = {.step = (int32_t)(stride / p->gcd[axis]), .dilation = w->dilation[axis] / p->gcd[axis], .all = p->taps[axis]};
    for (int32_t i = 0; i < phase; i++) a.taps_before += taps_of(p, axis, first_tap(p, axis, i));
    a.first = first_tap(p, axis, phase);
    a.count = taps_of(p, axis, a.first);
    const int64_t from = (phase - w->before[axis]) % stride;
    a.from = (int32_t)(from < 0 ? from + stride : from);
    a.outputs = a.from < w->out[axis] ? (int32_t)((w->out[axis] - 1 - a.from) / stride) + 1 : 0;
    const int64_t j = (a.from + (int64_t)w->before[axis]) / stride;
    const int64_t t = a.first < w->kernel[axis] ? ((int64_t)w->dilation[axis] * a.first - phase) / stride : 0;
    a.before = t + (int64_t)a.dilation * (a.count - 1) - j;
    return a;
}

/* Tap n of the window of a phase, or -1 where it is one of zeros. */
static int32_t tap_at(const wisp_window *w, int axis, const phase_axis *a, int32_t n) {
    return a->first < w->kernel[axis] ? a->first + (a->count - 1 - n) * a->step : -1;
}

typedef struct phase {
    phase_axis axes[3];
    int64_t taps_before; /* of the phases before this one */
    int32_t taps;
} phase;

static phase phase_at(const transpose_plan *p, int32_t index) {
    const int32_t *stride = p->window.stride;
    const int32_t at[3] = {index / stride[2] / stride[1], index / stride[2] % stride[1], index % stride[2]};
    phase f = {.taps = 1};
    for (int i = 0; i < 3; i++) f.axes[i] = find_phase(p, i, at[i]), f.taps *= f.axes[i].count;
    const phase_axis *d = &f.axes[0], *h = &f.axes[1], *w = &f.axes[2];
    f.taps_before = (int64_t)d->taps_before * h->all * w->all +
                    (int64_t)d->count * ((int64_t)h->taps_before * w->all + (int64_t)h->count * w->taps_before);
    return f;
}

/* The product of one phase. False: it has no outputs. */
static bool set_phase(const transpose_plan *p, const phase *f, wisp_matrix *m) {
    const wisp_window *w = &p->window;
    *m = p->m;
    m->window = *w;
    m->taps = f->taps;
    for (int i = 0; i < 3; i++) {
        const phase_axis *a = &f->axes[i];
        m->window.out[i] = a->outputs, m->window.kernel[i] = a->count, m->window.dilation[i] = a->dilation;
        m->window.stride[i] = 1, m->window.before[i] = (int32_t)a->before;
    }
    const int64_t row = (int64_t)w->out_w * m->n * p->groups;
    m->y_stride = (int64_t)w->stride_w * m->n * p->groups;
    m->lines = (wisp_lines){f->axes[2].outputs, f->axes[1].outputs,           f->axes[0].outputs,
                            w->stride_h * row,  w->stride_d * w->out_h * row, (int64_t)w->out_d * w->out_h * row};
    return f->axes[0].outputs && f->axes[1].outputs && f->axes[2].outputs;
}

/* ---- plan */

static int64_t panel_count(const transpose_plan *p) {
    return (int64_t)p->groups * p->panels;
}

static int64_t all_taps(const transpose_plan *p) {
    return (int64_t)p->taps[0] * p->taps[1] * p->taps[2];
}

static int plan_extents(wisp_call *call, wisp_window *w) {
    const wisp_ConvTranspose_params *p = WISP_PARAMS(call, ConvTranspose);
    const int32_t more[3] = {p->output_padding_d, p->output_padding_h, p->output_padding_w};
    const int first = wisp_input(call, 0)->rank == 5 ? 0 : 1;
    int status = wisp_window_read(call, w, false);
    if (!status && p->output_shape.count && (int)p->output_shape.count != 3 - first)
        return wisp_call_fail(call, WISP_BAD_FILE, "output_shape needs an extent for each axis of the image");
    w->out_d = 1;
    for (int i = first; i < 3 && !status; i++) {
        if (more[i] < 0 || more[i] > 1 << 20) return wisp_call_fail(call, WISP_BAD_FILE, "output_padding out of range");
        const int64_t whole = (int64_t)w->stride[i] * (w->in[i] - 1) + more[i] + (int64_t)w->dilation[i] * (w->kernel[i] - 1) + 1;
        int64_t out = whole - w->before[i] - w->after[i];
        if (p->output_shape.count || p->same) {
            out = p->output_shape.count ? wisp_ints_of(call, p->output_shape)[i - first] : (int64_t)w->in[i] * w->stride[i];
            const int64_t pads = whole > out ? whole - out : 0;
            if (pads > INT32_MAX) return wisp_call_fail(call, WISP_BAD_SHAPE, "padding out of range");
            w->before[i] = (int32_t)(p->same == 1 ? pads / 2 : pads - pads / 2);
        }
        if (out < 0 || out > INT32_MAX) return wisp_call_fail(call, WISP_BAD_SHAPE, "no output has these extents");
        w->out[i] = (int32_t)out;
    }
    return status;
}

/* Taps of all phases, which are few enough to be listed. */
static int count_taps(wisp_call *call, transpose_plan *p) {
    const wisp_window *w = &p->window;
    int64_t phases = 1, taps = 1;
    for (int i = 0; i < 3; i++) {
        enum { LIMIT = 4096 };
        if (w->stride[i] > LIMIT || (phases *= w->stride[i]) > LIMIT || (int64_t)w->kernel[i] * w->dilation[i] > 1 << 30)
            return wisp_call_fail(call, WISP_UNSUPPORTED, "strides or kernel too large");
        p->gcd[i] = greatest_divisor(w->stride[i], w->dilation[i]);
        const int32_t period = w->stride[i] / p->gcd[i];
        while ((int64_t)p->inverse[i] * (w->dilation[i] / p->gcd[i]) % period != 1 % period) p->inverse[i]++;
        for (int32_t f = 0; f < w->stride[i]; f++) p->taps[i] += taps_of(p, i, first_tap(p, i, f));
        taps *= p->taps[i];
        if (taps > INT32_MAX) return wisp_call_fail(call, WISP_UNSUPPORTED, "strides or kernel too large");
    }
    p->phases = (int32_t)phases;
    return WISP_OK;
}

static int check_weights(wisp_call *call, const transpose_plan *p) {
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1), *bias = wisp_input(call, 2);
    const wisp_matrix *m = &p->m;
    const int64_t n = (int64_t)p->groups * m->n, taps = (int64_t)window_taps(&p->window);
    if (packs(p)) {
        if (!WISP_FLOAT || x->dtype != WISP_F32 || w->dtype != WISP_F32)
            return wisp_call_fail(call, WISP_UNSUPPORTED, "weights of a run must be f32, as x");
        if (w->dims[0] != n || w->dims[w->rank - 1] != m->group_k || (int64_t)wisp_extent(w->dims, 1, w->rank - 1) != taps)
            return wisp_call_fail(call, WISP_BAD_SHAPE, "weights do not fit input, kernel or groups");
        if (bias && (bias->dtype != WISP_F32 || bias->layout != WISP_LAYOUT_PLAIN || (int64_t)bias->count != n))
            return wisp_call_fail(call, WISP_BAD_SHAPE, "needs a f32 bias for each output channel");
        return WISP_OK;
    }
    if (w->layout != (wisp_is_s8(x) ? WISP_LAYOUT_GEMM_S8 : WISP_LAYOUT_GEMM_F32) || w->kind != WISP_KIND_CONSTANT ||
        w->dims[0] != 16 * panel_count(p) || w->dims[1] != all_taps(p) || w->dims[2] != m->group_k)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "weights do not fit input, kernel or groups");
    return wisp_check_columns(call, 16 * panel_count(p) * (wisp_is_s8(x) ? p->phases : 1));
}

static int plan_matrix(wisp_call *call, transpose_plan *p) {
    const wisp_ConvTranspose_params *params = WISP_PARAMS(call, ConvTranspose);
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1), *y = wisp_output(call, 0);
    const bool s8 = wisp_is_s8(x);
    wisp_matrix *m = &p->m;
    uint64_t scratch = 0;
    uint64_t macs = 0;
    if (s8)
        m->lo = params->lo, m->hi = params->hi;
    else
        m->min = params->min, m->max = params->max;
    int status = s8 ? wisp_check_clamp(call, m->lo, m->hi) : WISP_OK;
    if (status) return status;
    m->kernel = s8 ? WISP_KERNEL(call, gemm_s8) : WISP_KERNEL(call, gemm_f32);
    if (!m->kernel) return wisp_call_fail(call, WISP_UNSUPPORTED, "needs a kernel that this build leaves out");
    m->source = WISP_ROWS_TAPS;
    m->k = m->group_k;
    m->x_size = m->y_size = s8 ? 1 : 4;
    m->any_left_shift = s8 && wisp_input(call, 2)->flags & WISP_TENSOR_SHIFTS_LEFT;
    m->full_range = (w->flags & WISP_TENSOR_FULL_RANGE) != 0;
    for (int32_t i = 0; i < p->phases; i++) {
        wisp_matrix one;
        const phase f = phase_at(p, i);
        const bool some = set_phase(p, &f, &one);
        const uint64_t need = wisp_matrix_set_tiles(&one, 1, UINT64_MAX);
        const int64_t lines = some ? window_lines(&one.window) : 0;
        if (need > scratch) scratch = need;
        if (lines > p->lines) p->lines = lines;
        macs += (uint64_t)lines * (uint64_t)one.window.out_w * (uint64_t)f.taps;
    }
    m->taps = (int32_t)all_taps(p);
    const int64_t shared = packs(p) ? panel_count(p) * (wisp_panel_size(m) + wisp_column_block_size(m)) : 0;
    call->node->macs = macs * (uint64_t)p->groups * (uint64_t)m->n * (uint64_t)m->k;
    call->node->kernel = m->kernel->name;
    wisp_need_scratch(call, (uint64_t)shared, scratch);
    const int64_t products = p->phases * p->lines, items = packs(p) && panel_count(p) > products ? panel_count(p) : products;
    if (y->count) wisp_set_work(call, items, 1 + 100 * 1000 / ((int64_t)(call->node->macs / (uint64_t)items) + 1), packs(p) ? 2 : 1);
    return WISP_OK;
}

static int plan_transpose(wisp_call *call) {
    transpose_plan *p = call->plan;
    int status = wisp_check_operands(call, 2, 3, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1), *y = wisp_output(call, 0);
    if (!wisp_has_kernels(x)) return wisp_call_fail(call, WISP_UNSUPPORTED, "dtype of x must be f32 (in a build with WISP_FLOAT) or s8");
    if ((status = plan_extents(call, &p->window)) || (status = count_taps(call, p))) return status;
    p->packs = WISP_FLOAT && w->layout == WISP_LAYOUT_PLAIN;
    if (y->rank != x->rank || w->rank < 3) return wisp_call_fail(call, WISP_BAD_SHAPE, "ranks of x, weights and y do not fit");
    const int32_t channels = packs(p) ? w->dims[0] : y->dims[y->rank - 1], groups = WISP_PARAMS(call, ConvTranspose)->group;
    if (groups < 1 || p->window.channels < 1 || p->window.channels % groups || channels < 1 || channels % groups ||
        channels > INT32_MAX - 16)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "groups do not divide the channels");
    p->groups = groups;
    p->m.n = channels / groups, p->m.group_k = p->window.channels / groups;
    p->panels = (p->m.n + 15) / 16;
    if ((status = check_weights(call, p)) || (status = wisp_window_output(call, &p->window, channels))) return status;
    return plan_matrix(call, p);
}

/* ---- range */

/* Bytes of the panels of all phases before the one with so many taps before it, and the same of one phase. */
static int64_t panels_size(const transpose_plan *p, int64_t taps) {
    return panel_count(p) * taps * (p->m.x_size == 1 ? 16 * (int64_t)((p->m.k + 3) & ~3) : 64 * (int64_t)p->m.k);
}

static float *shared_bias(const wisp_call *call, const transpose_plan *p, int64_t panel) {
    return (float *)(void *)(call->shared + panels_size(p, all_taps(p)) + panel * wisp_column_block_size(&p->m));
}

/* Panel i of the weights of all groups, in all phases. */
static void pack_panel(const wisp_call *call, const transpose_plan *p, int64_t i) {
    const wisp_window *w = &p->window;
    const wisp_matrix *m = &p->m;
    const int64_t first = i % p->panels * 16, column = i / p->panels * m->n + first, row = (int64_t)window_taps(w) * m->k;
    const int32_t width = m->n - first < 16 ? (int32_t)(m->n - first) : 16;
    const float *from = (const float *)wisp_input(call, 1)->data + column * row;
    for (int32_t index = 0; index < p->phases; index++) {
        const phase f = phase_at(p, index);
        const phase_axis *d = &f.axes[0], *h = &f.axes[1], *v = &f.axes[2];
        float *panel = (float *)(void *)(call->shared + panels_size(p, f.taps_before)) + i * f.taps * m->k * 16;
        for (int32_t t = 0; t < f.taps; t++, panel += (int64_t)m->k * 16) {
            const int32_t kz = tap_at(w, 0, d, t / v->count / h->count), ky = tap_at(w, 1, h, t / v->count % h->count);
            const int32_t kx = tap_at(w, 2, v, t % v->count);
            const bool zeros = kz < 0 || ky < 0 || kx < 0;
            const int64_t tap = zeros ? 0 : ((int64_t)kz * w->kernel_h + ky) * w->kernel_w + kx;
            wisp_pack_tap(from + tap * m->k, row, zeros ? 0 : width, m->k, panel);
        }
    }
    wisp_pack_bias(wisp_input(call, 2), column, width, shared_bias(call, p, i));
}

/* Lines [line, line_end) of a phase, for all groups. */
static void multiply_phase(const wisp_call *call, const transpose_plan *p, uint32_t thread, int32_t index, int64_t line, int64_t line_end) {
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1), *c = wisp_input(call, 2), *y = wisp_output(call, 0);
    const phase f = phase_at(p, index);
    wisp_matrix m;
    if (!set_phase(p, &f, &m)) return;
    const int64_t lines = window_lines(&m.window), channels = (int64_t)m.n * p->groups;
    if (line_end > lines) line_end = lines;
    if (line >= line_end) return;
    wisp_matrix_set_tiles(&m, 1, UINT64_MAX);
    const int64_t at = ((int64_t)f.axes[0].from * p->window.out_h + f.axes[1].from) * p->window.out_w + f.axes[2].from;
    const uint8_t *weights = (packs(p) ? call->shared : (const uint8_t *)w->data) + panels_size(p, f.taps_before);
    const uint8_t *columns = packs(p) ? (const uint8_t *)shared_bias(call, p, 0) : c->data;
    if (m.x_size == 1) columns += index * panel_count(p) * wisp_column_block_size(&m);
    for (int64_t g = 0; g < p->groups; g++) {
        wisp_factors factors = {
            .x = image_of(x), .x_end = (const uint8_t *)x->data + x->size, .outside = m.x_size == 1 ? x->zero_point : 0};
        factors.x.data += g * m.group_k * m.x_size;
        factors.weights = weights + g * p->panels * wisp_panel_size(&m);
        factors.columns = columns + g * p->panels * wisp_column_block_size(&m);
        factors.y = (uint8_t *)y->data + (at * channels + g * m.n) * m.y_size;
        wisp_matrix_multiply(&m, &factors, wisp_scratch(call, thread), line * m.window.out_w, line_end * m.window.out_w, 0, m.n);
    }
}

static void range_transpose(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const transpose_plan *p = call->plan;
    if (packs(p) && call->phase == 0) {
        for (int64_t i = begin; i < end && i < panel_count(p); i++) pack_panel(call, p, i);
        return;
    }
    for (const int64_t all = p->phases * p->lines; begin < end && begin < all;) {
        const int64_t index = begin / p->lines, next = (index + 1) * p->lines < end ? (index + 1) * p->lines : end;
        multiply_phase(call, p, thread, (int32_t)index, begin - index * p->lines, next - index * p->lines);
        begin = next;
    }
}

const wisp_operator wisp_op_ConvTranspose = {
    .check = wisp_check_channels, .plan = plan_transpose, .range = range_transpose, .plan_size = sizeof(transpose_plan)};
