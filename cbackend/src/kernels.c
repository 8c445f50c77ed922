/* Finds kernels: const tables of the instruction sets, asked from newest to oldest. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels.h"

#include <string.h>

#include "cpu.h"
#include "wisp.h"

extern const wisp_kernels wisp_kernels_avx2, wisp_kernels_avx512vnni, wisp_kernels_neon, wisp_kernels_dotprod, wisp_kernels_i8mm;
extern const wisp_kernels wisp_kernels_rvv, wisp_kernels_rvv256, wisp_kernels_simd128, wisp_kernels_dsp, wisp_kernels_mve, wisp_kernels_hvx;

static const struct {
    uint32_t flag;
    const wisp_kernels *kernels;
} sets[] = {
#ifdef WISP_HAVE_AVX512VNNI
    {WISP_CPU_AVX512VNNI, &wisp_kernels_avx512vnni},
#endif
#ifdef WISP_HAVE_AVX2
    {WISP_CPU_AVX2, &wisp_kernels_avx2},
#endif
#ifdef WISP_HAVE_I8MM
    {WISP_CPU_I8MM, &wisp_kernels_i8mm},
#endif
#ifdef WISP_HAVE_DOTPROD
    {WISP_CPU_DOTPROD, &wisp_kernels_dotprod},
#endif
#ifdef WISP_HAVE_NEON
    {WISP_CPU_NEON, &wisp_kernels_neon},
#endif
#ifdef WISP_HAVE_RVV256
    {WISP_CPU_RVV256, &wisp_kernels_rvv256},
#endif
#ifdef WISP_HAVE_RVV
    {WISP_CPU_RVV, &wisp_kernels_rvv},
#endif
#ifdef WISP_HAVE_SIMD128
    {WISP_CPU_SIMD128, &wisp_kernels_simd128},
#endif
#ifdef WISP_HAVE_MVE
    {WISP_CPU_MVE, &wisp_kernels_mve},
#endif
#ifdef WISP_HAVE_DSP
    {WISP_CPU_DSP, &wisp_kernels_dsp},
#endif
#ifdef WISP_HAVE_HVX
    {WISP_CPU_HVX, &wisp_kernels_hvx},
#endif
    {WISP_CPU_SCALAR, &wisp_kernels_scalar}, /* the last resort, whatever the mask */
};

enum { SET_COUNT = sizeof sets / sizeof sets[0] };

typedef void any_fn(void);
_Static_assert(sizeof(wisp_kernels) == WISP_SLOT_COUNT * sizeof(any_fn *) && sizeof(any_fn *) == sizeof(void *),
               "a table is slots of one size");

bool wisp_is_filled(const wisp_kernels *kernels, int slot) {
    any_fn *kernel;
    memcpy(&kernel, (const char *)kernels + (size_t)slot * sizeof kernel, sizeof kernel);
    return kernel != NULL;
}

const void *wisp_find_kernel(uint32_t mask, int slot) {
    int i = 0;
    while (i < SET_COUNT - 1 && !(sets[i].flag & mask && wisp_is_filled(sets[i].kernels, slot))) i++;
    return (const char *)sets[i].kernels + (size_t)slot * sizeof(any_fn *);
}

const wisp_kernels *wisp_kernels_of(uint32_t bit) {
    for (int i = 0; i < SET_COUNT; i++)
        if (sets[i].flag == UINT32_C(1) << bit) return sets[i].kernels;
    return NULL;
}
