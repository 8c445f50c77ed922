/* Operands put in order: each computed before it is read, and once; each graph gives back what it computed. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

typedef struct order {
    fuzz_file *f;
    bool defined[MAX_TENSORS], visible[MAX_TENSORS];
    uint32_t depth;
} order;

static uint32_t *operand_list(fuzz_file *f, uint32_t first, uint64_t count) {
    return first + count <= f->counts[WISP_SECTION_OPERANDS] ? f->operands + first : NULL;
}

/* Some tensor that may be read here; of an output it must not be packed. */
static uint32_t any_visible(const order *o, bool plain) {
    const uint32_t count = (uint32_t)o->f->counts[WISP_SECTION_TENSORS];
    for (uint32_t tries = 0, i = below(count); tries < count; tries++, i = (i + 1) % count)
        if (o->visible[i] && (!plain || o->f->tensors[i].layout == WISP_LAYOUT_PLAIN)) return i;
    return WISP_NO_TENSOR;
}

static bool is_readable(const order *o, uint32_t index) {
    return index < o->f->counts[WISP_SECTION_TENSORS] && o->visible[index];
}

/* A tensor nothing has computed so far, like the one given where that can be told. */
static void define(order *o, uint32_t *operand, bool optional) {
    fuzz_file *f = o->f;
    uint64_t *count = &f->counts[WISP_SECTION_TENSORS];
    if (*operand == WISP_NO_TENSOR && optional) return;
    if (*operand >= *count || o->defined[*operand]) {
        if (*count == MAX_TENSORS) return;
        f->tensors[*count] = *operand < *count ? f->tensors[*operand] : (wisp_file_tensor){.dtype = WISP_F32};
        f->tensors[*count].kind = WISP_KIND_ACTIVATION, f->tensors[*count].layout = WISP_LAYOUT_PLAIN;
        *operand = (uint32_t)(*count)++;
    }
    o->defined[*operand] = o->visible[*operand] = true;
}

static void order_graph(order *o, uint32_t g);

static void order_operator(order *o, wisp_file_operator *op) {
    fuzz_file *f = o->f;
    const wisp_operator_entry *entry = wisp_find_operator(op->code);
    uint32_t *operands = operand_list(f, op->operands, (uint64_t)op->input_count + op->output_count);
    if (!entry || !operands) return;
    for (uint32_t i = 0; i < op->input_count; i++)
        if (operands[i] != WISP_NO_TENSOR && !is_readable(o, operands[i])) operands[i] = any_visible(o, false);
    for (uint32_t i = 0; i < entry->words && (uint64_t)op->parameters + i < f->counts[WISP_SECTION_PARAMETERS]; i++)
        if (entry->kinds[i] == 'g') order_graph(o, f->words[op->parameters + i]);
    for (uint32_t i = 0; i < op->output_count; i++) define(o, &operands[op->input_count + i], true);
}

static void order_graph(order *o, uint32_t g) {
    fuzz_file *f = o->f;
    if (g >= f->counts[WISP_SECTION_GRAPHS] || o->depth > WISP_MAX_DEPTH) return;
    const wisp_file_graph graph = f->graphs[g];
    bool before[MAX_TENSORS];
    uint32_t *operands = operand_list(f, graph.operands, (uint64_t)graph.input_count + graph.output_count);
    if (!operands) return;
    o->depth++;
    for (uint32_t i = 0; i < MAX_TENSORS; i++) before[i] = o->visible[i];
    for (uint32_t i = 0; i < graph.input_count; i++) define(o, &operands[i], false);
    for (uint32_t i = 0; i < graph.operator_count && graph.first_operator + (uint64_t)i < f->counts[WISP_SECTION_OPERATORS]; i++)
        order_operator(o, &f->operators[graph.first_operator + i]);
    for (uint32_t i = 0; i < graph.output_count; i++) {
        uint32_t *output = &operands[graph.input_count + i];
        for (int tries = 0; tries < 16 && (!is_readable(o, *output) || (g && before[*output])); tries++) *output = any_visible(o, true);
    }
    for (uint32_t i = 0; i < MAX_TENSORS && g; i++) o->visible[i] = before[i];
    o->depth--;
}

void fuzz_order(fuzz_file *f) {
    static order o;
    if (!f->counts[WISP_SECTION_TENSORS] || !f->counts[WISP_SECTION_GRAPHS]) return;
    o = (order){.f = f};
    for (uint64_t i = 0; i < f->counts[WISP_SECTION_TENSORS]; i++)
        o.defined[i] = o.visible[i] = f->tensors[i].kind == WISP_KIND_CONSTANT || f->tensors[i].kind == WISP_KIND_STATE;
    /* inputs of the model are activations, whatever an edit made of them */
    const wisp_file_graph *model = &f->graphs[0];
    const uint32_t *inputs = operand_list(f, model->operands, model->input_count);
    for (uint32_t i = 0; inputs && i < model->input_count; i++) {
        if (inputs[i] >= f->counts[WISP_SECTION_TENSORS]) continue;
        wisp_file_tensor *t = &f->tensors[inputs[i]];
        if (t->kind == WISP_KIND_SHAPE) t->kind = WISP_KIND_ACTIVATION, t->offset = 0;
    }
    order_graph(&o, 0);
    for (uint64_t i = 0; i < f->counts[WISP_SECTION_STATES]; i++)
        if (!is_readable(&o, f->states[i].next)) f->states[i].next = any_visible(&o, true);
}
