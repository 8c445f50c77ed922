/* Edits of a file: numbers at their edges, operands exchanged, operators inserted, moved between graphs and wrapped into bodies. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "fuzz.h"

#define COUNT(list) ((uint32_t)(sizeof(list) / sizeof *(list)))

#define I(name) "i"
#define F(name) "f"
#define V(name) "vv"
#define G(name) "g"
#define NONE ""
#define OP(code, name, traits, params) code,
static const uint16_t codes[] = {
#include "ops.def"
};
#undef OP
#undef NONE
#undef G
#undef V
#undef F
#undef I

/* ---- values */

static int32_t any_integer(void) {
    static const int32_t edges[] = {0,     1,      2,     3,     4,     5,         7,         8,          9,       15,
                                    16,    17,     31,    32,    33,    63,        64,        65,         127,     128,
                                    255,   256,    1000,  -1,    -2,    -3,        -15,       -16,        -127,    -128,
                                    32767, -32768, 65535, 65536, 46341, 0x7ffffff, INT32_MAX, 0x7ffffff0, 1 << 30, INT32_MIN};
    const uint32_t k = below(10);
    return k < 5 ? (int32_t)below(9) - 3 : k < 9 ? edges[below(COUNT(edges))] : (int32_t)fuzz_random();
}

static uint32_t any_float(void) {
    static const float edges[] = {0,      1,          -1,           .5f,           2,           -2,    .1f, 3,   1e-45f,
                                  1e-30f, 1e30f,      -1e30f,       INFINITY,      -INFINITY,   3e38f, NAN, 255, 256,
                                  -0.f,   16777216.f, 2147483648.f, -2147483648.f, 4294967296.f};
    uint32_t bits;
    memcpy(&bits, &edges[below(COUNT(edges))], 4);
    return one_in(16) ? fuzz_random() : bits;
}

static int32_t any_extent(void) {
    const uint32_t k = below(20);
    return k < 15   ? 1 + (int32_t)below(6)
           : k < 17 ? 0
           : k < 18 ? 16 + (int32_t)below(3)
           : k < 19 ? 1 + (int32_t)below(64)
                    : any_integer() & INT32_MAX;
}

int fuzz_dtype(void) {
    static const uint8_t dtypes[] = {WISP_F32, WISP_S8,  WISP_F32,  WISP_S8,  WISP_S64, WISP_S32, WISP_U8,
                                     WISP_U16, WISP_S16, WISP_BOOL, WISP_F16, WISP_F64, WISP_U32, WISP_U64};
    return dtypes[below(COUNT(dtypes))];
}

/* ---- additions */

static uint32_t add_tensor(fuzz_file *f, bool constant) {
    uint64_t *count = &f->counts[WISP_SECTION_TENSORS];
    if (*count == MAX_TENSORS) return below(MAX_TENSORS);
    wisp_file_tensor *t = &f->tensors[*count];
    *t = (wisp_file_tensor){.dtype = (uint8_t)fuzz_dtype(), .rank = (uint8_t)below(5)};
    t->kind = constant ? WISP_KIND_CONSTANT : WISP_KIND_ACTIVATION;
    for (int d = 0; d < t->rank; d++) t->dims[d] = constant ? any_extent() : -1;
    return (uint32_t)(*count)++;
}

static bool add_operand(fuzz_file *f, uint32_t index) {
    if (f->counts[WISP_SECTION_OPERANDS] == MAX_OPERANDS) return false;
    f->operands[f->counts[WISP_SECTION_OPERANDS]++] = index;
    return true;
}

static uint32_t any_tensor(fuzz_file *f) {
    return f->counts[WISP_SECTION_TENSORS] ? below((uint32_t)f->counts[WISP_SECTION_TENSORS]) : add_tensor(f, false);
}

/* Parameters of its own for an operator, so that an edit does not change another's. */
static uint32_t *own_words(fuzz_file *f, wisp_file_operator *op) {
    uint64_t *count = &f->counts[WISP_SECTION_PARAMETERS];
    if (*count + op->parameter_count > MAX_WORDS || op->parameters + (uint64_t)op->parameter_count > *count) return NULL;
    memcpy(f->words + *count, f->words + op->parameters, 4 * op->parameter_count);
    op->parameters = (uint32_t)*count;
    *count += op->parameter_count;
    return f->words + op->parameters;
}

