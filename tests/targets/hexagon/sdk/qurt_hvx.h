/* Stand-in for the SDK's header: the names the remote-call front uses. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_SDK_QURT_HVX_H
#define WISP_SDK_QURT_HVX_H

typedef enum { QURT_HVX_MODE_64B = 0, QURT_HVX_MODE_128B = 1 } qurt_hvx_mode_t;

int qurt_hvx_lock(qurt_hvx_mode_t mode);
int qurt_hvx_unlock(void);

#endif
