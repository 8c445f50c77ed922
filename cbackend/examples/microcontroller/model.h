/* The embedded model. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

extern const uint8_t model_file[], model_file_end[];

#endif
