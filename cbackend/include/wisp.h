/* Public API of the Wisp runtime: open a .wisp file in place, prepare it in the caller's memory, run it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_H
#define WISP_H

/* Stated here and nowhere else; wisp_version() is that of the library. */
#define WISP_VERSION_MAJOR 0
#define WISP_VERSION_MINOR 1
#define WISP_VERSION_PATCH 0

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All that follows is what the shared library exports; nothing else is. */
#if defined(_WIN32) && defined(__clang__) && defined(WISP_EXPORTS)
#pragma clang attribute push(__attribute__((dllexport)), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* Life of a model:
 *
 *   wisp_open      checks the whole file; nothing later can find it malformed. The file stays where it is.
 *   wisp_prepare   binds operators, shapes and kernels in `wisp_session_size` bytes of the caller's memory.
 *   wisp_bind      gives the prepared session its arena of `wisp_arena_size` bytes.
 *   wisp_run       fills the outputs from the inputs. May be called any number of times.
 *
 * The runtime never allocates, keeps no globals and does no input or output. One opened model may serve any
 * number of sessions in any number of threads; one session belongs to one thread at a time.
 * Nothing is released by the runtime: drop the memory when done (after wisp_pool_stop where a pool was used). */

/* cffi-begin: everything up to cffi-end is parsed by the Python binding; declarations only, no macros. */

enum {
    WISP_MAX_RANK = 8,
    WISP_ALIGNMENT = 64 /* of the file in memory (mapping it does), session memory and arena */
};

typedef enum wisp_status {
    WISP_OK = 0,
    WISP_BAD_FILE = 1,     /* truncated, corrupted or contradicting itself */
    WISP_BAD_VERSION = 2,  /* written by a newer converter */
    WISP_UNSUPPORTED = 3,  /* an operator, dtype or layout this build does not run */
    WISP_BAD_SHAPE = 4,    /* shapes do not fit together, or a dynamic axis is left unbound */
    WISP_BAD_ARGUMENT = 5, /* a null pointer, an index out of range, an unaligned buffer */
    WISP_NO_MEMORY = 6,    /* the caller's buffer is too small */
    WISP_BAD_INDEX = 7     /* wisp_run only: an index taken from the data is out of range */
} wisp_status;

typedef enum wisp_dtype {
    WISP_F32 = 1,
    WISP_U8 = 2,
    WISP_S8 = 3,
    WISP_U16 = 4,
    WISP_S16 = 5,
    WISP_S32 = 6,
    WISP_S64 = 7,
    WISP_BOOL = 9,
    WISP_F16 = 10,
    WISP_F64 = 11,
    WISP_U32 = 12,
    WISP_U64 = 13,
    /* stored and converted, not computed with; those below 8 bits have a byte an element, whose low bits count */
    WISP_BF16 = 16,
    WISP_F8E4M3FN = 17,
    WISP_F8E4M3FNUZ = 18,
    WISP_F8E5M2 = 19,
    WISP_F8E5M2FNUZ = 20,
    WISP_U4 = 21,
    WISP_S4 = 22,
    WISP_F4E2M1 = 23,
    WISP_F8E8M0 = 24,
    WISP_U2 = 25,
    WISP_S2 = 26 /* the numbers are ONNX's TensorProto.DataType */
} wisp_dtype;

/* What went wrong, in one line that names the node or tensor. Valid after a call returned non-zero. */
typedef struct wisp_error {
    int32_t status;
    char message[252];
} wisp_error;

/* An opened file; the caller owns it and may copy it. `data` must stay valid and unchanged. */
typedef struct wisp_model {
    uint64_t words[4]; /* the library's own */
} wisp_model;

typedef struct wisp_tensor_info {
    const char *name;
    int32_t dtype;   /* wisp_dtype */
    int32_t rank;    /* 0..WISP_MAX_RANK */
    int32_t dims[8]; /* elements; from a model, -1-k stands for symbol k; from a session all are known */
    uint64_t size;   /* bytes; 0 while an axis is unknown */
    float scale;     /* quantized tensors: real = scale * (stored - zero_point); otherwise 0 */
    int32_t zero_point;
} wisp_tensor_info;

