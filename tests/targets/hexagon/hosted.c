/* The few library functions test programs call, as system calls of Linux; see hexagon/system.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "system.h"

enum { PAGE = 65536, AT_CURRENT_FOLDER = -100 };

/* ---- memory */

void *mmap(void *address, size_t size, int protection, int flags, int file, long offset) {
    long p = system_call6(SYSTEM_MMAP, (long)(intptr_t)address, (long)size, protection, flags, file, offset / 4096);
    return p < 0 && p > -4096 ? MAP_FAILED : (void *)(intptr_t)p;
}

int mprotect(void *address, size_t size, int protection) {
    return (int)system_call(SYSTEM_MPROTECT, (long)(intptr_t)address, (long)size, protection);
}

void *aligned_alloc(size_t alignment, size_t size) {
    void *p = alignment > PAGE ? MAP_FAILED : mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void *malloc(size_t size) {
    return aligned_alloc(128, size);
}

void free(void *p) {
    (void)p;
}

/* ---- processes, signals, time */

void _exit(int status) {
    system_call(SYSTEM_EXIT_GROUP, status, 0, 0);
    __builtin_unreachable();
}

void exit(int status) {
    _exit(status);
}

int getpgid(int process) {
    return (int)system_call(SYSTEM_GETPGID, process, 0, 0);
}

long sysconf(int name) {
    return name == _SC_PAGESIZE ? PAGE : -1;
}

long write(int file, const void *data, size_t size) {
    return system_call(SYSTEM_WRITE, file, (long)(intptr_t)data, (long)size);
}

void (*signal(int number, void (*handler)(int)))(int) {
    struct {
        void (*handler)(int);
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } action = {handler, 0, NULL, 0};
    system_call6(SYSTEM_RT_SIGACTION, number, (long)(intptr_t)&action, 0, 8, 0, 0);
    return NULL;
}

int clock_gettime(int clock, struct timespec *now) {
    return (int)system_call(SYSTEM_CLOCK_GETTIME, clock, (long)(intptr_t)now, 0);
}

time_t time(time_t *now) {
    struct timespec t = {0};
    clock_gettime(CLOCK_REALTIME, &t);
    if (now) *now = t.tv_sec;
    return t.tv_sec;
}

/* ---- text */

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

unsigned long long strtoull(const char *text, char **end, int base) {
    unsigned long long value = 0;
    (void)base;
    for (; *text >= '0' && *text <= '9'; text++) value = value * 10 + (unsigned)(*text - '0');
    if (end) *end = (char *)(uintptr_t)text;
    return value;
}

int atoi(const char *text) {
    const int negative = *text == '-';
    int value = (int)strtoull(text + negative, NULL, 10);
    return negative ? -value : value;
}

float strtof(const char *text, char **end) {
    const int negative = *text == '-';
    char *at;
    double value = (double)strtoull(text + negative, &at, 10), unit = 1;
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++) value += (*at - '0') * (unit *= 0.1);
    if (end) *end = at;
    return (float)(negative ? -value : value);
}

/* ---- files: read whole, never written */

struct hosted_file {
    int number;
    char *data;
    long size, at;
};

static struct hosted_file opened;

FILE *fopen(const char *path, const char *mode) {
    enum { ROOM = 64 << 20 };
    (void)mode;
    long number = system_call(SYSTEM_OPENAT, AT_CURRENT_FOLDER, (long)(intptr_t)path, 0), got = 0;
    if (number < 0) return NULL;
    opened = (struct hosted_file){(int)number, malloc(ROOM), 0, 0};
    do {
        got = system_call(SYSTEM_READ, number, (long)(intptr_t)(opened.data + opened.size), ROOM - opened.size);
        if (got > 0) opened.size += got;
    } while (got > 0);
    return got < 0 ? NULL : &opened;
}

int fclose(FILE *file) {
    return (int)system_call(SYSTEM_CLOSE, file->number, 0, 0);
}

int fseek(FILE *file, long offset, int from) {
    file->at = offset + (from == SEEK_END ? file->size : from == SEEK_CUR ? file->at : 0);
    return 0;
}

long ftell(FILE *file) {
    return file->at;
}

void rewind(FILE *file) {
    file->at = 0;
}

size_t fread(void *to, size_t size, size_t count, FILE *file) {
    size_t left = (size_t)(file->size - file->at) / size;
    if (count > left) count = left;
    memcpy(to, file->data + file->at, count * size);
    file->at += (long)(count * size);
    return count;
}

/* ---- the functions of double that only checkasm calls */

double log2(double x) {
    return log(x) * 1.4426950408889634;
}

double ldexp(double x, int e) { /* |e| <= 64 */
    return x * pow(2, e);
}
