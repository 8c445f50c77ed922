/* memcpy and its kin where no C library is linked: eight bytes at a time where both sides allow it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

/* clang calls this for copies it knows to be of whole double words, at least 32 bytes, likely aligned. */
void *__hexagon_memcpy_likely_aligned_min32bytes_mult8bytes(void *to, const void *from, size_t size);

typedef uint64_t __attribute__((may_alias)) block;

static int both_aligned(const void *a, const void *b) {
    return (((uintptr_t)a | (uintptr_t)b) & (sizeof(block) - 1)) == 0;
}

/* Unaligned sources: two aligned double words make one. They hold at least one wanted byte each, so no other page is read. */
static size_t copy_shifted(char *to, const char *from, size_t size) {
    const uintptr_t offset = (uintptr_t)from & 7;
    const block *source = (const block *)((uintptr_t)from - offset);
    size_t done = 0;
    uint64_t low = *source;
    for (; done + 8 <= size; done += 8) {
        uint64_t high = *++source;
        *(block *)(void *)(to + done) = low >> (8 * offset) | high << (64 - 8 * offset);
        low = high;
    }
    return done;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    char *t = to;
    const char *f = from;
    for (; size && ((uintptr_t)t & 7); size--) *t++ = *f++;
    size_t done = 0;
    if (both_aligned(t, f))
        for (; done + 8 <= size; done += 8) *(block *)(void *)(t + done) = *(const block *)(const void *)(f + done);
    else if (size >= 8)
        done = copy_shifted(t, f, size);
    for (; done < size; done++) t[done] = f[done];
    return to;
}

void *__hexagon_memcpy_likely_aligned_min32bytes_mult8bytes(void *to, const void *from, size_t size) {
    return memcpy(to, from, size);
}

void *memmove(void *to, const void *from, size_t size) {
    char *t = to;
    const char *f = from;
    if ((uintptr_t)t - (uintptr_t)f >= size) return memcpy(to, from, size); /* forward copies are safe */
    if (both_aligned(t + size, f + size))
        for (; size >= 8; size -= 8) *(block *)(void *)(t + size - 8) = *(const block *)(const void *)(f + size - 8);
    while (size--) t[size] = f[size];
    return to;
}

void *memset(void *to, int value, size_t size) {
    char *t = to;
    const uint64_t eight = 0x0101010101010101u * (uint8_t)value;
    for (; size && ((uintptr_t)t & 7); size--) *t++ = (char)value;
    for (; size >= 8; size -= 8, t += 8) *(block *)(void *)t = eight;
    while (size--) *t++ = (char)value;
    return to;
}

int memcmp(const void *a, const void *b, size_t size) {
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < size; i++)
        if (x[i] != y[i]) return x[i] - y[i];
    return 0;
}

/* What clang makes of a memcmp that is only compared with zero. */
int bcmp(const void *a, const void *b, size_t size);

int bcmp(const void *a, const void *b, size_t size) {
    return memcmp(a, b, size);
}

size_t strlen(const char *text) {
    size_t n = 0;
    while (text[n]) n++;
    return n;
}
