/* wisp_open: every structural fact about a file is checked here, once, so that nothing later has to doubt it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <string.h>

_Static_assert(sizeof(wisp_file_header) == 128, "docs/format.md");
_Static_assert(sizeof(wisp_file_section) == 48, "docs/format.md");
_Static_assert(sizeof(wisp_file_tensor) == 72, "docs/format.md");
_Static_assert(sizeof(wisp_file_graph) == 32, "docs/format.md");
_Static_assert(sizeof(wisp_file_state) == 16, "docs/format.md");
_Static_assert(sizeof(wisp_file_operator) == 32, "docs/format.md");
_Static_assert(sizeof(wisp_channels_s8) == 256, "docs/format.md");

#define BAD(text) wisp_error_set(error, WISP_BAD_FILE, text, NULL)
#define BAD_OF(text, name) wisp_error_set(error, WISP_BAD_FILE, text, name)

/* ---- views: model->words[0] is the address of the file, words[1] its size */

static const uint8_t *file_of(const wisp_model *model) {
    return (const uint8_t *)(uintptr_t)model->words[0];
}

const wisp_file_header *wisp_header(const wisp_model *model) {
    return (const void *)file_of(model);
}

static const wisp_file_section *table_of(const wisp_model *model) {
    return (const void *)(file_of(model) + sizeof(wisp_file_header));
}

static const wisp_file_section *find_section(const wisp_model *model, uint32_t id) {
    const wisp_file_section *s = table_of(model), *end = s + wisp_header(model)->section_count;
    for (; s < end; s++)
        if (s->id == id) return s;
    return NULL;
}

const void *wisp_section(const wisp_model *model, uint32_t id, uint64_t *count) {
    const wisp_file_section *s = find_section(model, id);
    *count = s ? s->size / s->entry_size : 0;
    return file_of(model) + (s ? s->offset : 0);
}

const char *wisp_file_string(const wisp_model *model, uint32_t offset) {
    uint64_t count;
    return (const char *)wisp_section(model, WISP_SECTION_STRINGS, &count) + offset;
}

/* ---- sizes */

size_t wisp_dtype_size(int dtype) {
    switch (dtype) {
        case WISP_U16:
        case WISP_S16:
        case WISP_F16:
        case WISP_BF16: return 2;
        case WISP_F32:
        case WISP_S32:
        case WISP_U32: return 4;
        case WISP_S64:
        case WISP_U64:
        case WISP_F64: return 8;
        case WISP_U8:
        case WISP_S8:
        case WISP_BOOL: return 1;
        default: return dtype >= WISP_F8E4M3FN && dtype <= WISP_S2; /* floats of 8 and 4 bits, integers of 4 and 2 */
    }
}

/* Product of extents, or UINT64_MAX as soon as it passes the bound. A zero anywhere makes it 0. */
static uint64_t bounded_product(const int32_t *dims, int rank) {
    uint64_t product = 1;
    for (int i = 0; i < rank; i++)
        if (dims[i] == 0) return 0;
    for (int i = 0; i < rank; i++) {
        product *= (uint64_t)dims[i];
        if (product >= WISP_MAX_TOTAL_SIZE) return UINT64_MAX;
    }
    return product;
}

static const struct {
    uint8_t dtype, unit, rank, round[3]; /* of dtype 0: no such layout, or plain */
} layouts[] = {
#define LAYOUT(code, name, dtype, unit, rank, round0, round1, round2) [code] = {WISP_##dtype, unit, rank, {round0, round1, round2}},
#include "layouts.def"
#undef LAYOUT
};