typedef struct wisp_session wisp_session;
typedef struct wisp_pool wisp_pool;

typedef struct wisp_options {
    const int32_t *symbols; /* one extent for each symbolic axis, in the file's order; may be null if there are none */
    uint32_t symbol_count;
    uint32_t threads;  /* 1..64; 0 means 1. Results do not depend on it. */
    uint32_t cpu_mask; /* which instruction sets may be used, see wisp_cpu_flags; 0 means all that the CPU has */
    uint32_t reserved;
    wisp_pool *pool; /* needed when threads > 1; null runs on the calling thread */
} wisp_options;

/* One line of `wisp bench`: what a node is and which kernel it got. Strings live as long as model and library. */
typedef struct wisp_node_info {
    const char *name; /* as in the source graph */
    const char *operator_name;
    const char *kernel;   /* for example "gemm_s8_avx2"; "portable" where no kernel table is involved */
    uint64_t macs;        /* multiply-accumulates for the bound shapes; 0 where the idea does not apply */
    uint64_t bytes;       /* read + written, weights included */
    int32_t output_dtype; /* of the first output */
    int32_t output_rank;
    int32_t output_dims[8];
} wisp_node_info;

const char *wisp_version(void);
const char *wisp_status_name(int32_t status);

/* Instruction sets the running CPU (and operating system) can execute, and their names in bit order (null past
 * the last). Portable C, bit 0, is always among them and does what the others leave out: a mask of WISP_CPU_SCALAR alone
 * asks for nothing else. Bits the CPU lacks are ignored. Microcontrollers have what they were built for. */
enum { WISP_CPU_SCALAR = 1 };
uint32_t wisp_cpu_flags(void);
const char *wisp_cpu_name(uint32_t bit);

/* Checks all of `data` (aligned to WISP_ALIGNMENT): structure, every offset, every checksum. Reads each byte once. */
int32_t wisp_open(wisp_model *model, const void *data, size_t size, wisp_error *error);

uint32_t wisp_input_count(const wisp_model *model);
uint32_t wisp_output_count(const wisp_model *model);
uint32_t wisp_symbol_count(const wisp_model *model);
uint32_t wisp_node_count(const wisp_model *model);
const char *wisp_symbol_name(const wisp_model *model, uint32_t index); /* null when out of range */
int32_t wisp_input_info(const wisp_model *model, uint32_t index, wisp_tensor_info *info);
int32_t wisp_output_info(const wisp_model *model, uint32_t index, wisp_tensor_info *info);
/* What a session carries from run to run. */
uint32_t wisp_state_count(const wisp_model *model);
int32_t wisp_state_info(const wisp_model *model, uint32_t index, wisp_tensor_info *info);
/* UTF-8 JSON written by the converter (labels, preprocessing, source hash, accuracy); not zero-terminated. */
const char *wisp_metadata(const wisp_model *model, uint64_t *size);

/* Bytes for wisp_prepare: depends on the file and the library; on 32-bit targets less than on 64-bit ones. 0 for a model
 * that was not opened. */
uint64_t wisp_session_size(const wisp_model *model);
/* `options` may be null: zeroed ones, which mean one thread and the best kernels of the running CPU.
 * `memory`: at least wisp_session_size bytes, aligned to WISP_ALIGNMENT, untouched by others while the session
 * lives. On success `*session` points into it. */
int32_t wisp_prepare(const wisp_model *model, const wisp_options *options, void *memory, size_t size, wisp_session **session,
                     wisp_error *error);
/* Gives a prepared session other extents of its symbolic axes, as wisp_prepare takes them. An arena that is large enough
 * stays bound, otherwise bind one again; inputs are to be written again, states keep their values. After a failure the
 * session can do nothing but be resized. */
int32_t wisp_resize(wisp_session *session, const int32_t *symbols, uint32_t symbol_count, wisp_error *error);
/* Bytes for wisp_bind: states, scratch, activations. Exact, the same on every instruction set, and at most what a file with
 * a plan states. */
