/* Stand-in for the SDK's header: the names the remote-call front uses. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_SDK_AEESTDERR_H
#define WISP_SDK_AEESTDERR_H

enum { AEE_SUCCESS = 0, AEE_ENOMEMORY = 2, AEE_EBADPARM = 14 };

#endif
