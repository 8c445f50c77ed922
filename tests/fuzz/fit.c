/* An edited file made to agree with itself again, so that most edits are judged by operators and not by wisp_open. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fuzz.h"

/* ---- sizes and places */

static void fit_constant(fuzz_file *f, wisp_file_tensor *t) {
    uint64_t *size = &f->counts[WISP_SECTION_WEIGHTS];
    t->offset = t->offset / WISP_ALIGNMENT * WISP_ALIGNMENT;
    if (t->offset > *size) t->offset = 0;
    if (t->size <= *size - t->offset || t->offset + t->size > MAX_WEIGHTS) return;
    for (uint64_t i = *size; i < t->offset + t->size; i++) f->weights[i] = (uint8_t)(one_in(4) ? fuzz_random() : below(3));
    *size = t->offset + t->size;
}

/* Shape values and states: each behind the one before. */
static void fit_in_turn(wisp_file_tensor *t, uint64_t *used, uint64_t *memory, uint64_t step) {
    t->offset = one_in(64) ? t->offset / step * step : round_up(*used, step);
    if (t->size > MAX_WEIGHTS) return;
    *used = t->offset + t->size;
    if (*used > *memory) *memory = round_up(*used, 64);
}

static void fit_activation(fuzz_file *f, wisp_file_tensor *t) {
    uint64_t *room = &f->header.plan_size;
    if (!(f->header.flags & WISP_FILE_STATIC)) {
        t->offset = 0;
        return;
    }
    t->offset = t->offset / WISP_ALIGNMENT * WISP_ALIGNMENT;
    if (t->size > 1 << 20 || (t->offset <= *room && t->size <= *room - t->offset)) return;
    t->offset = 0;
    if (t->size > *room) *room = round_up(t->size, WISP_ALIGNMENT);
}

static void fit_tensor(fuzz_file *f, wisp_file_tensor *t, uint64_t *shapes, uint64_t *states) {
    bool known = true, open = t->kind == WISP_KIND_ACTIVATION && !(f->header.flags & WISP_FILE_STATIC);
    if (t->rank > WISP_MAX_RANK) t->rank = WISP_MAX_RANK;
    for (int d = 0; d < WISP_MAX_RANK; d++) {
        if (d >= t->rank) t->dims[d] = 0;
        if (t->dims[d] < 0 && !open) t->dims[d] = 1;
        known = known && t->dims[d] >= 0;
    }
    if (t->kind != WISP_KIND_CONSTANT) t->layout = WISP_LAYOUT_PLAIN;
    if (t->flags & WISP_TENSOR_TEXT && (t->dtype != WISP_U8 || !t->rank)) t->flags = 0;
    t->size = known ? wisp_tensor_bytes(t->dtype, t->layout, t->rank, t->dims) : 0;
    if (t->size == UINT64_MAX) t->layout = WISP_LAYOUT_PLAIN, t->size = wisp_tensor_bytes(t->dtype, 0, t->rank, t->dims);
    if (t->kind == WISP_KIND_CONSTANT) fit_constant(f, t);
    if (t->kind == WISP_KIND_SHAPE) fit_in_turn(t, shapes, &f->header.shape_size, 8);
    if (t->kind == WISP_KIND_STATE) fit_in_turn(t, states, &f->header.state_size, WISP_ALIGNMENT);
    if (t->kind == WISP_KIND_ACTIVATION) fit_activation(f, t);
}

/* Words, the kind of outputs, and graphs numbered in the order of the words that name them. */
static void fit_operator(fuzz_file *f, wisp_file_operator *op, uint32_t *next_graph) {
    const wisp_operator_entry *entry = wisp_find_operator(op->code);
    uint64_t *words = &f->counts[WISP_SECTION_PARAMETERS];
    if (!entry) return;
    const bool arrays = strchr(entry->kinds, 'v');
    if (op->parameter_count < entry->words || !arrays) op->parameter_count = entry->words;
    if ((uint64_t)op->parameters + op->parameter_count > *words || strchr(entry->kinds, 'g')) { /* words of graphs are never shared */
        if (*words + op->parameter_count > MAX_WORDS) return;
        op->parameters = (uint32_t)*words;
        *words += op->parameter_count;
    }
    uint32_t *word = f->words + op->parameters;
    for (uint32_t i = 0; i < entry->words; i++) {
        if (entry->kinds[i] == 'g') word[i] = (*next_graph)++;
        if (entry->kinds[i] != 'v') continue;
        if (word[i + 1] < entry->words || word[i + 1] > op->parameter_count) word[i + 1] = entry->words;
        if (word[i] > op->parameter_count - word[i + 1]) word[i] = op->parameter_count - word[i + 1];
        i++;
    }
    for (uint32_t k = 0; k < op->output_count; k++) {
        const uint64_t at = (uint64_t)op->operands + op->input_count + k;
        if (at >= f->counts[WISP_SECTION_OPERANDS] || f->operands[at] >= f->counts[WISP_SECTION_TENSORS]) continue;
        wisp_file_tensor *t = &f->tensors[f->operands[at]];
        const uint8_t kind = op->flags & WISP_OPERATOR_AT_RESIZE ? WISP_KIND_SHAPE : WISP_KIND_ACTIVATION;
        if (t->kind != kind) t->kind = kind, t->offset = 0;
    }
}