uint64_t wisp_tensor_bytes(int dtype, int layout, int rank, const int32_t *dims) {
    int32_t padded[WISP_MAX_RANK];
    uint64_t unit = wisp_dtype_size(dtype);
    if (!unit || layout >= (int)(sizeof layouts / sizeof *layouts)) return UINT64_MAX;
    if (layout != WISP_LAYOUT_PLAIN) {
        if (layouts[layout].dtype != dtype || layouts[layout].rank != rank) return UINT64_MAX;
        unit = layouts[layout].unit;
    }
    for (int i = 0; i < rank; i++) {
        const int32_t step = layout == WISP_LAYOUT_PLAIN ? 1 : layouts[layout].round[i];
        if (dims[i] < 0 || dims[i] > INT32_MAX - (step - 1)) return UINT64_MAX;
        padded[i] = (dims[i] + (step - 1)) / step * step;
    }
    const uint64_t count = bounded_product(padded, rank);
    return count >= WISP_MAX_TOTAL_SIZE / 16 ? UINT64_MAX : count * unit;
}

/* ---- checksums */

/* `words` little-endian 32-bit words; [skip, skip + 4) are taken as zero (the header's own checksum). */
static wisp_checksum sum_words(const uint8_t *data, uint64_t words, uint64_t skip) {
    wisp_checksum sum = {0, 0};
    for (uint64_t i = 0; i < words; i++) {
        uint32_t word;
        memcpy(&word, data + 4 * i, 4);
        if (i - skip < 4) word = 0;
        sum.a += word;
        sum.b += sum.a;
    }
    return sum;
}

/* The same for a range without a gap, four words a step: b takes each new a, so
 * b += 4a + 4w0 + 3w1 + 2w2 + w3. Two chains of additions instead of eight. */
static wisp_checksum sum_range(const uint8_t *data, uint64_t size) {
    wisp_checksum sum = {0, 0};
    uint64_t words = (size + 3) / 4, i = 0;
    for (; i + 4 <= words; i += 4) {
        uint32_t w[4];
        memcpy(w, data + 4 * i, 16);
        sum.b += 4 * sum.a + (4 * (uint64_t)w[0] + 3 * (uint64_t)w[1]) + (2 * (uint64_t)w[2] + w[3]);
        sum.a += ((uint64_t)w[0] + w[1]) + ((uint64_t)w[2] + w[3]);
    }
    for (; i < words; i++) {
        uint32_t word;
        memcpy(&word, data + 4 * i, 4);
        sum.a += word;
        sum.b += sum.a;
    }
    return sum;
}

static bool same_sum(wisp_checksum x, wisp_checksum y) {
    return x.a == y.a && x.b == y.b;
}

/* ---- header and sections */

static const struct {
    const char *name;
    uint32_t entry_size;
} sections[WISP_SECTION_COUNT] = {
    {"symbols", 4},
    {"tensors", sizeof(wisp_file_tensor)},
    {"graphs", sizeof(wisp_file_graph)},
    {"states", sizeof(wisp_file_state)},
    {"operators", sizeof(wisp_file_operator)},
    {"operands", 4},
    {"parameters", 4},
    {"strings", 1},
    {"metadata", 1},
    {"weights", 1},
};

static int32_t check_header(const wisp_model *model, wisp_error *error) {
    const wisp_file_header *header = wisp_header(model);
    const uint64_t size = model->words[1];
    if (size < 8) return BAD("file is shorter than a header");
    if (header->magic != WISP_MAGIC) return BAD("not a .wisp file");
    if (header->major != WISP_FORMAT_MAJOR || header->minor > WISP_FORMAT_MINOR) {
        wisp_error_set(error, WISP_BAD_VERSION, "file format version is ", NULL);
        wisp_error_number(error, header->major);
        wisp_error_text(error, ".");
        wisp_error_number(error, header->minor);
        wisp_error_text(error, ", this runtime reads up to 1.0: update wisp, or convert the model again");
        return WISP_BAD_VERSION;
    }
    if (size < sizeof *header) return BAD("file is truncated inside the header");
    if (header->section_count > WISP_MAX_SECTIONS) return BAD("header: too many sections");
    const uint64_t table = sizeof *header + header->section_count * sizeof(wisp_file_section);
    if (size < table) return BAD("file is truncated inside the header");
    if (header->file_size != size) return BAD(header->file_size > size ? "file is truncated" : "file has bytes after its end");
    if (header->flags & ~WISP_FILE_STATIC) return BAD("header: unknown flags");
    if (!same_sum(sum_words((const uint8_t *)header, table / 4, offsetof(wisp_file_header, checksum) / 4), header->checksum))
        return BAD("header checksum does not match: the file is damaged");
    if (header->plan_size >= WISP_MAX_TOTAL_SIZE || header->scratch_size >= WISP_MAX_TOTAL_SIZE ||
        header->shared_size >= WISP_MAX_TOTAL_SIZE || header->state_size >= WISP_MAX_TOTAL_SIZE || header->shape_size > INT32_MAX)
        return BAD("header: memory sizes out of range");
    if (header->plan_size % WISP_ALIGNMENT || header->scratch_size % WISP_ALIGNMENT || header->shared_size % WISP_ALIGNMENT ||
        header->state_size % WISP_ALIGNMENT)
        return BAD("header: memory sizes are not multiples of 64");
    if (!(header->flags & WISP_FILE_STATIC) && (header->plan_size || header->scratch_size || header->shared_size))
        return BAD("header: memory sizes without a plan");
    return WISP_OK;
}