uint64_t wisp_arena_size(const wisp_session *session);
/* `arena`: at least wisp_arena_size bytes, aligned to WISP_ALIGNMENT. States get their initial values when the first arena is
 * bound; binding another copies them from the one before, which must still be there. */
int32_t wisp_bind(wisp_session *session, void *arena, size_t size, wisp_error *error);
/* States get their initial values again. */
int32_t wisp_reset(wisp_session *session, wisp_error *error);

/* Where to put an input and where to find an output: inside the arena. Inputs may be overwritten by a run, so
 * write them all before each one. Null before wisp_bind or when the index is out of range. */
void *wisp_input_data(wisp_session *session, uint32_t index);
const void *wisp_output_data(const wisp_session *session, uint32_t index);
int32_t wisp_session_input_info(const wisp_session *session, uint32_t index, wisp_tensor_info *info);
int32_t wisp_session_output_info(const wisp_session *session, uint32_t index, wisp_tensor_info *info);
/* Scratch for the bound shapes: what this session uses, and what the hungriest algorithms of any processor could use. The
 * converter writes the latter into a file with a plan. */
typedef struct wisp_scratch_info {
    uint64_t shared, each;             /* bytes: of all threads together, of each */
    uint64_t could_shared, could_each; /* as these */
} wisp_scratch_info;
int32_t wisp_scratch_needs(const wisp_session *session, wisp_scratch_info *info);
int32_t wisp_session_node_info(const wisp_session *session, uint32_t index, wisp_node_info *info);
/* 1 where extents do not depend on data: inputs and outputs then stay where they are until the next wisp_resize or wisp_bind,
 * and wisp_run never asks for a larger arena. 0 otherwise. */
int32_t wisp_session_is_fixed(const wisp_session *session);

/* WISP_NO_MEMORY: extents found in the data need a larger arena. wisp_arena_size says how large; bind one, write the inputs
 * again and run again. After any failure states are as they were before. */
int32_t wisp_run(wisp_session *session, wisp_error *error);
/* As wisp_run, and adds to ticks[i] what clock() advanced during node i. `ticks` has wisp_node_count elements. */
int32_t wisp_run_timed(wisp_session *session, uint64_t (*clock)(void), uint64_t *ticks, wisp_error *error);

/* Optional thread pool, in the caller's memory, aligned to WISP_ALIGNMENT. Threads sleep between runs. A pool serves one run at a time; a
 * run that finds it busy goes on alone, with the same result. */
uint64_t wisp_pool_size(uint32_t threads);
/* Starts threads - 1 workers. Returns WISP_UNSUPPORTED where the build has no threads. */
int32_t wisp_pool_start(wisp_pool *pool, uint32_t threads);
void wisp_pool_stop(wisp_pool *pool);

/* Hosted builds: nanoseconds of a clock that only goes forward, for wisp_run_timed. 0 where the build has no threads. */
uint64_t wisp_clock(void);
/* The roof of `wisp bench`: runs the matrix kernel for WISP_F32 or WISP_S8 `repeats` times on operands that stay in the
 * first-level cache. `memory`: 32768 bytes, aligned to WISP_ALIGNMENT. Returns the multiply-accumulates done, 0 for
 * other dtypes. */
uint64_t wisp_roof(uint32_t cpu_mask, int32_t dtype, void *memory, uint32_t repeats);
/* The inner loops that an instruction set may bring a faster form of: names in order, null past the last. */
const char *wisp_slot_name(uint32_t slot);
/* Whether the instruction set of bit `bit` brings its own; 0 where the build or the running CPU lacks it. */
int32_t wisp_has_kernel(uint32_t bit, uint32_t slot);
/* Whether a node of the session uses that loop: a build for known models needs no others. */
int32_t wisp_session_uses(const wisp_session *session, uint32_t slot);

/* cffi-end */

#if defined(_WIN32) && defined(__clang__) && defined(WISP_EXPORTS)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif
#endif
