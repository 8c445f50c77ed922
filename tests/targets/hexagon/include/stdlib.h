/* As much of stdlib.h as the test programs use under qemu-hexagon. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_HOSTED_STDLIB_H
#define WISP_HOSTED_STDLIB_H

#include <stddef.h>

void *malloc(size_t size); /* aligned to 128; never freed */
void *aligned_alloc(size_t alignment, size_t size);
void free(void *p); /* does nothing */
int atoi(const char *text);
unsigned long long strtoull(const char *text, char **end, int base); /* base 10 */
float strtof(const char *text, char **end);
void exit(int status) __attribute__((noreturn));

#endif
