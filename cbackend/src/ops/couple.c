/* CouplePairs: probabilities of classes from those of each class against each other, by Wu, Lin and Weng's second method (2004). */
/* SPDX-License-Identifier: Apache-2.0 */
#include "../op.h"

typedef struct couple_plan {
    int64_t pairs;
} couple_plan;

static int plan_couple(wisp_call *call) {
    const int64_t classes = WISP_PARAMS(call, CouplePairs)->classes;
    const int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    if (classes < 2 || classes > 0xffff) return wisp_call_fail(call, WISP_BAD_FILE, "bad parameters");
    const wisp_tensor *x = wisp_input(call, 0);
    if (!WISP_FLOAT || x->dtype != WISP_F32 || x->layout != WISP_LAYOUT_PLAIN) return wisp_call_fail(call, WISP_UNSUPPORTED, "takes f32");
    couple_plan *p = call->plan;
    p->pairs = classes * (classes - 1) / 2;
    if (x->rank != 2 || x->dims[1] != p->pairs)
        return wisp_call_fail_value(call, WISP_BAD_SHAPE, "rows must have a probability for each two classes:", p->pairs);
    const int32_t dims[2] = {x->dims[0], (int32_t)classes};
    wisp_need_scratch(call, 0, (uint64_t)classes * sizeof(float));
    wisp_set_work(call, x->dims[0], 1, 1);
    return wisp_set_output(call, 0, WISP_F32, 2, dims);
}

/* How probable class i is against class j != i. pairs: (0, 1), (0, 2), ... (1, 2), ... the first against the second. */
static float against(const float *pairs, int64_t classes, int64_t i, int64_t j) {
    const int64_t a = i < j ? i : j, b = i < j ? j : i;
    const float value = pairs[a * (2 * classes - a - 1) / 2 + b - a - 1];
    return i < j ? value : 1 - value;
}

/* Element t, j of the symmetric matrix Q: the solution minimizes p Q p where the sum of p is 1. */
static float element(const float *pairs, int64_t classes, int64_t t, int64_t j) {
    if (t != j) return -against(pairs, classes, j, t) * against(pairs, classes, t, j);
    float sum = 0;
    for (int64_t i = 0; i < classes; i++) {
        const float other = i == t ? 0 : against(pairs, classes, i, t);
        sum += other * other;
    }
    return sum;
}

/* One round of the iteration, over all classes in turn; q: room for `classes` floats. Whether p was no solution yet. */
static bool improve(const float *pairs, int64_t classes, float *p, float *q) {
    float whole = 0, error = 0; /* p Q p, and how far Q p is from it */
    for (int64_t t = 0; t < classes; t++) {
        q[t] = 0;
        for (int64_t j = 0; j < classes; j++) q[t] += element(pairs, classes, t, j) * p[j];
        whole += p[t] * q[t];
    }
    for (int64_t t = 0; t < classes; t++) {
        const float difference = q[t] > whole ? q[t] - whole : whole - q[t];
        if (difference > error) error = difference;
    }
    if (error < 0.005f / (float)classes) return false; /* as LIBSVM, whose results are what people expect */
    for (int64_t t = 0; t < classes; t++) {
        const float own = element(pairs, classes, t, t), step = (whole - q[t]) / own;
        p[t] += step;
        whole = (whole + step * (step * own + 2 * q[t])) / (1 + step) / (1 + step);
        for (int64_t j = 0; j < classes; j++) {
            q[j] = (q[j] + step * element(pairs, classes, t, j)) / (1 + step);
            p[j] /= 1 + step;
        }
    }
    return true;
}

static void range_couple(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const int64_t classes = WISP_PARAMS(call, CouplePairs)->classes, pairs = ((const couple_plan *)call->plan)->pairs;
    for (int64_t i = begin; i < end; i++) {
        const float *x = (const float *)wisp_input(call, 0)->data + i * pairs;
        float *y = (float *)wisp_output(call, 0)->data + i * classes;
        for (int64_t j = 0; j < classes; j++) y[j] = 1 / (float)classes;
        for (int64_t round = 0; round < (classes > 100 ? classes : 100); round++)
            if (!improve(x, classes, y, wisp_scratch(call, thread))) break;
    }
}

const wisp_operator wisp_op_CouplePairs = {.plan = plan_couple, .range = range_couple, .plan_size = sizeof(couple_plan)};