/* States by their tensors' order, as many as there are tensors of that kind, of the same shape as what follows them. */
static void fit_states(fuzz_file *f) {
    uint64_t *count = &f->counts[WISP_SECTION_STATES], states = 0;
    for (uint64_t i = 0; i < f->counts[WISP_SECTION_TENSORS]; i++) {
        wisp_file_tensor *t = &f->tensors[i];
        if (t->kind != WISP_KIND_STATE) continue;
        wisp_file_state s = {(uint32_t)i, (uint32_t)i, WISP_NO_TENSOR, 0};
        for (uint64_t k = states; k < *count; k++)
            if (f->states[k].tensor == i) s = f->states[k];
        if (states == MAX_STATES || s.next >= f->counts[WISP_SECTION_TENSORS]) {
            t->kind = WISP_KIND_ACTIVATION;
            continue;
        }
        const wisp_file_tensor *next = &f->tensors[s.next];
        t->dtype = next->dtype, t->rank = next->rank;
        for (int d = 0; d < t->rank; d++) t->dims[d] = f->tensors[s.next].dims[d] < 0 ? f->tensors[s.next].dims[d] = 2 : next->dims[d];
        f->states[states++] = s;
    }
    *count = states;
}

void fuzz_fit(fuzz_file *f) {
    uint64_t shapes = 0, states = 0;
    uint32_t next_graph = 1;
    for (uint64_t i = 0; i < f->counts[WISP_SECTION_OPERATORS]; i++) fit_operator(f, &f->operators[i], &next_graph);
    fit_states(f);
    for (uint64_t i = 0; i < f->counts[WISP_SECTION_TENSORS]; i++) fit_tensor(f, &f->tensors[i], &shapes, &states);
}

/* ---- what wisp_prepare says */

typedef struct attempt {
    int32_t status;
    wisp_error error;
    wisp_session *session; /* valid until the next attempt, even where prepare failed */
} attempt;

/* False where the file is not opened, or its session is too large. */
static bool try_prepare(const fuzz_file *f, attempt *a) {
    static uint8_t *file, *memory;
    wisp_model model;
    wisp_session *session;
    if (!file) file = fuzz_allocate(MAX_FILE), memory = fuzz_allocate(MAX_BYTES);
    const size_t size = fuzz_write(f, file, MAX_FILE);
    if (!size || wisp_open(&model, file, size, &a->error) || wisp_session_size(&model) > MAX_BYTES) return false;
    const wisp_options options = {.symbols = fuzz_symbols, .symbol_count = MAX_SYMBOLS};
    a->status = wisp_prepare(&model, &options, memory, MAX_BYTES, &session, &a->error);
    a->session = (wisp_session *)(void *)memory;
    return true;
}

/* The node that refused its plan: the first without one whose inputs' extents are known. */
static const wisp_node *refused_node(const wisp_session *s) {
    for (uint32_t i = 0; i < s->node_count; i++) {
        const wisp_node *node = &s->nodes[i];
        bool known = !(node->flags & WISP_NODE_PLANNED);
        for (uint32_t k = 0; k < node->input_count && known; k++)
            known = node->operands[k] == WISP_NO_TENSOR || s->tensors[node->operands[k]].flags & WISP_TENSOR_KNOWN;
        if (known) return node;
    }
    return NULL;
}

/* Changes the output that the message is about; false where it is about something else. */
static bool follow_message(fuzz_file *f, const attempt *a) {
    const char *message = a->error.message, *named = strstr(message, "output");
    const wisp_node *node = refused_node(a->session);
    const uint32_t k = named && named[6] == ' ' ? (uint32_t)(named[7] - '0') : 0;
    if (!node || k >= node->output_count) return false;
    const uint32_t index = node->operands[node->input_count + k];
    if (index >= f->counts[WISP_SECTION_TENSORS]) return false;
    wisp_file_tensor *t = &f->tensors[index];
    if (strstr(message, "dtype in the file")) {
        t->dtype = (uint8_t)fuzz_dtype();
    } else if (strstr(message, "rank in the file")) {
        t->rank = (uint8_t)((t->rank + 1) % (WISP_MAX_RANK + 1));
        for (int d = 0; d < t->rank; d++) t->dims[d] = f->header.flags & WISP_FILE_STATIC || t->kind ? 1 + (int32_t)below(3) : -1;
    } else if (strstr(message, "do not give the shape")) {
        if (t->kind == WISP_KIND_SHAPE && t->rank)
            t->dims[below(t->rank)] = (int32_t)below(5);
        else
            fuzz_make_dynamic(f);
    } else {
        return false;
    }
    return true;
}

/* The extents and places that prepare found, written into the file; now and then a tensor lies where it should not. */
static void make_static(fuzz_file *f, const wisp_session *s) {
    f->header.flags = WISP_FILE_STATIC;
    f->header.plan_size = round_up(s->plan_size, WISP_ALIGNMENT) + (one_in(2) ? 4096 : 0);
    f->header.scratch_size = round_up(s->could_scratch, WISP_ALIGNMENT);
    f->header.shared_size = round_up(s->could_shared, WISP_ALIGNMENT);
    const bool moved = one_in(2);
    for (uint32_t i = 0; i < s->tensor_count; i++) {
        wisp_file_tensor *t = &f->tensors[i];
        if (t->kind != WISP_KIND_ACTIVATION) continue;
        memcpy(t->dims, s->tensors[i].dims, sizeof t->dims);
        t->offset = s->tensors[i].offset;
        if (moved && one_in(4)) t->offset = one_in(2) ? 0 : below(8) * 64;
    }
}

void fuzz_settle(fuzz_file *f) {
    attempt a;
    for (int tries = 0; tries < 20 && try_prepare(f, &a); tries++) {
        if (!a.status) {
            const bool is_static = f->header.flags & WISP_FILE_STATIC;
            if (!is_static && one_in(3) && a.session->plan_size <= 1 << 18) {
                make_static(f, a.session);
                fuzz_fit(f);
            }
            return;
        }
        if (!follow_message(f, &a)) return;
        fuzz_fit(f);
    }
}
