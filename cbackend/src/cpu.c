/* Which instruction sets the running processor and its operating system can execute. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wisp.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

enum {
    XCR0_YMM = 0x06, /* SSE and AVX state */
    XCR0_ZMM = 0xe6  /* and opmask, upper halves of zmm0-15, zmm16-31 */
};

static bool all(uint32_t word, uint32_t bits) {
    return (word & bits) == bits;
}

/* Register state the operating system saves and restores: the low half of XCR0, or 0 without XGETBV. */
static uint32_t saved_state(void) {
    uint32_t eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE)) return 0;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return eax;
}

static bool has_avx2(void) {
    uint32_t eax, ebx, ecx, edx;
    if (!all(saved_state(), XCR0_YMM)) return false;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !all(ecx, bit_AVX | bit_FMA)) return false;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && all(ebx, bit_AVX2);
}

static bool has_avx512vnni(void) {
    uint32_t eax, ebx, ecx, edx;
    if (!has_avx2() || !all(saved_state(), XCR0_ZMM)) return false;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && all(ebx, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL) &&
           all(ecx, bit_AVX512VNNI);
}
#else
static bool has_avx2(void) {
    return false;
}
static bool has_avx512vnni(void) {
    return false;
}
#endif

#if defined(__aarch64__)
static bool has_neon(void) {
    return true;
} /* part of the base architecture */
#elif defined(__arm__) && defined(__linux__)
#include <sys/auxv.h>

enum { HWCAP_BITS = 1 << 12 | 1 << 16 }; /* NEON; VFPv4: NEON with fused multiply-add */

static bool has_neon(void) {
    return (getauxval(AT_HWCAP) & HWCAP_BITS) == HWCAP_BITS;
}
#else
static bool has_neon(void) {
    return false;
}
#endif

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

enum { DOTPROD_BIT = 20, I8MM_BIT = 13 }; /* of AT_HWCAP, of AT_HWCAP2 */

static bool has_dotprod(void) {
    return getauxval(AT_HWCAP) >> DOTPROD_BIT & 1;
}
static bool has_i8mm(void) {
    return has_dotprod() && getauxval(AT_HWCAP2) >> I8MM_BIT & 1;
}
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>

static bool has_feature(const char *name) {
    int value = 0;
    size_t size = sizeof value;
    return !sysctlbyname(name, &value, &size, NULL, 0) && value;
}
static bool has_dotprod(void) {
    return has_feature("hw.optional.arm.FEAT_DotProd");
}
static bool has_i8mm(void) {
    return has_dotprod() && has_feature("hw.optional.arm.FEAT_I8MM");
}
#elif defined(__aarch64__) && defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

enum { DP_INSTRUCTIONS = 43, I8MM_INSTRUCTIONS = 66 }; /* PF_ARM_V82_DP_, PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE: not in every SDK */

static bool has_dotprod(void) {
    return IsProcessorFeaturePresent(DP_INSTRUCTIONS);
}
static bool has_i8mm(void) {
    return has_dotprod() && IsProcessorFeaturePresent(I8MM_INSTRUCTIONS);
}
#else
static bool has_dotprod(void) {
    return false;
}
static bool has_i8mm(void) {
    return false;
}
#endif

#if defined(__riscv) && defined(__linux__)
#include <sys/auxv.h>

/* The kernel's V bit also stands on processors with the incompatible draft 0.7.1. There a vtype with the bits of 1.0 for
 * agnostic tails is reserved, which makes the whole of it negative. vsetvli t0, zero, e8, m1, ta, ma; then read vtype. */
static bool has_rvv(void) {
    long vtype;
    if (!(getauxval(AT_HWCAP) & 1ul << ('V' - 'A'))) return false;
    __asm__ volatile(".4byte 0x0c0072d7\n\tcsrr %0, 0xc21" : "=r"(vtype) : : "t0");
    return vtype >= 0;
}

/* 0xc22: vlenb, by its number because this file is compiled for processors without vectors. */
static bool has_rvv256(void) {
    unsigned long bytes;
    if (!has_rvv()) return false;
    __asm__ volatile("csrr %0, 0xc22" : "=r"(bytes));
    return bytes >= 32;
}
#else
static bool has_rvv(void) {
    return false;
}
static bool has_rvv256(void) {
    return false;
}
#endif

static bool has_simd128(void) {
#ifdef WISP_HAVE_SIMD128
    return true; /* the module was loaded */
#else
    return false;
#endif
}

/* Microcontrollers and ARMv6 run what they were built for. */
static bool has_dsp(void) {
#ifdef WISP_HAVE_DSP
    return true;
#else
    return false;
#endif
}

static bool has_mve(void) {
#ifdef WISP_HAVE_MVE
    return true;
#else
    return false;
#endif
}

/* The caller of the whole library must hold the vector unit: cbackend/hexagon/README.md. */
static bool has_hvx(void) {
#ifdef WISP_HAVE_HVX
    return true;
#else
    return false;
#endif
}

static bool has_scalar(void) {
    return true;
}

static const struct {
    const char *name;
    uint32_t bit;
    bool (*detect)(void);
} instruction_sets[] = {
    {"scalar", WISP_CPU_SCALAR, has_scalar},
    {"avx2", WISP_CPU_AVX2, has_avx2},
    {"avx512vnni", WISP_CPU_AVX512VNNI, has_avx512vnni},
    {"neon", WISP_CPU_NEON, has_neon},
    {"rvv", WISP_CPU_RVV, has_rvv},
    {"simd128", WISP_CPU_SIMD128, has_simd128},
    {"dsp", WISP_CPU_DSP, has_dsp},
    {"mve", WISP_CPU_MVE, has_mve},
    {"hvx", WISP_CPU_HVX, has_hvx},
    {"dotprod", WISP_CPU_DOTPROD, has_dotprod},
    {"i8mm", WISP_CPU_I8MM, has_i8mm},
    {"rvv256", WISP_CPU_RVV256, has_rvv256},
};

enum { SET_COUNT = sizeof instruction_sets / sizeof instruction_sets[0] };

uint32_t wisp_cpu_flags(void) {
    uint32_t flags = 0;
    for (int i = 0; i < SET_COUNT; i++)
        if (instruction_sets[i].detect()) flags |= instruction_sets[i].bit;
    return flags;
}

uint32_t wisp_allowed_sets(uint32_t mask) {
    return wisp_cpu_flags() & (mask ? mask : UINT32_MAX);
}

const char *wisp_cpu_name(uint32_t bit) {
    return bit < SET_COUNT ? instruction_sets[bit].name : NULL;
}
