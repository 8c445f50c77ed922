/* Formatted output for test programs: the conversions stdio.h of this folder names. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct output {
    char *to;
    size_t size, length; /* room, characters wanted so far */
} output;

typedef struct conversion {
    int left, zero, width, precision, longs;
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
    if (c->zero && !c->left && length && *text == '-') put(o, '-'), text++, length--;
    for (; !c->left && pad; pad--) put(o, c->zero ? '0' : ' ');
    for (size_t i = 0; i < length; i++) put(o, text[i]);
    for (; pad; pad--) put(o, ' ');
}

/* Digits of `value` up to `end`; returns where they start. */
static char *write_digits(char *end, uint64_t value, unsigned base) {
    do *--end = "0123456789abcdef"[value % base];
    while (value /= base);
    return end;
}

static void put_integer(output *o, const conversion *c, uint64_t magnitude, int negative, unsigned base) {
    char digits[32], *end = digits + sizeof digits, *p = write_digits(end, magnitude, base);
    if (negative) *--p = '-';
    put_padded(o, c, p, (size_t)(end - p));
}

/* value >= 0, below 2^63 after scaling: what test output shows. `trim`: no zeros at the end, as %g wants. */
static char *write_fixed(char *end, double value, int precision, int trim) {
    uint64_t scale = 1;
    for (int i = 0; i < precision; i++) scale *= 10;
    uint64_t units = (uint64_t)(value * (double)scale + 0.5), fraction = units % scale;
    for (int i = 0; i < precision; i++, fraction /= 10) {
        if (trim && fraction % 10 == 0) continue;
        trim = 0;
        *--end = (char)('0' + fraction % 10);
    }
    if (precision && !trim) *--end = '.';
    return write_digits(end, units / scale, 10);
}

static void put_real(output *o, const conversion *c, double value, char kind) {
    char text[64], *end = text + sizeof text, *p = end;
    const int negative = value < 0, precision = c->precision < 0 ? 6 : c->precision;
    if (negative) value = -value;
    if (value != value || value > 1.7e308) {
        const char *name = value != value ? "nan" : negative ? "-inf" : "inf";
        put_padded(o, c, name, strlen(name));
        return;
    }
    int exponent = 0;
    double scaled = value;
    for (; scaled >= 10; exponent++) scaled /= 10;
    for (; scaled && scaled < 1; exponent--) scaled *= 10;
    if (kind == 'e' || (kind == 'g' && (exponent < -5 || exponent >= precision))) {
        p = write_digits(p, (uint64_t)(exponent < 0 ? -exponent : exponent), 10);
        *--p = exponent < 0 ? '-' : '+';
        *--p = 'e';
        p = write_fixed(p, scaled, kind == 'g' ? precision - 1 : precision, kind == 'g');
    } else {
        p = write_fixed(p, value, kind == 'g' ? precision - 1 - exponent : precision, kind == 'g');
    }
    if (negative) *--p = '-';
    put_padded(o, c, p, (size_t)(end - p));
}

static const char *read_conversion(const char *f, conversion *c) {
    *c = (conversion){.precision = -1};
    for (; *f == '-' || *f == '0'; f++) *(*f == '-' ? &c->left : &c->zero) = 1;
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
            put_integer(&o, &c, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0, 10);
        } else if (*f == 'u' || *f == 'x') {
            put_integer(&o, &c, c.longs > 1 ? va_arg(arguments, unsigned long long) : va_arg(arguments, unsigned), 0, *f == 'x' ? 16 : 10);
        } else if (*f == 'f' || *f == 'e' || *f == 'g') {
            put_real(&o, &c, va_arg(arguments, double), *f);
        } else {
            put(&o, *f == 'c' ? (char)va_arg(arguments, int) : *f);
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
