/* As much of stdio.h as the test programs use under qemu-hexagon. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_HOSTED_STDIO_H
#define WISP_HOSTED_STDIO_H

#include <stdarg.h>
#include <stddef.h>

typedef struct hosted_file FILE;
extern FILE *const stdout, *const stderr;

enum { SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2 };

FILE *fopen(const char *path, const char *mode); /* reads the whole file; only "rb" */
int fclose(FILE *file);
int fseek(FILE *file, long offset, int from);
long ftell(FILE *file);
void rewind(FILE *file);
size_t fread(void *to, size_t size, size_t count, FILE *file);

/* Conversions d u s f g, with - width . precision and l ll z; g always as %e. */
int vsnprintf(char *to, size_t size, const char *format, va_list arguments);
int snprintf(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int fprintf(FILE *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void perror(const char *text);

#endif