/* Operands of its own for a graph, with room for one more input and output. */
static void edit_interface(fuzz_file *f) {
    if (!f->counts[WISP_SECTION_GRAPHS]) return;
    wisp_file_graph *g = &f->graphs[below((uint32_t)f->counts[WISP_SECTION_GRAPHS])];
    const uint64_t count = (uint64_t)g->input_count + g->output_count;
    if (g->operands + count > f->counts[WISP_SECTION_OPERANDS]) return;
    const uint32_t from = g->operands, inputs = g->input_count, more_in = one_in(4), more_out = one_in(2);
    const uint32_t less_out = !more_out && g->output_count > 1 && one_in(3);
    const uint32_t to = (uint32_t)f->counts[WISP_SECTION_OPERANDS];
    if (to + count + 2 > MAX_OPERANDS) return;
    for (uint32_t i = 0; i < inputs; i++) add_operand(f, f->operands[from + i]);
    if (more_in) add_operand(f, any_tensor(f));
    for (uint32_t i = 0; i < g->output_count - less_out; i++) add_operand(f, f->operands[from + inputs + i]);
    if (more_out) add_operand(f, any_tensor(f));
    *g = (wisp_file_graph){g->first_operator, g->operator_count, to, inputs + more_in, g->output_count - less_out + more_out, g->name, {0}};
}

/* A node anywhere in the list; graphs behind it move along. Its input is often what the node before it computes. */
static void insert_operator(fuzz_file *f) {
    uint64_t *count = &f->counts[WISP_SECTION_OPERATORS];
    if (*count == MAX_OPERATORS || f->counts[WISP_SECTION_TENSORS] + 6 > MAX_TENSORS || !f->counts[WISP_SECTION_GRAPHS]) return;
    wisp_file_graph *graph = &f->graphs[below((uint32_t)f->counts[WISP_SECTION_GRAPHS])];
    const uint32_t at = graph->first_operator + graph->operator_count;
    if (at > *count) return;
    const wisp_operator_entry *entry = wisp_find_operator(codes[below(COUNT(codes))]);
    if (!entry || f->counts[WISP_SECTION_PARAMETERS] + entry->words > MAX_WORDS) return;
    wisp_file_operator op = {.code = entry->code, .input_count = (uint16_t)(1 + below(3)), .output_count = one_in(12) ? 2 : 1};
    op.operands = (uint32_t)f->counts[WISP_SECTION_OPERANDS], op.parameters = (uint32_t)f->counts[WISP_SECTION_PARAMETERS];
    op.parameter_count = entry->words;
    for (uint32_t i = 0; i < entry->words; i++)
        f->words[f->counts[WISP_SECTION_PARAMETERS]++] = entry->kinds[i] == 'f' ? any_float() : one_in(2) ? 0 : (uint32_t)any_integer();
    const uint32_t last = graph->operands + graph->input_count;
    for (uint32_t i = 0; i < op.input_count; i++)
        add_operand(f, one_in(2) && last < op.operands ? f->operands[last] : one_in(4) ? add_tensor(f, one_in(2)) : any_tensor(f));
    for (uint32_t i = 0; i < op.output_count; i++) add_operand(f, add_tensor(f, false));
    memmove(f->operators + at + 1, f->operators + at, (*count - at) * sizeof op);
    f->operators[at] = op;
    ++*count;
    graph->operator_count++;
    for (uint64_t g = 0; g < f->counts[WISP_SECTION_GRAPHS]; g++)
        if (&f->graphs[g] != graph && f->graphs[g].first_operator >= at) f->graphs[g].first_operator++;
    if (f->counts[WISP_SECTION_OPERANDS] && last < f->counts[WISP_SECTION_OPERANDS] && graph->output_count && one_in(2))
        f->operands[last] = (uint32_t)f->counts[WISP_SECTION_TENSORS] - 1;
}

static void move_operators(fuzz_file *f) {
    uint64_t *count = &f->counts[WISP_SECTION_OPERATORS];
    if (*count < 2) return;
    const uint32_t a = below((uint32_t)*count), b = below((uint32_t)*count);
    if (one_in(2)) {
        const wisp_file_operator op = f->operators[a];
        f->operators[a] = f->operators[b], f->operators[b] = op;
        return;
    }
    memmove(f->operators + a, f->operators + a + 1, (*count - a - 1) * sizeof(wisp_file_operator));
    --*count;
    for (uint64_t g = 0; g < f->counts[WISP_SECTION_GRAPHS]; g++) {
        wisp_file_graph *graph = &f->graphs[g];
        if (graph->first_operator > a)
            graph->first_operator--;
        else if (a < graph->first_operator + graph->operator_count)
            graph->operator_count--;
    }
}

