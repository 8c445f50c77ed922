/* Instruction sets this library knows: one bit for each, oldest to newest where one builds on another. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_CPU_H
#define WISP_CPU_H

#include <stdint.h>

/* WISP_CPU_SCALAR of wisp.h is bit 0. Released bits never change their meaning; a new set gets the next bit. cpu.c has name and
 * detection. */
enum {
    WISP_CPU_AVX2 = 1 << 1,       /* AVX2, FMA; the operating system keeps ymm registers */
    WISP_CPU_AVX512VNNI = 1 << 2, /* AVX-512 F, BW, DQ, VL, VNNI on top of AVX2; the operating system keeps zmm registers */
    WISP_CPU_NEON = 1 << 3,       /* Advanced SIMD of ARMv8-A, or of ARMv7-A with VFPv4 */
    WISP_CPU_RVV = 1 << 4,        /* RISC-V vector extension 1.0, registers of 128 bits or more */
    WISP_CPU_SIMD128 = 1 << 5,    /* WebAssembly fixed-width SIMD; an engine without it refuses the module */
    WISP_CPU_DSP = 1 << 6,        /* Cortex-M with the DSP extension, ARMv6 with SIMD32; chosen when the library is built */
    WISP_CPU_MVE = 1 << 7,        /* Cortex-M with Helium; chosen when the library is built */
    WISP_CPU_HVX = 1 << 8,        /* Hexagon vectors of 128 bytes, v66 or later; chosen when the library is built */
    WISP_CPU_DOTPROD = 1 << 9,    /* FEAT_DotProd on top of NEON, 64-bit ARM */
    WISP_CPU_I8MM = 1 << 10,      /* FEAT_I8MM on top of DotProd, 64-bit ARM */
    WISP_CPU_RVV256 = 1 << 11     /* RVV with registers of 256 bits or more */
};

/* A caller's mask as kernels are found by it: all that the processor has where it is 0, otherwise what it has of it. */
uint32_t wisp_allowed_sets(uint32_t mask);

#endif
