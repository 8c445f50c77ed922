/* Prints the fingerprint of the embedded model through semihosting; a program for the microcontroller example's Makefile. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "board.h"
#include "digest.h"
#include "model.h"

#ifndef GAIN
#define GAIN 1
#endif
#ifndef CPU_MASK
#define CPU_MASK wisp_cpu_flags()
#endif

static _Alignas(WISP_ALIGNMENT) __attribute__((section(".arena"))) uint8_t memory[SESSION_SIZE + ARENA_SIZE];

void digest_mark(int end) {
    (void)end;
}

int main(void) {
    wisp_error error;
    char hex[65];
    uint64_t used = 0;
    const int32_t status =
        digest_model(model_file, (size_t)(model_file_end - model_file), GAIN, memory, sizeof memory, 1, CPU_MASK, NULL, hex, &used, &error);
    print_text(status ? error.message : hex);
    print_text(" ");
    print_number((int64_t)used);
    print_text("\n");
    return status;
}