static int32_t check_section(const wisp_model *model, const wisp_file_section *s, wisp_error *error) {
    const uint64_t size = model->words[1];
    const bool known = s->id < WISP_SECTION_COUNT;
    const char *name = known ? sections[s->id].name : "unknown";
    if (!known && !(s->flags & WISP_SECTION_OPTIONAL))
        return wisp_error_value(error, WISP_BAD_VERSION, "update wisp: this runtime does not know a section the file needs", s->id);
    if (s->flags & ~WISP_SECTION_OPTIONAL || !s->entry_size || (known && s->entry_size != sections[s->id].entry_size) ||
        s->size % s->entry_size || s->offset % WISP_ALIGNMENT || s->offset > size || s->size > size - s->offset ||
        round_up(s->size, 4) > size - s->offset)
        return BAD_OF("bad bounds of section", name);
    if (s->size / s->entry_size > UINT32_MAX / 256 && s->entry_size > 1) return BAD_OF("too many entries in section", name);
    if (!same_sum(sum_range(file_of(model) + s->offset, s->size), s->checksum))
        return BAD_OF("the file is damaged: checksum does not match in section", name);
    return WISP_OK;
}

static int32_t check_sections(const wisp_model *model, wisp_error *error) {
    const wisp_file_section *table = table_of(model);
    uint64_t end = sizeof(wisp_file_header) + wisp_header(model)->section_count * sizeof *table, size;
    for (uint32_t i = 0; i < wisp_header(model)->section_count; i++) {
        const wisp_file_section *s = &table[i];
        if (i && s->id <= table[i - 1].id) return BAD("sections are not in order of their ids, each once");
        int32_t status = check_section(model, s, error);
        if (status) return status;
        if (s->offset < end) return BAD("sections overlap");
        end = s->offset + round_up(s->size, 4);
    }
    const char *strings = wisp_section(model, WISP_SECTION_STRINGS, &size);
    if (!size || strings[size - 1]) return BAD("strings do not end in zero");
    return WISP_OK;
}

/* ---- tensors */

/* An extent, a symbol (inputs), or -1 (found out later). Returns false where neither holds. */
static bool good_dims(const wisp_file_tensor *t, bool open, uint64_t symbols, bool *known) {
    *known = true;
    for (int i = 0; i < WISP_MAX_RANK; i++) {
        const int32_t d = t->dims[i];
        if (i >= t->rank ? d != 0 : d < 0 && (!open || (d != -1 && (uint64_t)(-1 - (int64_t)d) >= symbols))) return false;
        if (d < 0) *known = false;
    }
    return true;
}

static bool good_flags(const wisp_file_tensor *t) {
    if (t->flags & ~(WISP_TENSOR_TEXT | WISP_TENSOR_FULL_RANGE) || t->block || t->ring) return false;
    return !(t->flags & WISP_TENSOR_TEXT) || (t->dtype == WISP_U8 && t->rank > 0);
}

