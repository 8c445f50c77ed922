/* Stand-in for the SDK's header: the names the remote-call front uses. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_SDK_RPCMEM_H
#define WISP_SDK_RPCMEM_H

#include <stdint.h>

enum { RPCMEM_HEAP_ID_SYSTEM = 25, RPCMEM_DEFAULT_FLAGS = 1 };

void *rpcmem_alloc(int heap, uint32_t flags, int size);
void rpcmem_free(void *p);

#endif
