/* The few library functions checkasm calls, on a board without an operating system. Formatted output is in ../hexagon/print.c. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "board.h"

size_t strlen(const char *text) {
    size_t n = 0;
    while (text[n]) n++;
    return n;
}

extern char heap_begin[], heap_end[]; /* from the linker script */

void *malloc(size_t size) {
    static size_t used;
    const size_t room = (size + 127) & ~(size_t)127;
    if (room > (size_t)(heap_end - heap_begin) - used) return NULL;
    used += room;
    return heap_begin + used - room;
}

void *aligned_alloc(size_t alignment, size_t size) {
    return alignment <= 128 ? malloc(size) : NULL;
}

void exit(int status) {
    leave(status);
}

long write(int file, const void *data, size_t size) {
    char text[128];
    (void)file;
    for (size_t at = 0; at < size;) {
        const size_t some = size - at < sizeof text - 1 ? size - at : sizeof text - 1;
        memcpy(text, (const char *)data + at, some);
        text[some] = 0;
        print_text(text);
        at += some;
    }
    return (long)size;
}

/* There is no clock: the seed is always the same, and nothing is timed. */
time_t time(time_t *now) {
    if (now) *now = 1;
    return 1;
}

int clock_gettime(int clock, struct timespec *now) {
    (void)clock;
    *now = (struct timespec){0, 0};
    return 0;
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

unsigned long long strtoull(const char *text, char **end, int base) {
    (void)end, (void)base;
    unsigned long long value = 0;
    for (; *text >= '0' && *text <= '9'; text++) value = value * 10 + (unsigned)(*text - '0');
    return value;
}

/* ---- functions of double; normal numbers only */

static uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

double fabs(double x) {
    return double_of(bits_of(x) & INT64_MAX);
}

double ldexp(double x, int e) {
    for (; e > 0; e--) x *= 2;
    for (; e < 0; e++) x *= 0.5;
    return x;
}

double floor(double x) { /* |x| < 2^31 */
    const double whole = (double)(int32_t)x;
    return whole > x ? whole - 1 : whole;
}

double sqrt(double x) {
    double root = double_of((bits_of(x) >> 1) + ((uint64_t)511 << 52) + ((uint64_t)1 << 51));
    if (x <= 0) return 0;
    for (int i = 0; i < 6; i++) root = 0.5 * (root + x / root);
    return root;
}

double log2(double x) { /* a bit of the fraction for each squaring */
    double result = (double)(int)(bits_of(x) >> 52) - 1023, bit = 0.5;
    x = double_of((bits_of(x) & (((uint64_t)1 << 52) - 1)) | (uint64_t)1023 << 52);
    for (int i = 0; i < 40; i++, bit *= 0.5) {
        x *= x;
        if (x >= 2) x *= 0.5, result += bit;
    }
    return result;
}
