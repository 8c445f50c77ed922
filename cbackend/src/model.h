/* Views of an opened file: private to the runtime. What they rest on was checked by wisp_open. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_MODEL_H
#define WISP_MODEL_H

#include "op.h"

#define WISP_MAX_TOTAL_SIZE (1ull << 47) /* bytes of all tensors, so that no sum of sizes overflows */

/* One line of ops.def, as the runtime sees it. */
typedef struct wisp_operator_entry {
    uint16_t code;
    uint8_t traits;
    uint8_t words;     /* of parameters, arrays not counted */
    const char *kinds; /* a character a word: i, f, g, and vv for an array */
    const char *name;
    const wisp_operator *op;
} wisp_operator_entry;

/* Null for a code this build lacks. */
const wisp_operator_entry *wisp_find_operator(uint16_t code);

const wisp_file_header *wisp_header(const wisp_model *model);
/* The first entry of a section, and how many there are: 0 and an undefined pointer where the file has no such section. */
const void *wisp_section(const wisp_model *model, uint32_t id, uint64_t *count);
const char *wisp_file_string(const wisp_model *model, uint32_t offset);

static inline const wisp_file_tensor *wisp_file_tensors(const wisp_model *model, uint64_t *count) {
    return wisp_section(model, WISP_SECTION_TENSORS, count);
}

/* Bytes of a tensor with these dims (all known), or UINT64_MAX: unknown dtype or layout, wrong rank, above the bound. */
uint64_t wisp_tensor_bytes(int dtype, int layout, int rank, const int32_t *dims);

static inline uint64_t round_up(uint64_t n, uint64_t step) {
    return (n + step - 1) / step * step;
}

#endif
