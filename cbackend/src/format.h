/* The .wisp file as C structs, used in place: little-endian, fixed width, naturally aligned. Normative text: docs/format.md. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_FORMAT_H
#define WISP_FORMAT_H

#include <stdint.h>

/*   0  +--------------------+
 *      | header        128  |
 * 128  +--------------------+
 *      | section table      |  section_count x 48, ascending ids; a section without entries may be left out
 *      +--------------------+  every section starts on 64 bytes, weights on 4096
 *      | symbols  tensors   |
 *      | graphs  states     |
 *      | operators operands |
 *      | parameters strings |
 *      | metadata           |
 *      +--------------------+
 *      | weights            |
 *      +--------------------+  file_size
 */

#define WISP_MAGIC 0x50534957u /* "WISP" */
#define WISP_FORMAT_MAJOR 1    /* another major: refused */
#define WISP_FORMAT_MINOR 0    /* this runtime's; a file states the lowest minor able to read it, a higher one is refused */

enum {
    WISP_SECTION_SYMBOLS = 0,    /* u32 string offset of each symbolic axis' name */
    WISP_SECTION_TENSORS = 1,    /* wisp_file_tensor, shared by all graphs */
    WISP_SECTION_GRAPHS = 2,     /* wisp_file_graph; 0 is the model */
    WISP_SECTION_STATES = 3,     /* wisp_file_state */
    WISP_SECTION_OPERATORS = 4,  /* wisp_file_operator, in execution order, shared by all graphs */
    WISP_SECTION_OPERANDS = 5,   /* u32 tensor index, or WISP_NO_TENSOR */
    WISP_SECTION_PARAMETERS = 6, /* 32-bit words, laid out by ops.def */
    WISP_SECTION_STRINGS = 7,    /* zero-terminated UTF-8; offset 0 is "" */
    WISP_SECTION_METADATA = 8,   /* JSON */
    WISP_SECTION_WEIGHTS = 9,    /* constant tensors, each on 64 bytes */
    WISP_SECTION_COUNT = 10,     /* sections this runtime knows */
    WISP_MAX_SECTIONS = 64       /* of a file */
};

#define WISP_NO_TENSOR 0xffffffffu /* an optional operand left out */

/* Fletcher sums over the little-endian 32-bit words w of a range (its length is a multiple of 4):
 * a = a + w, b = b + a, both modulo 2^64. Catches every one- and two-bit error in files below 16 GiB. */
typedef struct wisp_checksum {
    uint64_t a, b;
} wisp_checksum;

typedef struct wisp_file_header { /* 128 bytes */
    uint32_t magic;
    uint16_t major, minor;
    uint32_t section_count; /* entries of the section table, at most WISP_MAX_SECTIONS */
    uint32_t flags;         /* WISP_FILE_STATIC; other bits 0 */
    uint64_t file_size;
    uint64_t shared_size;  /* bytes of scratch that a node's threads share: a budget, 0 without a static plan */
    uint64_t plan_size;    /* bytes of activations in the arena; 0 without a static plan */
    uint64_t scratch_size; /* bytes of scratch for each thread: a budget, 0 without a static plan */
    uint64_t shape_size;   /* bytes of session memory for values computed while shapes are planned */
    uint8_t source_sha256[32];
    uint64_t state_size; /* bytes of state at the front of the arena */
    uint64_t reserved[2];
    wisp_checksum checksum; /* over header and section table, with this field zero */
} wisp_file_header;

#define WISP_FILE_STATIC 1u /* every extent is in the file, and every activation has its place */

typedef struct wisp_file_section { /* 48 bytes */
    uint32_t id;
    uint32_t entry_size;    /* bytes of one entry; 1 for strings, metadata, weights */
    uint64_t offset, size;  /* bytes from the start of the file; size excludes padding to the next section */
    wisp_checksum checksum; /* over size rounded up to 4; padding bytes are zero */
    uint32_t flags;         /* WISP_SECTION_OPTIONAL; other bits 0 */
    uint32_t reserved;
} wisp_file_section;

#define WISP_SECTION_OPTIONAL 1u /* a reader that does not know the id skips it; without: refuses the file */