/* Bytes in use of each kind's memory, and how many there are. */
typedef struct memories {
    uint64_t room[4], used[4];
} memories;

/* Of shape values and states each begins behind the one before, so that no two share a byte. */
static bool good_place(const wisp_file_tensor *t, memories *m) {
    const bool in_turn = t->kind == WISP_KIND_SHAPE || t->kind == WISP_KIND_STATE;
    if (t->offset % (t->kind == WISP_KIND_SHAPE ? 8 : WISP_ALIGNMENT) || t->offset > m->room[t->kind] ||
        t->size > m->room[t->kind] - t->offset || (in_turn && t->offset < m->used[t->kind]))
        return false;
    m->used[t->kind] = t->offset + t->size;
    return true;
}

static int32_t check_tensors(const wisp_model *model, wisp_error *error) {
    const wisp_file_header *header = wisp_header(model);
    const bool planned = header->flags & WISP_FILE_STATIC;
    uint64_t strings, weights, symbols, count, total = 0;
    wisp_section(model, WISP_SECTION_STRINGS, &strings), wisp_section(model, WISP_SECTION_WEIGHTS, &weights);
    const uint32_t *symbol_names = wisp_section(model, WISP_SECTION_SYMBOLS, &symbols);
    const wisp_file_tensor *tensors = wisp_file_tensors(model, &count);
    memories memory = {.room = {header->plan_size, weights, header->shape_size, header->state_size}};
    for (uint64_t i = 0; i < symbols; i++)
        if (symbol_names[i] >= strings) return BAD("bad name of a symbolic axis");
    for (uint64_t i = 0; i < count; i++) {
        const wisp_file_tensor *t = &tensors[i];
        if (t->name >= strings) return BAD("bad name of a tensor");
        const char *name = wisp_file_string(model, t->name);
        const bool open = t->kind == WISP_KIND_ACTIVATION && !planned;
        bool known;
        if (!wisp_dtype_size(t->dtype) || t->rank > WISP_MAX_RANK || t->kind > WISP_KIND_STATE ||
            (t->layout != WISP_LAYOUT_PLAIN && t->kind != WISP_KIND_CONSTANT))
            return BAD_OF("bad dtype, rank, kind or layout of tensor", name);
        if (!good_dims(t, open, symbols, &known)) return BAD_OF("bad dims of tensor", name);
        if (!(t->scale >= 0 && t->scale <= 3e38f)) return BAD_OF("bad scale of tensor", name);
        if (!good_flags(t)) return BAD_OF("bad flags of tensor", name);
        if (!known) continue;
        uint64_t bytes = wisp_tensor_bytes(t->dtype, t->layout, t->rank, t->dims);
        if (bytes != t->size) return BAD_OF("size does not match dims of tensor", name);
        if ((total += bytes) >= WISP_MAX_TOTAL_SIZE) return BAD("tensors are too large");
        if (!open && !good_place(t, &memory)) return BAD_OF("data out of bounds of tensor", name);
    }
    return WISP_OK;
}

/* ---- operators and graphs: operators stand graph after graph; the k-th graph parameter of the file names graph k, so each
 * graph but the first has one owner, which is in a graph before it */

static int32_t check_parameters(const wisp_model *model, const wisp_file_operator *op, const wisp_operator_entry *entry,
                                uint32_t *next_graph) {
    uint64_t words, graphs;
    const uint32_t *word = wisp_section(model, WISP_SECTION_PARAMETERS, &words);
    wisp_section(model, WISP_SECTION_GRAPHS, &graphs);
    if (op->parameters > words || op->parameter_count > words - op->parameters || op->parameter_count < entry->words) return WISP_BAD_FILE;
    word += op->parameters;
    bool arrays = false;
    for (uint32_t i = 0; i < entry->words; i++) {
        if (entry->kinds[i] == 'v') { /* count, first */
            if (word[i + 1] < entry->words || word[i + 1] > op->parameter_count || word[i] > op->parameter_count - word[i + 1])
                return WISP_BAD_FILE;
            arrays = true;
            i++;
        } else if (entry->kinds[i] == 'g') {
            if (word[i] != *next_graph || word[i] >= graphs || op->flags & WISP_OPERATOR_AT_RESIZE) return WISP_BAD_FILE;
            ++*next_graph;
        }
    }
    return arrays || op->parameter_count == entry->words ? WISP_OK : WISP_BAD_FILE;
}

