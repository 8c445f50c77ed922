/* wisp_open: every structural fact about a file is checked here, once, so that nothing later has to doubt it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "session.h"

_Static_assert(sizeof(wisp_file_header) == 128, "docs/format.md");
_Static_assert(sizeof(wisp_file_section) == 48, "docs/format.md");
_Static_assert(sizeof(wisp_file_tensor) == 72, "docs/format.md");
_Static_assert(sizeof(wisp_file_operator) == 32, "docs/format.md");
_Static_assert(sizeof(wisp_channels_s8) == 256, "docs/format.md");

#define BAD(text) wisp_error_set(error, WISP_BAD_FILE, text, NULL)

/* ---- the operator table, from ops.def */

#define OP(code, name, params) int wisp_prepare_##name(wisp_call *call);
#include "ops.def"
#undef OP

typedef struct operator_entry {
    uint16_t code;
    uint16_t words; /* of parameters */
    const char *name;
    wisp_prepare_fn *prepare;
} operator_entry;

#ifndef WISP_OPERATORS
#define WISP_OPERATORS "ops.def" /* a build with WISP_OPS has its own, shorter list */
#endif
static const operator_entry operators[] = {
#define OP(code, name, params) {code, sizeof(wisp_##name##_params) / 4, #name, wisp_prepare_##name},
#include WISP_OPERATORS
#undef OP
};

static const operator_entry *find_operator(uint16_t code) {
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (operators[i].code == code) return &operators[i];
    return NULL;
}

const char *wisp_operator_name(uint16_t code) {
    return find_operator(code)->name;
}

wisp_prepare_fn *wisp_operator_prepare(uint16_t code) {
    return find_operator(code)->prepare;
}

/* ---- views of the file */

static const wisp_file_section *section_of(const wisp_model *model, uint32_t id) {
    return (const wisp_file_section *)(const void *)(model->data + sizeof(wisp_file_header)) + id;
}

uint64_t wisp_section_entries(const wisp_model *model, uint32_t id) {
    return section_of(model, id)->size / section_of(model, id)->entry_size;
}

const wisp_file_tensor *wisp_file_tensors(const wisp_model *model) {
    return model->sections[WISP_SECTION_TENSORS];
}

const char *wisp_file_string(const wisp_model *model, uint32_t offset) {
    return (const char *)model->sections[WISP_SECTION_STRINGS] + offset;
}

/* ---- sizes */

