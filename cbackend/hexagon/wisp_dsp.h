/* The application's side of a model that runs on the DSP: open, write inputs, run, read outputs, close. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_DSP_H
#define WISP_DSP_H

#include "wisp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wisp_dsp_model wisp_dsp_model;

/* Starts a session on the compute DSP and loads `file` (aligned as wisp_open wants it) there. `symbols`: one extent for each
 * symbolic axis. The file is not needed afterwards. Returns a wisp_status; then `error` says why. */
int32_t wisp_dsp_open(wisp_dsp_model **model, const void *file, size_t size, const int32_t *symbols, uint32_t symbol_count,
                      wisp_error *error);

/* Memory shared with the DSP: write inputs there before a run, read outputs there after it. Null when out of range. */
void *wisp_dsp_input(wisp_dsp_model *model, uint32_t index, size_t *size);
const void *wisp_dsp_output(const wisp_dsp_model *model, uint32_t index, size_t *size);

/* One remote call: the whole model. */
int32_t wisp_dsp_run(wisp_dsp_model *model, wisp_error *error);

void wisp_dsp_close(wisp_dsp_model *model); /* null is allowed */

#ifdef __cplusplus
}
#endif
#endif
