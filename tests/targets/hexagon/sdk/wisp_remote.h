/* Stand-in for the header qaic makes from wisp_remote.idl. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_SDK_WISP_REMOTE_H
#define WISP_SDK_WISP_REMOTE_H

#include "remote.h"

#define wisp_remote_URI "file:///libwisp_remote_skel.so?wisp_remote_skel_handle_invoke&_modver=1.0"

int wisp_remote_open(const char *uri, remote_handle64 *handle);
int wisp_remote_close(remote_handle64 handle);
AEEResult wisp_remote_load(remote_handle64 handle, const unsigned char *file, int fileLen, const int *symbols, int symbolsLen, int *sizes,
                           int sizesLen, int *status, unsigned char *message, int messageLen);
AEEResult wisp_remote_run(remote_handle64 handle, const unsigned char *inputs, int inputsLen, unsigned char *outputs, int outputsLen,
                          int *status, unsigned char *message, int messageLen);

#endif
