/* Error messages without stdio: a line of text in a fixed buffer, cut at its end. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"

#include <string.h>

void wisp_error_start(wisp_error *error, int32_t status) {
    if (!error) return;
    error->status = status;
    error->message[0] = 0;
}

static size_t text_length(const char *text) {
    size_t n = 0;
    while (text[n]) n++;
    return n;
}

void wisp_error_text(wisp_error *error, const char *text) {
    if (!error) return;
    size_t at = text_length(error->message), left = sizeof error->message - 1 - at, length = text_length(text);
    if (length > left) {
        length = left;
        while (length && ((uint8_t)text[length] & 0xC0) == 0x80) length--; /* never half a UTF-8 character */
    }
    for (size_t i = 0; i < length; i++) { /* one line, whatever a file calls its nodes */
        const char c = text[i];
        error->message[at + i] = (uint8_t)c < ' ' || c == 0x7f ? ' ' : c;
    }
    error->message[at + length] = 0;
}

void wisp_error_number(wisp_error *error, int64_t number) {
    char digits[24];
    char *p = digits + sizeof digits;
    uint64_t magnitude = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    *--p = 0;
    do *--p = (char)('0' + magnitude % 10);
    while (magnitude /= 10);
    if (number < 0) *--p = '-';
    wisp_error_text(error, p);
}

int32_t wisp_error_set(wisp_error *error, int32_t status, const char *text, const char *name) {
    wisp_error_start(error, status);
    wisp_error_text(error, text);
    if (name) {
        wisp_error_text(error, " '");
        wisp_error_text(error, name);
        wisp_error_text(error, "'");
    }
    return status;
}

const char *wisp_status_name(int32_t status) {
    static const char *const names[] = {"ok",        "bad file",     "bad version", "unsupported",
                                        "bad shape", "bad argument", "no memory",   "bad index"};
    return status >= 0 && status < (int32_t)(sizeof names / sizeof *names) ? names[status] : "unknown status";
}

int32_t wisp_error_value(wisp_error *error, int32_t status, const char *text, int64_t number) {
    wisp_error_set(error, status, text, NULL);
    wisp_error_text(error, ": ");
    wisp_error_number(error, number);
    return status;
}
