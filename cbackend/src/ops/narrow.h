/* Element types narrower than arithmetic: floats of 16 bits and less, integers of 4 and 2 bits, each element in bytes of its own. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_NARROW_H
#define WISP_NARROW_H

#include "eltwise.h"

/* How floats become narrower ones: to nearest even, beyond the largest number to infinity; but zeros of this struct are what
 * ONNX assumes for floats of 8 bits: the largest number instead, and float8e8m0, powers of two, is rounded up. */
typedef struct wisp_narrowing {
    bool unsaturated; /* floats of 8 bits: beyond the largest number infinity, or NaN in formats without it */
    int e8m0;         /* WISP_E8M0_* */
} wisp_narrowing;
enum { WISP_E8M0_UP, WISP_E8M0_DOWN, WISP_E8M0_NEAREST /* half-way: up */ };

/* Of a float dtype of 16 bits or less; anything else: false, and the functions below are not for it. */
bool wisp_is_narrow_float(int dtype);
/* The bits of the element for a number. NaN: as IEEE's quiet NaN where there is a choice; float4e2m1 has none and takes 0.
 * float8e8m0 has no sign and takes the magnitude. */
uint32_t wisp_narrow(int dtype, double x, wisp_narrowing how);

/* n elements at a time, to nearest even: what float16 and bfloat16 networks spend their time on. */
void wisp_f16_to_f32(const uint16_t *x, size_t n, float *y);
void wisp_f32_to_f16(const float *x, size_t n, uint16_t *y);
void wisp_bf16_to_f32(const uint16_t *x, size_t n, float *y);
void wisp_f32_to_bf16(const float *x, size_t n, uint16_t *y);

/* ---- elements of any dtype, `wide` */

/* WIDE_SIGNED, WIDE_UNSIGNED or WIDE_FLOAT: the field that holds elements of this dtype. */
int wisp_element_kind(int dtype);
/* Bits of an element that is no float. */
int wisp_integer_bits(int dtype);
void wisp_load_elements(int dtype, const void *x, size_t n, wide *out);
/* Integers are cut to the width of dtype. x and y do not overlap. */
void wisp_store_elements(int dtype, const wide *x, size_t n, void *y, wisp_narrowing how);

#endif