/* An input of state kind beside an activation, or one state less. */
static void edit_states(fuzz_file *f) {
    uint64_t *count = &f->counts[WISP_SECTION_STATES];
    if (*count && one_in(3)) {
        wisp_file_state *s = &f->states[below((uint32_t)*count)];
        switch (below(4)) {
            case 0: s->next = any_tensor(f); break;
            case 1: s->initial = one_in(2) ? WISP_NO_TENSOR : any_tensor(f); break;
            case 2: s->tensor = any_tensor(f); break;
            default: --*count; break;
        }
        return;
    }
    if (*count == MAX_STATES || f->counts[WISP_SECTION_TENSORS] == MAX_TENSORS || !f->counts[WISP_SECTION_GRAPHS]) return;
    const uint32_t next = any_tensor(f), index = add_tensor(f, false);
    wisp_file_tensor *t = &f->tensors[index];
    *t = f->tensors[next];
    t->kind = WISP_KIND_STATE, t->layout = 0;
    for (int d = 0; d < t->rank; d++)
        if (t->dims[d] < 0) t->dims[d] = f->tensors[next].dims[d] = 1 + (int32_t)below(4);
    f->states[(*count)++] = (wisp_file_state){index, next, WISP_NO_TENSOR, 0};
    if (f->counts[WISP_SECTION_OPERANDS]) f->operands[below((uint32_t)f->counts[WISP_SECTION_OPERANDS])] = index;
}

/* ---- changes in place */

static void edit_words(fuzz_file *f, wisp_file_operator *op) {
    const wisp_operator_entry *entry = wisp_find_operator(op->code);
    uint32_t *words = own_words(f, op);
    if (!entry || !words || !op->parameter_count) return;
    for (uint32_t n = 1 + below(2); n; n--) {
        const uint32_t i = below(op->parameter_count);
        const char kind = i < entry->words ? entry->kinds[i] : 'i';
        if (kind == 'f')
            words[i] = any_float();
        else if ((kind == 'v' || kind == 'g') && !one_in(8))
            words[i] += below(3) - 1u; /* counts, starts, graphs: most other values are refused at once */
        else
            words[i] = one_in(3) ? words[i] + below(5) - 2u : (uint32_t)any_integer();
    }
}

static void edit_rank(wisp_file_tensor *t) {
    switch (below(3)) {
        case 0:
            if (t->rank == WISP_MAX_RANK) return;
            memmove(t->dims + 1, t->dims, 7 * sizeof *t->dims);
            t->dims[0] = 1 + (int32_t)below(2);
            t->rank++;
            return;
        case 1: t->rank -= t->rank > 0; return;
        default:
            t->rank = (uint8_t)below(WISP_MAX_RANK + 1);
            for (int d = 0; d < t->rank; d++)
                if (!t->dims[d]) t->dims[d] = any_extent();
    }
}

static void edit_layout(wisp_file_tensor *t) {
    static const uint8_t ranks[] = {0, 3, 3, 2, 2, 1}, dtypes[] = {0, WISP_S8, WISP_F32, WISP_S8, WISP_F32, WISP_S32};
    t->layout = (uint8_t)below(6);
    if (t->layout) t->rank = ranks[t->layout], t->dtype = dtypes[t->layout];
    for (int d = 0; d < t->rank; d++)
        if (t->dims[d] <= 0) t->dims[d] = 1 + (int32_t)below(4);
}

static void edit_scale(wisp_file_tensor *t) {
    const uint32_t bits = any_float();
    memcpy(&t->scale, &bits, 4);
    if (!(t->scale >= 0 && t->scale <= 3e38f)) t->scale = one_in(2) ? 0.1f : 0;
    t->zero_point = any_integer();
}

static void edit_weights(fuzz_file *f) {
    const uint64_t size = f->counts[WISP_SECTION_WEIGHTS];
    for (uint32_t n = 1 + below(4); n && size >= 8; n--) {
        const uint64_t at = fuzz_random() % (size - 7);
        const int32_t word = one_in(3) ? (int32_t)any_float() : any_integer();
        const int64_t wide = word;
        if (one_in(2))
            f->weights[at] = (uint8_t)fuzz_random();
        else if (one_in(3))
            memcpy(f->weights + at / 8 * 8, &wide, 8);
        else
            memcpy(f->weights + at / 4 * 4, &word, 4);
    }
}

