/* Error messages without stdio. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_ERROR_H
#define WISP_ERROR_H

#include "wisp.h"

/* All of them do nothing with a null error. */
void wisp_error_start(wisp_error *error, int32_t status);
void wisp_error_text(wisp_error *error, const char *text);
void wisp_error_number(wisp_error *error, int64_t number);
/* "text 'name'"; returns status. A null name leaves the quoted part out. */
int32_t wisp_error_set(wisp_error *error, int32_t status, const char *text, const char *name);
/* "text: NUMBER"; returns status. */
int32_t wisp_error_value(wisp_error *error, int32_t status, const char *text, int64_t number);

#endif
