/* Fills the kernel table; the one place an instruction set is chosen. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels.h"

#include "cpu.h"
#include "wisp.h"

/* One function for each folder of arch: overwrites the slots it has something better for. */
void wisp_kernels_scalar(wisp_kernels *table);
void wisp_kernels_avx2(wisp_kernels *table);
void wisp_kernels_avx512vnni(wisp_kernels *table);
void wisp_kernels_neon(wisp_kernels *table);
void wisp_kernels_dotprod(wisp_kernels *table);
void wisp_kernels_i8mm(wisp_kernels *table);
void wisp_kernels_rvv(wisp_kernels *table);
void wisp_kernels_simd128(wisp_kernels *table);
void wisp_kernels_dsp(wisp_kernels *table);
void wisp_kernels_mve(wisp_kernels *table);
void wisp_kernels_hvx(wisp_kernels *table);

void wisp_kernels_init(wisp_kernels *table, uint32_t cpu_mask) {
    uint32_t usable = cpu_mask & wisp_cpu_flags();
    (void)usable; /* in a build with scalar kernels only */
    wisp_kernels_scalar(table);
#ifdef WISP_HAVE_AVX2
    if (usable & WISP_CPU_AVX2) wisp_kernels_avx2(table);
#endif
#ifdef WISP_HAVE_AVX512VNNI
    if (usable & WISP_CPU_AVX512VNNI) wisp_kernels_avx512vnni(table);
#endif
#ifdef WISP_HAVE_NEON
    if (usable & WISP_CPU_NEON) wisp_kernels_neon(table);
#endif
#ifdef WISP_HAVE_DOTPROD
    if (usable & WISP_CPU_DOTPROD) wisp_kernels_dotprod(table);
#endif
#ifdef WISP_HAVE_I8MM
    if (usable & WISP_CPU_I8MM) wisp_kernels_i8mm(table);
#endif
#ifdef WISP_HAVE_RVV
    if (usable & WISP_CPU_RVV) wisp_kernels_rvv(table);
#endif
#ifdef WISP_HAVE_SIMD128
    if (usable & WISP_CPU_SIMD128) wisp_kernels_simd128(table);
#endif
#ifdef WISP_HAVE_DSP
    if (usable & WISP_CPU_DSP) wisp_kernels_dsp(table);
#endif
#ifdef WISP_HAVE_MVE
    if (usable & WISP_CPU_MVE) wisp_kernels_mve(table);
#endif
#ifdef WISP_HAVE_HVX
    if (usable & WISP_CPU_HVX) wisp_kernels_hvx(table);
#endif
}