static int32_t refuse_operator(uint16_t code, const char *name, wisp_error *error) {
    wisp_error_set(error, WISP_UNSUPPORTED, "this runtime has no operator with code ", NULL);
    wisp_error_number(error, code);
    wisp_error_text(error, ", used by node '");
    wisp_error_text(error, name);
    wisp_error_text(error, "': update wisp, or name the operator in WISP_OPS");
    return WISP_UNSUPPORTED;
}

static int32_t check_operator(const wisp_model *model, const wisp_file_operator *op, uint32_t *next_graph, wisp_error *error) {
    uint64_t strings, operand_count, tensor_count;
    wisp_section(model, WISP_SECTION_STRINGS, &strings);
    const uint32_t *operands = wisp_section(model, WISP_SECTION_OPERANDS, &operand_count);
    const wisp_file_tensor *tensors = wisp_file_tensors(model, &tensor_count);
    if (op->name >= strings) return BAD("bad name of a node");
    const char *name = wisp_file_string(model, op->name);
    const wisp_operator_entry *entry = wisp_find_operator(op->code);
    if (!entry) return refuse_operator(op->code, name, error);
    if (op->operands > operand_count || (uint64_t)op->input_count + op->output_count > operand_count - op->operands ||
        op->flags & ~WISP_OPERATOR_AT_RESIZE)
        return BAD_OF("bad operands of node", name);
    if (check_parameters(model, op, entry, next_graph)) return BAD_OF("bad parameters of node", name);
    const int kind = op->flags & WISP_OPERATOR_AT_RESIZE ? WISP_KIND_SHAPE : WISP_KIND_ACTIVATION;
    for (uint32_t j = 0; j < op->output_count; j++) {
        uint32_t index = operands[op->operands + op->input_count + j];
        if (index != WISP_NO_TENSOR && tensors[index].kind != kind) return BAD_OF("wrong kind of output of node", name);
    }
    return WISP_OK;
}

/* Inputs are activations, outputs plain. */
static int32_t check_interface(const wisp_model *model, const wisp_file_graph *graph, wisp_error *error) {
    uint64_t strings, operand_count, tensor_count;
    wisp_section(model, WISP_SECTION_STRINGS, &strings);
    const uint32_t *operands = wisp_section(model, WISP_SECTION_OPERANDS, &operand_count);
    const wisp_file_tensor *tensors = wisp_file_tensors(model, &tensor_count);
    if (graph->name >= strings) return BAD("bad name of a graph");
    if (graph->operands > operand_count || (uint64_t)graph->input_count + graph->output_count > operand_count - graph->operands)
        return BAD("bad inputs or outputs of a graph");
    for (uint64_t i = 0; i < (uint64_t)graph->input_count + graph->output_count; i++) {
        const uint32_t index = operands[graph->operands + i];
        if (index == WISP_NO_TENSOR) return BAD("an input or output names no tensor");
        if (i < graph->input_count ? tensors[index].kind != WISP_KIND_ACTIVATION : tensors[index].layout != WISP_LAYOUT_PLAIN)
            return BAD_OF("wrong kind of input or output tensor", wisp_file_string(model, tensors[index].name));
    }
    return WISP_OK;
}

