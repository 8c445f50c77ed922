/* A .wisp file taken apart into its sections, and put together again. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fuzz.h"

enum { TABLE = sizeof(wisp_file_header) };

/* Where each section lies in a fuzz_file, its entry size and the most entries it may have. */
static const struct {
    size_t place;
    uint32_t entry_size, most;
} parts[WISP_SECTION_COUNT] = {
    [WISP_SECTION_SYMBOLS] = {offsetof(fuzz_file, symbols), 4, MAX_SYMBOLS},
    [WISP_SECTION_TENSORS] = {offsetof(fuzz_file, tensors), sizeof(wisp_file_tensor), MAX_TENSORS},
    [WISP_SECTION_GRAPHS] = {offsetof(fuzz_file, graphs), sizeof(wisp_file_graph), MAX_GRAPHS},
    [WISP_SECTION_STATES] = {offsetof(fuzz_file, states), sizeof(wisp_file_state), MAX_STATES},
    [WISP_SECTION_OPERATORS] = {offsetof(fuzz_file, operators), sizeof(wisp_file_operator), MAX_OPERATORS},
    [WISP_SECTION_OPERANDS] = {offsetof(fuzz_file, operands), 4, MAX_OPERANDS},
    [WISP_SECTION_PARAMETERS] = {offsetof(fuzz_file, words), 4, MAX_WORDS},
    [WISP_SECTION_STRINGS] = {offsetof(fuzz_file, strings), 1, MAX_STRINGS},
    [WISP_SECTION_METADATA] = {offsetof(fuzz_file, metadata), 1, MAX_METADATA},
    [WISP_SECTION_WEIGHTS] = {offsetof(fuzz_file, weights), 1, MAX_WEIGHTS},
};

static wisp_checksum sum_of(const uint8_t *data, size_t size) {
    wisp_checksum sum = {0, 0};
    for (size_t i = 0; i < size; i += 4) {
        uint32_t word = 0;
        memcpy(&word, data + i, size - i < 4 ? size - i : 4);
        sum.a += word;
        sum.b += sum.a;
    }
    return sum;
}

bool fuzz_parse(fuzz_file *f, const uint8_t *data, size_t size) {
    memset(f, 0, sizeof *f);
    if (size < TABLE) return false;
    memcpy(&f->header, data, sizeof f->header);
    if (f->header.section_count > WISP_MAX_SECTIONS || size < TABLE + f->header.section_count * sizeof(wisp_file_section)) return false;
    for (uint32_t i = 0; i < f->header.section_count; i++) {
        wisp_file_section s;
        memcpy(&s, data + TABLE + i * sizeof s, sizeof s);
        if (s.offset > size || s.size > size - s.offset) return false;
        if (s.id >= WISP_SECTION_COUNT) continue;
        f->counts[s.id] = s.size / parts[s.id].entry_size;
        if (f->counts[s.id] > parts[s.id].most) return false;
        memcpy((char *)f + parts[s.id].place, data + s.offset, f->counts[s.id] * parts[s.id].entry_size);
    }
    for (uint64_t i = 0; i < f->counts[WISP_SECTION_TENSORS]; i++)
        if (f->tensors[i].rank > WISP_MAX_RANK) f->tensors[i].rank = WISP_MAX_RANK;
    return true;
}

size_t fuzz_write(const fuzz_file *f, uint8_t *data, size_t room) {
    const size_t table = WISP_SECTION_COUNT * sizeof(wisp_file_section);
    wisp_file_header header = f->header;
    size_t end = TABLE + table;
    if (room < end) return 0;
    memset(data, 0, end);
    for (uint32_t id = 0; id < WISP_SECTION_COUNT; id++) {
        const size_t offset = round_up(end, WISP_ALIGNMENT), size = f->counts[id] * parts[id].entry_size;
        if (round_up(offset + size, WISP_ALIGNMENT) > room) return 0;
        memset(data + end, 0, round_up(offset + size, WISP_ALIGNMENT) - end);
        memcpy(data + offset, (const char *)f + parts[id].place, size);
        const wisp_file_section s = {.id = id, .entry_size = parts[id].entry_size, .offset = offset, .size = size};
        memcpy(data + TABLE + id * sizeof s, &s, sizeof s);
        end = offset + size;
    }
    end = round_up(end, WISP_ALIGNMENT);
    header.magic = WISP_MAGIC, header.major = WISP_FORMAT_MAJOR, header.minor = WISP_FORMAT_MINOR;
    header.section_count = WISP_SECTION_COUNT;
    memcpy(data, &header, sizeof header);
    fuzz_repair(data, end);
    return end;
}

void fuzz_repair(uint8_t *data, size_t size) {
    wisp_file_header header;
    if (size < TABLE) return;
    memcpy(&header, data, sizeof header);
    const size_t sections = header.section_count > WISP_MAX_SECTIONS ? 0 : header.section_count;
    if (size < TABLE + sections * sizeof(wisp_file_section)) return;
    for (size_t i = 0; i < sections; i++) {
        wisp_file_section s;
        uint8_t *at = data + TABLE + i * sizeof s;
        memcpy(&s, at, sizeof s);
        if (s.offset > size || s.size > size - s.offset) continue;
        const uint64_t padded = round_up(s.size, 4);
        s.checksum = sum_of(data + s.offset, padded <= size - s.offset ? padded : s.size);
        memcpy(at, &s, sizeof s);
    }
    header.file_size = size;
    header.checksum = (wisp_checksum){0, 0};
    memcpy(data, &header, sizeof header);
    header.checksum = sum_of(data, TABLE + sections * sizeof(wisp_file_section));
    memcpy(data, &header, sizeof header);
}
