/* Stand-in for the SDK's header: the names the remote-call front uses. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_SDK_REMOTE_H
#define WISP_SDK_REMOTE_H

#include <stdint.h>

typedef uint64_t remote_handle64;
typedef int AEEResult; /* AEEStdDef.h in the SDK */

#define CDSP_DOMAIN_ID 3
#define CDSP_DOMAIN "&_dom=cdsp"
enum { DSPRPC_CONTROL_UNSIGNED_MODULE = 2 };
struct remote_rpc_control_unsigned_module {
    int domain, enable;
};

int remote_session_control(uint32_t request, void *data, uint32_t size);

#endif
