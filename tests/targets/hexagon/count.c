/* Marks the run of a model for an instruction counter: linked into the fingerprint program with --wrap=wisp_run. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "system.h"
#include "wisp.h"

int32_t __real_wisp_run(wisp_session *session, wisp_error *error);
int32_t __wrap_wisp_run(wisp_session *session, wisp_error *error);

enum { COUNT_START = 0x51000000, COUNT_STOP }; /* arguments of getpgid that the counting plugin listens for */

int32_t __wrap_wisp_run(wisp_session *session, wisp_error *error) {
    system_call(SYSTEM_GETPGID, COUNT_START, 0, 0);
    int32_t status = __real_wisp_run(session, error);
    system_call(SYSTEM_GETPGID, COUNT_STOP, 0, 0);
    return status;
}
