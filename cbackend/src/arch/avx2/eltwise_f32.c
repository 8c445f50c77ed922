/* Element-wise f32 kernels; the tail is loaded and stored under a mask. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "avx2.h"

/* Operators have no state; a constant argument chooses one at compile time. */
enum { ADD, SUB, MUL, DIV, MINIMUM, MAXIMUM };

/* vminps and vmaxps give b when a or b is a NaN; a NaN in a is put in by hand. */
ALWAYS_INLINE __m256 apply(int op, __m256 a, __m256 b) {
    switch (op) {
        case ADD: return _mm256_add_ps(a, b);
        case SUB: return _mm256_sub_ps(a, b);
        case MUL: return _mm256_mul_ps(a, b);
        case DIV: return _mm256_div_ps(a, b);
        case MINIMUM: return _mm256_blendv_ps(_mm256_min_ps(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
        default: return _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    }
}

ALWAYS_INLINE void run_steps(int op, const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    __m256 fixed_a = _mm256_broadcast_ss(a), fixed_b = _mm256_broadcast_ss(b);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 va = step_a ? _mm256_loadu_ps(a + i) : fixed_a, vb = step_b ? _mm256_loadu_ps(b + i) : fixed_b;
        _mm256_storeu_ps(y + i, apply(op, va, vb));
    }
    if (i == n) return;
    __m256i mask = first_lanes(n - i);
    __m256 va = step_a ? _mm256_maskload_ps(a + i, mask) : fixed_a, vb = step_b ? _mm256_maskload_ps(b + i, mask) : fixed_b;
    _mm256_maskstore_ps(y + i, mask, apply(op, va, vb));
}

ALWAYS_INLINE void run(int op, const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    if (n == 0) return;
    if (step_a && step_b)
        run_steps(op, a, 1, b, 1, y, n);
    else
        run_steps(op, a, step_a, b, step_b, y, n);
}

void wisp_add_f32_avx2(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    run(ADD, a, step_a, b, step_b, y, n);
}
void wisp_sub_f32_avx2(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    run(SUB, a, step_a, b, step_b, y, n);
}
void wisp_mul_f32_avx2(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    run(MUL, a, step_a, b, step_b, y, n);
}
void wisp_div_f32_avx2(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    run(DIV, a, step_a, b, step_b, y, n);
}
void wisp_minimum_f32_avx2(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    run(MINIMUM, a, step_a, b, step_b, y, n);
}
void wisp_maximum_f32_avx2(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    run(MAXIMUM, a, step_a, b, step_b, y, n);
}

void wisp_clamp_f32_avx2(const float *x, float lo, float hi, float *y, size_t n) {
    __m256 vlo = _mm256_set1_ps(lo), vhi = _mm256_set1_ps(hi);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, clamp_ps(_mm256_loadu_ps(x + i), vlo, vhi));
    if (i == n) return;
    __m256i mask = first_lanes(n - i);
    _mm256_maskstore_ps(y + i, mask, clamp_ps(_mm256_maskload_ps(x + i, mask), vlo, vhi));
}