enum {
    WISP_KIND_ACTIVATION = 0, /* offset in the plan */
    WISP_KIND_CONSTANT = 1,   /* offset in the weights section */
    WISP_KIND_SHAPE = 2,      /* offset in shape memory, each behind the one before: computed while shapes are planned */
    WISP_KIND_STATE = 3       /* offset in the state at the front of the arena, each behind the one before */
};

enum {                        /* how a constant's elements are arranged */
       WISP_LAYOUT_PLAIN = 0, /* row-major */
#define LAYOUT(code, name, dtype, unit, rank, round0, round1, round2) WISP_LAYOUT_##name = code,
#include "layouts.def"
#undef LAYOUT
};

typedef struct wisp_file_tensor { /* 72 bytes */
    uint32_t name;                /* string offset */
    uint8_t dtype, rank, kind, layout;
    int32_t dims[8]; /* extents; an input of the model: -1-k is symbol k; elsewhere -1: found out later. Beyond rank: 0 */
    uint64_t offset; /* see kind; multiple of 64 (shape kind: 8). Activations without a static plan: 0 */
    uint64_t size;   /* bytes; 0 while unknown */
    float scale;     /* 0: not quantized */
    int32_t zero_point;
    uint32_t block; /* values of k that share a scale, in layouts with blocks; else 0 */
    uint16_t flags; /* WISP_TENSOR_*; other bits 0 */
    uint16_t ring;  /* rows kept of an NHWC image; 0: all of them, the only value so far */
} wisp_file_tensor;

enum {
    WISP_TENSOR_TEXT = 1,      /* u8; the last axis is the bytes of a string, padded with zeros */
    WISP_TENSOR_FULL_RANGE = 2 /* s8 weights that may be -128; without it they are in -127..127 */
};

/* A range of operators; graph 0 is the model. Operators stand graph after graph, and the k-th graph parameter of the file
 * names graph k: so each graph but the first is owned by one node, in a graph before it, and graphs of one depth stand
 * together. Inputs, then outputs stand in the operand section from `operands` on. */
typedef struct wisp_file_graph { /* 32 bytes */
    uint32_t first_operator, operator_count;
    uint32_t operands;
    uint32_t input_count, output_count;
    uint32_t name; /* string offset */
    uint32_t reserved[2];
} wisp_file_graph;

/* A value that outlives a run: after a successful one `next` is copied over `tensor`. */
typedef struct wisp_file_state { /* 16 bytes */
    uint32_t tensor;             /* of state kind */
    uint32_t next;               /* a value of the model, of the same dtype and dims */
    uint32_t initial;            /* a constant of the same dtype and dims, or WISP_NO_TENSOR: zeros */
    uint32_t flags;              /* 0 */
} wisp_file_state;

typedef struct wisp_file_operator { /* 32 bytes */
    uint16_t code;                  /* ops.def */
    uint16_t flags;                 /* WISP_OPERATOR_AT_RESIZE; other bits 0 */
    uint16_t input_count, output_count;
    uint32_t name;       /* string offset */
    uint32_t operands;   /* index of the first input in the operand section; outputs follow the inputs */
    uint32_t parameters; /* index of the first word in the parameter section */
    uint32_t parameter_count;
    uint64_t reserved;
} wisp_file_operator;

#define WISP_OPERATOR_AT_RESIZE 1u /* runs while shapes are planned: all outputs are of shape kind */

/* Graphs inside graphs. The model's graph is depth 1. */
enum { WISP_MAX_DEPTH = 8 };

/* Requantization of 16 output channels, docs/quantization.md. One block of WISP_LAYOUT_CHANNELS. */
typedef struct wisp_channels_s8 { /* 256 bytes */
    int32_t bias[16];             /* added to sum(w * x), x the stored int8: carries zero points and rounding */
    int32_t bias_u8[16];          /* bias - 128 * sum(w): for kernels that feed x + 128 as unsigned */
    int32_t shift[16];            /* -15..31; right if positive */
    int32_t multiplier[16];       /* 0, or 16384..32767: Q15 */
} wisp_channels_s8;

#endif
