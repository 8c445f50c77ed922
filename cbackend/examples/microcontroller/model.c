/* The model: the bytes of a .wisp file, used where they lie. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

__asm__(".section .model, \"a\"\n"
        ".balign 64\n" /* WISP_ALIGNMENT */
        ".global model_file\n"
        "model_file: .incbin \"" MODEL "\"\n"
        ".global model_file_end\n"
        "model_file_end:\n");
