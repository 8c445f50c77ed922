/* The memory functions that memory.c of this folder brings. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_FREESTANDING_STRING_H
#define WISP_FREESTANDING_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);

#endif
