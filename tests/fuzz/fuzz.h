/* The parts of the fuzzer: a file taken apart, edits of it, and what makes an edited file pass more checks. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_FUZZ_H
#define WISP_FUZZ_H

#include "session.h"

enum {
    MAX_SYMBOLS = 16,
    MAX_TENSORS = 128,
    MAX_GRAPHS = 16,
    MAX_STATES = 8,
    MAX_OPERATORS = 48,
    MAX_OPERANDS = 1024,
    MAX_WORDS = 2048,
    MAX_STRINGS = 8192,
    MAX_METADATA = 2048,
    MAX_WEIGHTS = 1 << 16,
    MAX_FILE = 1 << 18,
    MAX_BYTES = 1 << 20 /* of a session, of an arena: larger ones are not run */
};

/* file.c: the sections of a file, each with its number of entries. */
typedef struct fuzz_file {
    wisp_file_header header;
    uint64_t counts[WISP_SECTION_COUNT];
    uint32_t symbols[MAX_SYMBOLS];
    wisp_file_tensor tensors[MAX_TENSORS];
    wisp_file_graph graphs[MAX_GRAPHS];
    wisp_file_state states[MAX_STATES];
    wisp_file_operator operators[MAX_OPERATORS];
    uint32_t operands[MAX_OPERANDS];
    uint32_t words[MAX_WORDS];
    char strings[MAX_STRINGS];
    char metadata[MAX_METADATA];
    uint8_t weights[MAX_WEIGHTS];
} fuzz_file;

/* False where the file is no file, or larger than the above. */
bool fuzz_parse(fuzz_file *f, const uint8_t *data, size_t size);
/* Returns the bytes written, 0 where `room` is too small. */
size_t fuzz_write(const fuzz_file *f, uint8_t *data, size_t room);
/* Makes checksums and the file's size right again. */
void fuzz_repair(uint8_t *data, size_t size);

/* main.c */
void *fuzz_allocate(size_t size); /* aligned; under the address sanitizer every byte past the end is watched */
extern int32_t fuzz_symbols[MAX_SYMBOLS];
/* Numbers from the seed that the fuzzer gave. */
uint32_t fuzz_random(void);
static inline uint32_t below(uint32_t n) {
    return fuzz_random() % n;
}
static inline bool one_in(uint32_t n) {
    return below(n) == 0;
}

/* mutate.c: one edit, wherever it likes. */
void fuzz_edit(fuzz_file *f);
int fuzz_dtype(void);
/* Every activation but the inputs is of unknown extent, and no plan. */
void fuzz_make_dynamic(fuzz_file *f);

/* order.c */
void fuzz_order(fuzz_file *f);

/* fit.c */
/* Sizes, offsets and counts that agree with the rest again. */
void fuzz_fit(fuzz_file *f);
/* Changes dtypes, ranks and dims as the messages of wisp_prepare ask for; may turn the file into one with a plan. */
void fuzz_settle(fuzz_file *f);

#endif
