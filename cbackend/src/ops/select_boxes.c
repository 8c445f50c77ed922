/* NonMaxSuppression: of boxes that overlap, the one with the best score. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "select.h"

typedef struct nms_plan {
    int64_t batches, classes, boxes;
} nms_plan;

/* Options of the run at hand: one element of an input, or a default. */
static float float_option(const wisp_call *call, uint32_t i, float otherwise) {
    const wisp_tensor *t = wisp_input(call, i);
    return t ? *(const float *)t->data : otherwise;
}

static int plan_nms(wisp_call *call) {
    nms_plan *plan = call->plan;
    const int status = wisp_check_operands(call, 2, 5, 1);
    if (status) return status;
    const wisp_tensor *boxes = wisp_input(call, 0), *scores = wisp_input(call, 1), *most = wisp_input(call, 2);
    if (!WISP_FLOAT || boxes->dtype != WISP_F32 || scores->dtype != WISP_F32)
        return wisp_call_fail(call, WISP_UNSUPPORTED, "boxes and scores must be f32");
    if (boxes->rank != 3 || scores->rank != 3 || boxes->dims[2] != 4 || boxes->dims[0] != scores->dims[0] ||
        boxes->dims[1] != scores->dims[2])
        return wisp_call_fail(call, WISP_BAD_SHAPE, "boxes (batch, n, 4) and scores (batch, classes, n) do not fit together");
    if (most && (!wisp_is_integers(most) || most->count != 1))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "the largest number of boxes must be one integer");
    for (uint32_t i = 3; i < 5; i++) {
        const wisp_tensor *t = wisp_input(call, i);
        if (t && (t->dtype != WISP_F32 || t->count != 1)) return wisp_call_fail(call, WISP_BAD_SHAPE, "thresholds must be one f32 each");
    }
    const wisp_tensor *y = wisp_output(call, 0);
    if (y->dtype != WISP_S64 || y->rank != 2) return wisp_call_fail(call, WISP_BAD_FILE, "the output must be s64 (count, 3)");
    *plan = (nms_plan){boxes->dims[0], scores->dims[1], boxes->dims[1]};
    wisp_need_scratch(call, 2 * sizeof(int32_t) * (uint64_t)plan->boxes, 0);
    wisp_size_later(call);
    return WISP_OK;
}

typedef struct box {
    float low[2], high[2];
} box;

static box box_of(const float *b, bool center) {
    box r;
    for (int d = 0; d < 2; d++) {
        const float from = center ? b[d] - b[d + 2] / 2 : b[d], to = center ? b[d] + b[d + 2] / 2 : b[d + 2];
        r.low[d] = from < to ? from : to;
        r.high[d] = from < to ? to : from;
    }
    return r;
}

static float area(const box *b) {
    return (b->high[0] - b->low[0]) * (b->high[1] - b->low[1]);
}

/* Whether intersection over union is above the threshold. */
static bool overlap(const box *a, const box *b, float threshold) {
    box both;
    for (int d = 0; d < 2; d++) {
        both.low[d] = a->low[d] > b->low[d] ? a->low[d] : b->low[d];
        both.high[d] = a->high[d] < b->high[d] ? a->high[d] : b->high[d];
        if (both.high[d] <= both.low[d]) return false;
    }
    const float shared = area(&both), all = area(a) + area(b) - shared;
    return all > 0 && shared / all > threshold;
}

/* Boxes of one class, best first, into kept[]. Returns how many. */
static int64_t select_boxes(const wisp_call *call, int64_t batch, int64_t class, int64_t most, int32_t *sorted, int32_t *kept) {
    const nms_plan *p = call->plan;
    const bool center = WISP_PARAMS(call, NonMaxSuppression)->center_point_box != 0;
    const float *boxes = (const float *)wisp_input(call, 0)->data + batch * p->boxes * 4;
    const float *score = (const float *)wisp_input(call, 1)->data + (batch * p->classes + class) * p->boxes;
    const float limit = float_option(call, 3, 0), least = float_option(call, 4, 0);
    const bool all = !wisp_input(call, 4);
    int64_t n = 0, count = 0;
    for (int64_t i = 0; i < p->boxes; i++)
        if (all ? score[i] == score[i] : score[i] > least) sorted[n++] = (int32_t)i;
    const wisp_order o = {.before = wisp_value_before, .x = score, .stride = 1, .dtype = WISP_F32, .descending = true};
    wisp_sort(&o, sorted, n);
    for (int64_t i = 0; i < n && count < most; i++) {
        const box best = box_of(boxes + 4 * (int64_t)sorted[i], center);
        bool keep = true;
        for (int64_t j = 0; j < count && keep; j++) {
            const box other = box_of(boxes + 4 * (int64_t)kept[j], center);
            keep = !overlap(&best, &other, limit);
        }
        if (keep) kept[count++] = sorted[i];
    }
    return count;
}

static int begin_nms(wisp_call *call) {
    const nms_plan *p = call->plan;
    const wisp_tensor *limit = wisp_input(call, 2);
    int64_t most = limit ? wisp_integer_at(limit, 0) : 0, done = 0, room = 0;
    int32_t *sorted = (int32_t *)call->shared, *kept = sorted + p->boxes, dims[2] = {0, 3};
    int status = wisp_enlarge_output(call, 0, dims, 0);
    for (int64_t b = 0; b < p->batches && !status; b++)
        for (int64_t c = 0; c < p->classes && !status; c++) {
            const int64_t n = select_boxes(call, b, c, most, sorted, kept);
            if (done + n > room) {
                room = done + n > 2 * room ? done + n : 2 * room;
                if (room > INT32_MAX) return wisp_call_fail(call, WISP_BAD_SHAPE, "too many boxes");
                dims[0] = (int32_t)room;
                if ((status = wisp_enlarge_output(call, 0, dims, (uint64_t)done * 3 * sizeof(int64_t)))) break;
            }
            int64_t *y = n ? (int64_t *)wisp_output(call, 0)->data + done * 3 : NULL;
            for (int64_t i = 0; i < n; i++, y += 3) y[0] = b, y[1] = c, y[2] = kept[i];
            done += n;
        }
    dims[0] = (int32_t)done;
    return status ? status : wisp_enlarge_output(call, 0, dims, (uint64_t)done * 3 * sizeof(int64_t));
}

const wisp_operator wisp_op_NonMaxSuppression = {.plan = plan_nms, .begin = begin_nms, .plan_size = sizeof(nms_plan)};