size_t wisp_dtype_size(int dtype) {
    switch (dtype) {
        case WISP_U8:
        case WISP_S8:
        case WISP_BOOL: return 1;
        case WISP_U16:
        case WISP_S16:
        case WISP_F16: return 2;
        case WISP_F32:
        case WISP_S32:
        case WISP_U32: return 4;
        case WISP_S64:
        case WISP_U64:
        case WISP_F64: return 8;
        default: return 0;
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

uint64_t wisp_tensor_bytes(int dtype, int layout, int rank, const int32_t *dims) {
    int32_t padded[WISP_MAX_RANK];
    for (int i = 0; i < rank; i++)
        if (dims[i] < 0 || (layout != WISP_LAYOUT_PLAIN && dims[i] > INT32_MAX - 16)) return UINT64_MAX;
    memcpy(padded, dims, sizeof(int32_t) * (size_t)rank);
    uint64_t unit = wisp_dtype_size(dtype);
    bool fits = unit != 0;
    switch (layout) {
        case WISP_LAYOUT_PLAIN: break;
        case WISP_LAYOUT_GEMM_S8:
            fits = dtype == WISP_S8 && rank == 3;
            if (fits) padded[0] = (dims[0] + 15) / 16 * 16, padded[2] = (dims[2] + 3) / 4 * 4;
            break;
        case WISP_LAYOUT_GEMM_F32:
            fits = dtype == WISP_F32 && rank == 3;
            if (fits) padded[0] = (dims[0] + 15) / 16 * 16;
            break;
        case WISP_LAYOUT_DW_S8:
            fits = dtype == WISP_S8 && rank == 2;
            if (fits) padded[0] = (dims[0] + 1) / 2 * 2, padded[1] = (dims[1] + 15) / 16 * 16;
            break;
        case WISP_LAYOUT_DW_F32:
            fits = dtype == WISP_F32 && rank == 2;
            if (fits) padded[1] = (dims[1] + 15) / 16 * 16;
            break;
        case WISP_LAYOUT_CHANNELS:
            fits = dtype == WISP_S32 && rank == 1;
            if (fits) padded[0] = (dims[0] + 15) / 16, unit = sizeof(wisp_channels_s8);
            break;
        default: fits = false;
    }
    if (!fits) return UINT64_MAX;
    uint64_t count = bounded_product(padded, rank);
    return count >= WISP_MAX_TOTAL_SIZE / 8 ? UINT64_MAX : count * unit;
}

/* ---- checks */

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

static const uint32_t entry_sizes[WISP_SECTION_COUNT] = {
    4, sizeof(wisp_file_tensor), 4, 4, sizeof(wisp_file_operator), 4, 4, 1, 1, 1,
};
static const char *const section_names[WISP_SECTION_COUNT] = {
    "symbols", "tensors", "inputs", "outputs", "operators", "operands", "parameters", "strings", "metadata", "weights",
};

static int32_t check_header(const uint8_t *data, uint64_t size, wisp_error *error) {
    const wisp_file_header *header = (const void *)data;
    const uint64_t table = sizeof(wisp_file_header) + WISP_SECTION_COUNT * sizeof(wisp_file_section);
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
    if (size < table) return BAD("file is truncated inside the header");
    if (header->file_size != size) return BAD(header->file_size > size ? "file is truncated" : "file has bytes after its end");
    if (header->section_count != WISP_SECTION_COUNT || header->flags) return BAD("header: unknown sections or flags");
    if (!same_sum(sum_words(data, table / 4, offsetof(wisp_file_header, checksum) / 4), header->checksum))
        return BAD("header checksum does not match: the file is damaged");
    return WISP_OK;
}

static int32_t check_sections(wisp_model *model, wisp_error *error) {
    uint64_t end = sizeof(wisp_file_header) + WISP_SECTION_COUNT * sizeof(wisp_file_section);
    for (uint32_t id = 0; id < WISP_SECTION_COUNT; id++) {
        const wisp_file_section *s = section_of(model, id);
        if (s->id != id || s->entry_size != entry_sizes[id] || s->size % s->entry_size || s->offset % 64 || s->offset < end ||
            s->offset > model->size || s->size > model->size - s->offset || round_up(s->size, 4) > model->size - s->offset)
            return wisp_error_set(error, WISP_BAD_FILE, "bad bounds of section", section_names[id]);
        if (s->size / s->entry_size > UINT32_MAX / 256 && s->entry_size > 1)
            return wisp_error_set(error, WISP_BAD_FILE, "too many entries in section", section_names[id]);
        end = s->offset + round_up(s->size, 4);
        if (!same_sum(sum_range(model->data + s->offset, s->size), s->checksum))
            return wisp_error_set(error, WISP_BAD_FILE, "the file is damaged: checksum does not match in section", section_names[id]);
        model->sections[id] = model->data + s->offset;
    }
    const wisp_file_section *strings = section_of(model, WISP_SECTION_STRINGS);
    if (!strings->size || model->data[strings->offset + strings->size - 1]) return BAD("strings do not end in zero");
    return WISP_OK;
}

/* A static extent, a symbol (inputs), or -1 (to be inferred). Returns false where neither holds. */
static bool good_dims(const wisp_file_tensor *t, bool dynamic, uint64_t symbols, bool *known) {
    *known = true;
    for (int i = 0; i < WISP_MAX_RANK; i++) {
        if (i >= t->rank ? t->dims[i] != 0
                         : t->dims[i] < 0 && (!dynamic || (t->dims[i] != -1 && (uint64_t)(-1 - (int64_t)t->dims[i]) >= symbols)))
            return false;
        if (t->dims[i] < 0) *known = false;
    }
    return true;
}

static int32_t check_tensors(const wisp_model *model, wisp_error *error) {
    const wisp_file_header *header = model->header;
    const wisp_file_tensor *tensors = wisp_file_tensors(model);
    uint64_t strings = section_of(model, WISP_SECTION_STRINGS)->size, weights = section_of(model, WISP_SECTION_WEIGHTS)->size;
    uint64_t symbols = wisp_section_entries(model, WISP_SECTION_SYMBOLS), total = 0;
    const uint32_t *symbol_names = model->sections[WISP_SECTION_SYMBOLS];
    for (uint64_t i = 0; i < symbols; i++)
        if (symbol_names[i] >= strings) return BAD("bad name of a symbolic axis");
    if (header->plan_size >= WISP_MAX_TOTAL_SIZE || header->scratch_size >= WISP_MAX_TOTAL_SIZE || header->shape_size > INT32_MAX)
        return BAD("header: memory sizes out of range");
    for (uint64_t i = 0; i < wisp_section_entries(model, WISP_SECTION_TENSORS); i++) {
        const wisp_file_tensor *t = &tensors[i];
        if (t->name >= strings) return BAD("bad name of a tensor");
        const char *name = wisp_file_string(model, t->name);
        bool known, plain = t->layout == WISP_LAYOUT_PLAIN, activation = t->kind == WISP_KIND_ACTIVATION;
        if (!wisp_dtype_size(t->dtype) || t->rank > WISP_MAX_RANK || t->kind > WISP_KIND_SHAPE || (!plain && t->kind != WISP_KIND_CONSTANT))
            return wisp_error_set(error, WISP_BAD_FILE, "bad dtype, rank, kind or layout of tensor", name);
        if (!good_dims(t, activation && !header->plan_size, symbols, &known))
            return wisp_error_set(error, WISP_BAD_FILE, "bad dims of tensor", name);
        if (!(t->scale >= 0 && t->scale <= 3e38f)) return wisp_error_set(error, WISP_BAD_FILE, "bad scale of tensor", name);
        if (!known) continue;
        uint64_t bytes = wisp_tensor_bytes(t->dtype, t->layout, t->rank, t->dims);
        if (bytes != t->size) return wisp_error_set(error, WISP_BAD_FILE, "size does not match dims of tensor", name);
        total += bytes;
        if (total >= WISP_MAX_TOTAL_SIZE) return BAD("tensors are too large");
        uint64_t room = activation ? header->plan_size : t->kind == WISP_KIND_CONSTANT ? weights : header->shape_size;
        if (activation && !header->plan_size) continue;
        if (t->offset % (t->kind == WISP_KIND_SHAPE ? 8 : 64) || t->offset > room || bytes > room - t->offset)
            return wisp_error_set(error, WISP_BAD_FILE, "data out of bounds of tensor", name);
    }
    return WISP_OK;
}

static int32_t check_operators(const wisp_model *model, wisp_error *error) {
    const wisp_file_operator *list = model->sections[WISP_SECTION_OPERATORS];
    const uint32_t *operands = model->sections[WISP_SECTION_OPERANDS];
    uint64_t operand_count = wisp_section_entries(model, WISP_SECTION_OPERANDS);
    uint64_t words = wisp_section_entries(model, WISP_SECTION_PARAMETERS);
    uint64_t tensors = wisp_section_entries(model, WISP_SECTION_TENSORS);
    for (uint64_t i = 0; i < operand_count; i++)
        if (operands[i] >= tensors && operands[i] != WISP_NO_TENSOR) return BAD("an operand names no tensor");
    for (uint64_t i = 0; i < wisp_section_entries(model, WISP_SECTION_OPERATORS); i++) {
        const wisp_file_operator *op = &list[i];
        if (op->name >= section_of(model, WISP_SECTION_STRINGS)->size) return BAD("bad name of a node");
        const char *name = wisp_file_string(model, op->name);
        const operator_entry *entry = find_operator(op->code);
        if (!entry) {
            wisp_error_set(error, WISP_UNSUPPORTED, "this runtime has no operator with code ", NULL);
            wisp_error_number(error, op->code);
            wisp_error_text(error, ", used by node '");
            wisp_error_text(error, name);
            wisp_error_text(error, "': update wisp, or name the operator in WISP_OPS");
            return WISP_UNSUPPORTED;
        }
        if (op->parameters > words || op->parameter_count > words - op->parameters || op->parameter_count != entry->words ||
            op->operands > operand_count || (uint64_t)op->input_count + op->output_count > operand_count - op->operands ||
            op->flags & ~WISP_OPERATOR_AT_PREPARE)
            return wisp_error_set(error, WISP_BAD_FILE, "bad operands or parameters of node", name);
        for (uint32_t j = 0; j < op->output_count; j++) {
            uint32_t index = operands[op->operands + op->input_count + j];
            int kind = op->flags & WISP_OPERATOR_AT_PREPARE ? WISP_KIND_SHAPE : WISP_KIND_ACTIVATION;
            if (index != WISP_NO_TENSOR && wisp_file_tensors(model)[index].kind != kind)
                return wisp_error_set(error, WISP_BAD_FILE, "wrong kind of output of node", name);
        }
    }
    return WISP_OK;
}

static int32_t check_interface(const wisp_model *model, wisp_error *error) {
    for (uint32_t id = WISP_SECTION_INPUTS; id <= WISP_SECTION_OUTPUTS; id++) {
        const uint32_t *list = model->sections[id];
        for (uint64_t i = 0; i < wisp_section_entries(model, id); i++) {
            if (list[i] >= wisp_section_entries(model, WISP_SECTION_TENSORS)) return BAD("an input or output names no tensor");
            const wisp_file_tensor *t = &wisp_file_tensors(model)[list[i]];
            if (id == WISP_SECTION_INPUTS ? t->kind != WISP_KIND_ACTIVATION : t->layout != WISP_LAYOUT_PLAIN)
                return wisp_error_set(error, WISP_BAD_FILE, "wrong kind of input or output tensor", wisp_file_string(model, t->name));
        }
    }
    return WISP_OK;
}

int32_t wisp_open(wisp_model *model, const void *data, size_t size, wisp_error *error) {
    int32_t status;
    if (!model || !data) return wisp_error_set(error, WISP_BAD_ARGUMENT, "wisp_open: null pointer", NULL);
    if ((uintptr_t)data % WISP_ALIGNMENT)
        return wisp_error_set(error, WISP_BAD_ARGUMENT, "wisp_open: the file must be aligned to 64 bytes in memory", NULL);
    memset(model, 0, sizeof *model);
    model->data = data;
    model->size = size;
    model->header = data;
    if ((status = check_header(data, size, error))) return status;
    if ((status = check_sections(model, error))) return status;
    if ((status = check_tensors(model, error))) return status;
    if ((status = check_operators(model, error))) return status;
    return check_interface(model, error);
}

/* ---- questions about an opened model */

uint32_t wisp_input_count(const wisp_model *model) {
    return (uint32_t)wisp_section_entries(model, WISP_SECTION_INPUTS);
}

uint32_t wisp_output_count(const wisp_model *model) {
    return (uint32_t)wisp_section_entries(model, WISP_SECTION_OUTPUTS);
}

uint32_t wisp_symbol_count(const wisp_model *model) {
    return (uint32_t)wisp_section_entries(model, WISP_SECTION_SYMBOLS);
}

uint32_t wisp_node_count(const wisp_model *model) {
    return (uint32_t)wisp_section_entries(model, WISP_SECTION_OPERATORS);
}

const char *wisp_symbol_name(const wisp_model *model, uint32_t index) {
    const uint32_t *names = model->sections[WISP_SECTION_SYMBOLS];
    return index < wisp_symbol_count(model) ? wisp_file_string(model, names[index]) : NULL;
}

static int32_t describe(const wisp_model *model, uint32_t section, uint32_t index, wisp_tensor_info *info) {
    if (index >= wisp_section_entries(model, section)) return WISP_BAD_ARGUMENT;
    const wisp_file_tensor *t = &wisp_file_tensors(model)[((const uint32_t *)model->sections[section])[index]];
    info->name = wisp_file_string(model, t->name);
    info->dtype = t->dtype;
    info->rank = t->rank;
    memcpy(info->dims, t->dims, sizeof info->dims);
    info->size = t->size;
    info->scale = t->scale;
    info->zero_point = t->zero_point;
    return WISP_OK;
}

int32_t wisp_input_info(const wisp_model *model, uint32_t index, wisp_tensor_info *info) {
    return describe(model, WISP_SECTION_INPUTS, index, info);
}

int32_t wisp_output_info(const wisp_model *model, uint32_t index, wisp_tensor_info *info) {
    return describe(model, WISP_SECTION_OUTPUTS, index, info);
}

const char *wisp_metadata(const wisp_model *model, uint64_t *size) {
    *size = section_of(model, WISP_SECTION_METADATA)->size;
    return model->sections[WISP_SECTION_METADATA];
}

uint64_t wisp_session_size(const wisp_model *model) {
    const wisp_file_header *header = model->header;
    return WISP_SESSION_STRUCT + round_up(wisp_section_entries(model, WISP_SECTION_TENSORS) * sizeof(wisp_tensor), 64) +
           round_up(wisp_section_entries(model, WISP_SECTION_OPERATORS) * sizeof(wisp_node), 64) + round_up(header->shape_size, 64);
}
