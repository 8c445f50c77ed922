/* Formatted output for test programs: the conversions stdio.h of this folder names. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct output {
    char *to;
    size_t size, length; /* room, characters wanted so far */
} output;

typedef struct conversion {
    int left, width, precision, longs;
} conversion;

struct hosted_file {
    int number;
};

static struct hosted_file files[] = {{STDOUT_FILENO}, {STDERR_FILENO}};
FILE *const stdout = &files[0], *const stderr = &files[1];

static void put(output *o, char c) {
    if (o->length + 1 < o->size) o->to[o->length] = c;
    o->length++;
}

static void put_padded(output *o, const conversion *c, const char *text, size_t length) {
    int pad = c->width > (int)length ? c->width - (int)length : 0;
    for (; !c->left && pad; pad--) put(o, ' ');
    for (size_t i = 0; i < length; i++) put(o, text[i]);
    for (; pad; pad--) put(o, ' ');
}

/* Digits of `value` up to `end`; returns where they start. */
static char *write_digits(char *end, uint64_t value) {
    do *--end = (char)('0' + value % 10);
    while (value /= 10);
    return end;
}

static void put_integer(output *o, const conversion *c, uint64_t magnitude, int negative) {
    char digits[32], *end = digits + sizeof digits, *p = write_digits(end, magnitude);
    if (negative) *--p = '-';
    put_padded(o, c, p, (size_t)(end - p));
}

/* As %f; as %e for %g. Below 2^63 after scaling: what test output shows. */
static void put_real(output *o, const conversion *c, double value, int fixed) {
    char text[64], *end = text + sizeof text, *p = end;
    const int negative = value < 0, precision = c->precision < 0 ? 6 : c->precision;
    if (negative) value = -value;
    if (!(value < 1.7e308)) {
        const char *name = value != value ? "nan" : negative ? "-inf" : "inf";
        put_padded(o, c, name, strlen(name));
        return;
    }
    if (!fixed) {
        int exponent = 0;
        for (; value >= 10; exponent++) value /= 10;
        for (; value && value < 1; exponent--) value *= 10;
        p = write_digits(p, (uint64_t)(exponent < 0 ? -exponent : exponent));
        *--p = exponent < 0 ? '-' : '+';
        *--p = 'e';
    }
    uint64_t scale = 1;
    for (int i = 0; i < precision; i++) scale *= 10;
    const uint64_t units = (uint64_t)(value * (double)scale + 0.5);
    for (uint64_t fraction = units % scale + scale; fraction >= 10; fraction /= 10) *--p = (char)('0' + fraction % 10);
    if (precision) *--p = '.';
    p = write_digits(p, units / scale);
    if (negative) *--p = '-';
    put_padded(o, c, p, (size_t)(end - p));
}

static const char *read_conversion(const char *f, conversion *c) {
    *c = (conversion){.precision = -1};
    for (; *f == '-'; f++) c->left = 1;
    for (; *f >= '0' && *f <= '9'; f++) c->width = c->width * 10 + *f - '0';
    if (*f == '.')
        for (c->precision = 0, f++; *f >= '0' && *f <= '9'; f++) c->precision = c->precision * 10 + *f - '0';
    for (; *f == 'l' || *f == 'z'; f++) c->longs += *f == 'l'; /* size_t and long are as wide as int */
    return f;
}

int vsnprintf(char *to, size_t size, const char *format, va_list arguments) {
    output o = {to, size, 0};
    for (const char *f = format; *f; f++) {
        conversion c;
        if (*f != '%') {
            put(&o, *f);
            continue;
        }
        f = read_conversion(f + 1, &c);
        if (*f == 's') {
            const char *text = va_arg(arguments, const char *);
            put_padded(&o, &c, text, strlen(text));
        } else if (*f == 'd') {
            int64_t value = c.longs > 1 ? va_arg(arguments, long long) : va_arg(arguments, int);
            put_integer(&o, &c, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
        } else if (*f == 'u') {
            put_integer(&o, &c, c.longs > 1 ? va_arg(arguments, unsigned long long) : va_arg(arguments, unsigned), 0);
        } else if (*f == 'f' || *f == 'g') {
            put_real(&o, &c, va_arg(arguments, double), *f == 'f');
        } else {
            put(&o, *f);
        }
    }
    if (size) to[o.length < size ? o.length : size - 1] = 0;
    return (int)o.length;
}

int snprintf(char *to, size_t size, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(to, size, format, arguments);
    va_end(arguments);
    return length;
}

static int print(int file, const char *format, va_list arguments) {
    char line[1024];
    int length = vsnprintf(line, sizeof line, format, arguments);
    write(file, line, length < (int)sizeof line ? (size_t)length : sizeof line - 1);
    return length;
}

int fprintf(FILE *file, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = print(file->number, format, arguments);
    va_end(arguments);
    return length;
}

int printf(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = print(STDOUT_FILENO, format, arguments);
    va_end(arguments);
    return length;
}

/* clang turns a printf of fixed text into this. */
size_t fwrite(const void *data, size_t size, size_t count, FILE *file);

size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
    return write(file->number, data, size * count) < 0 ? 0 : count;
}

void perror(const char *text) {
    fprintf(stderr, "%s: failed\n", text);
}