void fuzz_make_dynamic(fuzz_file *f) {
    bool is_input[MAX_TENSORS] = {false};
    f->header.flags = 0;
    f->header.plan_size = f->header.scratch_size = f->header.shared_size = 0;
    const wisp_file_graph *g = &f->graphs[0];
    for (uint32_t i = 0; i < g->input_count && (uint64_t)g->operands + i < f->counts[WISP_SECTION_OPERANDS]; i++)
        if (f->operands[g->operands + i] < MAX_TENSORS) is_input[f->operands[g->operands + i]] = true;
    for (uint64_t i = 0; i < f->counts[WISP_SECTION_TENSORS]; i++) {
        wisp_file_tensor *t = &f->tensors[i];
        if (t->kind != WISP_KIND_ACTIVATION) continue;
        t->offset = 0;
        for (int d = 0; d < t->rank && !is_input[i]; d++) t->dims[d] = -1;
    }
}

static void edit_plan(fuzz_file *f) {
    wisp_file_header *h = &f->header;
    if (h->flags & WISP_FILE_STATIC) {
        if (one_in(2))
            fuzz_make_dynamic(f);
        else if (one_in(2))
            h->scratch_size = below(4) * 64, h->shared_size = below(4) * 64; /* budgets, perhaps too small */
        else
            h->plan_size = round_up(h->plan_size / (1 + below(3)), 64);
    } else if (one_in(4)) {
        h->flags = WISP_FILE_STATIC, h->plan_size = 4096, h->scratch_size = h->shared_size = 1 << 14;
        for (uint64_t i = 0; i < f->counts[WISP_SECTION_TENSORS]; i++)
            for (int d = 0; d < f->tensors[i].rank; d++)
                if (f->tensors[i].dims[d] < 0) f->tensors[i].dims[d] = 1 + (int32_t)below(4);
    } else {
        h->shape_size = one_in(3) ? 0 : 256;
    }
}

static void edit_tensor(fuzz_file *f, wisp_file_tensor *t) {
    switch (below(14)) {
        case 0: t->dtype = (uint8_t)fuzz_dtype(); break;
        case 1: edit_rank(t); break;
        case 2: edit_layout(t); break;
        case 3: edit_scale(t); break;
        case 4: t->flags ^= (uint16_t)(1 << below(2)); break;
        case 5: t->offset = one_in(2) ? f->tensors[any_tensor(f)].offset : below(64) * (t->kind == WISP_KIND_SHAPE ? 8u : 64u); break;
        case 6:
            t->kind = (uint8_t)below(3);
            t->offset = 0;
            for (int d = 0; d < t->rank && t->kind; d++)
                if (t->dims[d] < 0) t->dims[d] = any_extent();
            break;
        case 7: /* symbols, where there are some */
            if (t->rank && f->counts[WISP_SECTION_SYMBOLS])
                t->dims[below(t->rank)] = -1 - (int32_t)below((uint32_t)f->counts[WISP_SECTION_SYMBOLS]);
            break;
        default:
            if (t->rank) t->dims[below(t->rank)] = any_extent();
    }
}

static void edit_operator(fuzz_file *f, wisp_file_operator *op) {
    switch (below(12)) {
        case 0: op->code = codes[below(COUNT(codes))]; break;
        case 1: *(one_in(2) ? &op->input_count : &op->output_count) += (uint16_t)(below(3) - 1u); break;
        case 2: op->flags ^= WISP_OPERATOR_AT_RESIZE; break;
        case 3:
        case 4:
        case 5:
        case 6:
            if (f->counts[WISP_SECTION_OPERANDS])
                f->operands[below((uint32_t)f->counts[WISP_SECTION_OPERANDS])] = one_in(6) ? WISP_NO_TENSOR : any_tensor(f);
            break;
        default: edit_words(f, op);
    }
}

void fuzz_edit(fuzz_file *f) {
    const uint64_t tensors = f->counts[WISP_SECTION_TENSORS], operators = f->counts[WISP_SECTION_OPERATORS];
    switch (below(16)) {
        case 0: edit_interface(f); break;
        case 1: insert_operator(f); break;
        case 2: move_operators(f); break;
        case 3: edit_plan(f); break;
        case 4:
        case 5: edit_weights(f); break;
        case 6:
            if (one_in(2)) edit_states(f);
            break;
        case 7:
        case 8:
        case 9:
        case 10:
        case 11:
            if (tensors) edit_tensor(f, &f->tensors[below((uint32_t)tensors)]);
            break;
        default:
            if (operators) edit_operator(f, &f->operators[below((uint32_t)operators)]);
    }
}
