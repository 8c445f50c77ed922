/* RandomUniform and RandomNormal: element i depends on seed and i alone, whatever the run or the number of threads. Normal numbers go
 * through the C library's logf and cosf: their last bits may differ between machines. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "shape.h"

enum { GRAIN = 4096 /* elements worth a thread */ };

/* 64 bits for a number, as SplitMix64 makes them of its counter (Steele, Lea and Flood, 2014). */
static uint64_t mix(uint64_t n) {
    n *= 0x9e3779b97f4a7c15u;
    n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9u;
    n = (n ^ n >> 27) * 0x94d049bb133111ebu;
    return n ^ n >> 31;
}

/* Draw `i` of a seed: a multiple of 2^-24 in [0, 1). */
static float draw(int32_t seed, int64_t i) {
    return (float)(mix(((uint64_t)(uint32_t)seed << 32) + (uint64_t)i + 1) >> 40) * 0x1p-24f;
}

/* Both operators have the parameters of RandomUniform: low, high; mean, deviation. */
static int plan_random(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status || (status = wisp_wait_for(call, 0, 0))) return status;
    const wisp_tensor *shape = wisp_input(call, 0);
    if (!WISP_FLOAT || !wisp_is_integers(shape)) return wisp_call_fail(call, WISP_UNSUPPORTED, "the shape must be integers");
    if (shape->count > WISP_MAX_RANK) return wisp_call_fail(call, WISP_UNSUPPORTED, "more than 8 axes in the shape");
    for (uint64_t i = 0; i < shape->count; i++) dims[i] = wisp_integer_at(shape, i);
    if ((status = wisp_set_output_wide(call, 0, WISP_F32, (int)shape->count, dims))) return status;
    wisp_set_work(call, (int64_t)wisp_output(call, 0)->count, GRAIN, 1);
    return WISP_OK;
}

static void range_uniform(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_RandomUniform_params *p = WISP_PARAMS(call, RandomUniform);
    float *y = wisp_output(call, 0)->data;
    (void)thread;
    for (int64_t i = begin; i < end; i++) y[i] = p->low + draw(p->seed, i) * (p->high - p->low);
}

/* Box and Muller's transform of two draws. */
static void range_normal(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_RandomNormal_params *p = WISP_PARAMS(call, RandomNormal);
    float *y = wisp_output(call, 0)->data;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float u = 1 - draw(p->seed, 2 * i), v = draw(p->seed, 2 * i + 1); /* u > 0 */
        y[i] = p->mean + p->scale * sqrtf(-2 * logf(u)) * cosf(6.2831853f * v);
    }
}

const wisp_operator wisp_op_RandomUniform = {.plan = plan_random, .range = range_uniform};
const wisp_operator wisp_op_RandomNormal = {.plan = plan_random, .range = range_normal};
