/* See digest.h. Runs on everything from a server to a Cortex-M4: no allocation, no stdio. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include <string.h>

/* ---- SHA-256, FIPS 180-4 */

typedef struct sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
} sha256;

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n) {
    return x >> n | x << (32 - n);
}

static void hash_block(sha256 *h) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)h->block[4 * i] << 24 | (uint32_t)h->block[4 * i + 1] << 16 | (uint32_t)h->block[4 * i + 2] << 8 |
               h->block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    memcpy(s, h->state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t t1 =
            s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[i] + w[i];
        uint32_t t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        for (int j = 7; j > 0; j--) s[j] = s[j - 1];
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) h->state[i] += s[i];
}

static void hash_bytes(sha256 *h, const uint8_t *data, uint64_t size) {
    for (uint64_t i = 0; i < size; i++) {
        h->block[h->length++ % 64] = data[i];
        if (h->length % 64 == 0) hash_block(h);
    }
}

static void hash_end(sha256 *h, char hex[65]) {
    const uint64_t bits = h->length * 8;
    uint8_t byte = 0x80;
    do {
        hash_bytes(h, &byte, 1);
        byte = 0;
    } while (h->length % 64 != 56);
    for (int i = 7; i >= 0; i--) {
        byte = (uint8_t)(bits >> (8 * i));
        hash_bytes(h, &byte, 1);
    }
    for (int i = 0; i < 64; i++) hex[i] = "0123456789abcdef"[h->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[64] = 0;
}

/* ---- the input */

static void fill(void *data, const wisp_tensor_info *info, float gain, uint32_t *seed) {
    uint64_t count = info->dtype == WISP_F32 ? info->size / 4 : info->size;
    for (uint64_t i = 0; i < count; i++) {
        *seed = *seed * 1664525u + 1013904223u; /* Numerical Recipes' generator; the top bits are the random ones */
        int32_t k = (int32_t)(*seed >> 24) - 128;
        if (info->dtype == WISP_F32)
            ((float *)data)[i] = gain * (float)k * 0.015625f;
        else
            ((int8_t *)data)[i] = (int8_t)k;
    }
}

static int32_t too_small(wisp_error *error) {
    error->status = WISP_NO_MEMORY;
    memcpy(error->message, "digest: memory is too small", 28);
    return WISP_NO_MEMORY;
}

int32_t digest_model(const void *file, size_t size, float gain, void *memory, size_t memory_size, uint32_t threads, uint32_t cpu_mask,
                     wisp_pool *pool, char hex[65], uint64_t *used, wisp_error *error) {
    static const int32_t ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const wisp_options options = {ones, 16, threads, cpu_mask, 0, pool};
    wisp_model model;
    wisp_session *session;
    wisp_tensor_info info;
    int32_t status;
    if ((status = wisp_open(&model, file, size, error))) return status;
    uint64_t session_size = wisp_session_size(&model);
    *used = session_size;
    if (session_size > memory_size) return too_small(error);
    if ((status = wisp_prepare(&model, &options, memory, (size_t)session_size, &session, error))) return status;
    *used = session_size + wisp_arena_size(session);
    if (*used > memory_size) return too_small(error);
    if ((status = wisp_bind(session, (char *)memory + session_size, (size_t)wisp_arena_size(session), error))) return status;
    uint32_t seed = 1;
    for (uint32_t i = 0; i < wisp_input_count(&model); i++) {
        wisp_session_input_info(session, i, &info);
        fill(wisp_input_data(session, i), &info, gain, &seed);
    }
    digest_mark(0);
    status = wisp_run(session, error);
    digest_mark(1);
    if (status) return status;
    sha256 h = {{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}, 0, {0}};
    for (uint32_t i = 0; i < wisp_output_count(&model); i++) {
        wisp_session_output_info(session, i, &info);
        hash_bytes(&h, wisp_output_data(session, i), info.size);
    }
    hash_end(&h, hex);
    return WISP_OK;
}
