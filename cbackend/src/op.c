/* What operators call: errors, operand checks, shape statements, parallel ranges. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "session.h"

int wisp_call_fail(wisp_call *call, int status, const char *message) {
    wisp_error *error = call->error;
    wisp_error_set(error, status, "node", wisp_file_string(&call->session->model, call->node->name));
    wisp_error_text(error, " (");
    wisp_error_text(error, wisp_operator_name(call->node->code));
    wisp_error_text(error, "): ");
    wisp_error_text(error, message);
    return status;
}

int wisp_call_fail_value(wisp_call *call, int status, const char *message, int64_t value) {
    wisp_call_fail(call, status, message);
    wisp_error_text(call->error, " ");
    wisp_error_number(call->error, value);
    return status;
}

int wisp_check_operands(wisp_call *call, uint32_t min_inputs, uint32_t max_inputs, uint32_t outputs) {
    const wisp_node *node = call->node;
    if (node->input_count < min_inputs || node->input_count > max_inputs)
        return wisp_call_fail_value(call, WISP_BAD_FILE, "wrong number of inputs:", node->input_count);
    if (node->output_count != outputs) return wisp_call_fail_value(call, WISP_BAD_FILE, "wrong number of outputs:", node->output_count);
    for (uint32_t i = 0; i < min_inputs; i++)
        if (!wisp_input(call, i)) return wisp_call_fail_value(call, WISP_BAD_FILE, "missing input", i);
    if (outputs == 1 && !wisp_output(call, 0)) return wisp_call_fail(call, WISP_BAD_FILE, "missing output");
    return WISP_OK;
}

int wisp_set_output(wisp_call *call, uint32_t i, int dtype, int rank, const int32_t *dims) {
    wisp_tensor *t = wisp_output(call, i);
    if (!t) return WISP_OK;
    if (t->dtype != dtype) return wisp_call_fail_value(call, WISP_BAD_FILE, "dtype in the file does not fit output", i);
    if (t->rank != rank) return wisp_call_fail_value(call, WISP_BAD_FILE, "rank in the file does not fit output", i);
    for (int d = 0; d < rank; d++) {
        if (dims[d] < 0) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "negative extent of output", i);
        if (t->dims[d] >= 0 && t->dims[d] != dims[d])
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "inputs do not give the shape the file states for output", i);
        t->dims[d] = dims[d];
    }
    t->size = wisp_tensor_bytes(dtype, WISP_LAYOUT_PLAIN, rank, dims);
    if (t->size == UINT64_MAX || (call->session->total_size += t->size) >= WISP_MAX_TOTAL_SIZE || t->size > SIZE_MAX / 2)
        return wisp_call_fail_value(call, WISP_BAD_SHAPE, "too large: output", i);
    t->count = t->size / wisp_dtype_size(dtype);
    return WISP_OK;
}

int64_t wisp_integer_at(const wisp_tensor *t, uint64_t i) {
    if (t->dtype == WISP_S64) return ((const int64_t *)t->data)[i];
    return ((const int32_t *)t->data)[i];
}

int wisp_broadcast(const wisp_tensor *a, const wisp_tensor *b, int32_t *dims) {
    int rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 0; i < rank; i++) {
        int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
        int32_t da = ia < 0 ? 1 : a->dims[ia], db = ib < 0 ? 1 : b->dims[ib];
        if (da != db && da != 1 && db != 1) return -1;
        dims[i] = da == 1 ? db : da;
    }
    return rank;
}

void wisp_parallel(wisp_call *call, int64_t count, int64_t grain, wisp_range_fn *fn) {
    int64_t threads = call->session->active_threads, most = count / (grain > 0 ? grain : 1);
    if (threads > most) threads = most;
    if (threads > 1)
        wisp_pool_run(call->session->pool, call, (uint32_t)threads, count, grain > 0 ? grain : 1, fn);
    else if (count > 0)
        fn(call, 0, 0, count);
}

void *wisp_scratch(const wisp_call *call, uint32_t thread) {
    const wisp_session *s = call->session;
    return s->arena + s->plan_size + thread * s->scratch_size;
}
