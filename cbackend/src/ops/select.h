/* Shared by the select family: numbers put in an order. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_OPS_SELECT_H
#define WISP_OPS_SELECT_H

#include "shape.h"

/* What is sorted: numbers, `before` says which of two comes first. A strict order: no two are equal. */
typedef struct wisp_order {
    bool (*before)(const struct wisp_order *o, int32_t a, int32_t b);
    const void *x; /* for `before`, as what follows */
    int64_t stride, inner, outer, n;
    int dtype;
    bool descending;
} wisp_order;

void wisp_sort(const wisp_order *o, int32_t *index, int64_t n);

/* By element a * stride of x each, a NaN being the largest; of equal ones the lower index comes first. */
bool wisp_value_before(const wisp_order *o, int32_t a, int32_t b);

#endif