static int32_t check_graphs(const wisp_model *model, wisp_error *error) {
    uint64_t graph_count, operator_count, operand_count, tensor_count;
    const wisp_file_graph *graphs = wisp_section(model, WISP_SECTION_GRAPHS, &graph_count);
    const wisp_file_operator *list = wisp_section(model, WISP_SECTION_OPERATORS, &operator_count);
    const uint32_t *operands = wisp_section(model, WISP_SECTION_OPERANDS, &operand_count);
    wisp_file_tensors(model, &tensor_count);
    for (uint64_t i = 0; i < operand_count; i++)
        if (operands[i] >= tensor_count && operands[i] != WISP_NO_TENSOR) return BAD("an operand names no tensor");
    if (!graph_count) return BAD("there is no graph");
    /* graphs of one depth stand together: `deeper` is the first of the next */
    uint32_t next_graph = 1, first = 0, depth = 1, deeper = 1;
    for (uint32_t g = 0; g < graph_count; g++) {
        int32_t status = check_interface(model, &graphs[g], error);
        if (status) return status;
        if (g == deeper) {
            deeper = next_graph;
            if (++depth > WISP_MAX_DEPTH)
                return wisp_error_value(error, WISP_BAD_FILE, "graphs inside graphs, deeper than", WISP_MAX_DEPTH);
        }
        if (g >= next_graph) return wisp_error_value(error, WISP_BAD_FILE, "no node owns graph", g);
        if (graphs[g].first_operator != first || graphs[g].operator_count > operator_count - first)
            return wisp_error_value(error, WISP_BAD_FILE, "bad operators of graph", g);
        for (; first < graphs[g].first_operator + graphs[g].operator_count; first++)
            if ((status = check_operator(model, &list[first], &next_graph, error))) return status;
    }
    return first == operator_count ? WISP_OK : BAD("a node belongs to no graph");
}

/* ---- states */

static bool alike(const wisp_file_tensor *a, const wisp_file_tensor *b) {
    return a->dtype == b->dtype && a->layout == b->layout && a->rank == b->rank && !memcmp(a->dims, b->dims, sizeof a->dims);
}

static int32_t check_states(const wisp_model *model, wisp_error *error) {
    uint64_t state_count, tensor_count, of_kind = 0;
    const wisp_file_state *states = wisp_section(model, WISP_SECTION_STATES, &state_count);
    const wisp_file_tensor *tensors = wisp_file_tensors(model, &tensor_count);
    for (uint64_t i = 0; i < tensor_count; i++) of_kind += tensors[i].kind == WISP_KIND_STATE;
    if (of_kind != state_count) return BAD("states and tensors of state kind differ in number");
    for (uint64_t i = 0; i < state_count; i++) {
        const wisp_file_state *s = &states[i];
        if (s->tensor >= tensor_count || s->next >= tensor_count || s->flags ||
            (s->initial != WISP_NO_TENSOR && s->initial >= tensor_count) || (i && s->tensor <= states[i - 1].tensor))
            return wisp_error_value(error, WISP_BAD_FILE, "bad state", (int64_t)i);
        const wisp_file_tensor *t = &tensors[s->tensor], *next = &tensors[s->next];
        const wisp_file_tensor *initial = s->initial == WISP_NO_TENSOR ? t : &tensors[s->initial];
        if (t->kind != WISP_KIND_STATE || next->kind == WISP_KIND_STATE || !alike(t, next) || !alike(t, initial) ||
            (s->initial != WISP_NO_TENSOR && initial->kind != WISP_KIND_CONSTANT))
            return BAD_OF("kind, dtype or dims do not fit: state", wisp_file_string(model, t->name));
    }
    return WISP_OK;
}

int32_t wisp_open(wisp_model *model, const void *data, size_t size, wisp_error *error) {
    int32_t status;
    if (!model || !data) return wisp_error_set(error, WISP_BAD_ARGUMENT, "wisp_open: null pointer", NULL);
    if ((uintptr_t)data % WISP_ALIGNMENT)
        return wisp_error_set(error, WISP_BAD_ARGUMENT, "wisp_open: the file must be aligned to 64 bytes in memory", NULL);
    *model = (wisp_model){{(uintptr_t)data, size, 0, 0}};
    if ((status = check_header(model, error)) || (status = check_sections(model, error)) || (status = check_tensors(model, error)) ||
        (status = check_graphs(model, error)) || (status = check_states(model, error)))
        model->words[0] = 0; /* a file that was refused is not used by mistake */
    return status;
}
